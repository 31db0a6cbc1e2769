// Package load is the other end of the wire: thousands of clients of an event stream in one process, made to cost so little that
// what is measured is the server.
//
//	Client ─┬─ loop: one goroutine, one epoll, thousands of connections
//	        └─ loop: …            read → scanner → count, check the sequence, record the latency
//
// A connection holds a descriptor and a few counters; there is no goroutine and no buffer for each. The scanner takes apart HTTP/1.1
// chunks and the lines of text/event-stream, no more than is needed to find the payloads of package event and the ids to resume
// with.
package load
