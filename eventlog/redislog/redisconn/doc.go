// Package redisconn is what the parts that keep something in Redis or Valkey have in common: how a server, a Cluster or Sentinels are reached, what a refusal
// means and what to do about it, and how a script is run. An application has no need of it: see redislog and redisstore.
package redisconn
