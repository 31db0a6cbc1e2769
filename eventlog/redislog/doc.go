// Package redislog is an eventlog on Redis 7 and 8, or Valkey: one server, Sentinel or Cluster. Nodes that open the same prefix share the log.
package redislog
