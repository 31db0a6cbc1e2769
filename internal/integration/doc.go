// Package integration tests with programs that nobody here wrote: curl, Chromium, nginx, HAProxy, Caddy, other people's SSE clients and web
// frameworks, all over real TCP on loopback, and the buffkit binary as its users run it. It is a module of its own, so that
// none of them ends up in the go.sum of a user.
//
// The tests share six things:
//
//	site     a broker behind net/http, on an address that stays over restarts
//	cutter   a TCP proxy in front of it that cuts, stalls and tears events in two
//	proxy    nginx, HAProxy or Caddy in front of it, with nothing tuned or as docs/tuning.md shows
//	tape     what a client got, in order; tests wait on it, with a deadline
//	page     a tab of Chromium whose EventSource writes on a tape
//	program  a run of the binary, its output on tapes
//
// Events are numbered from 1. A client must have each exactly once: what is published last arrives last, so when it has come
// the tape is complete.
package integration
