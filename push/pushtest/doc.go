// Package pushtest is for tests: of what is built on package push, and of push itself.
//
//	NewServer   an HTTP server and its clients in memory, for a testing/synctest bubble, where hours take milliseconds
//	NewProxy    a proxy before a real server
//	Network     what both stand on: it cuts, stalls, throttles, half-closes and refuses on command
//	Open        one stream, event by event, control events decoded, no reconnect: for precise assertions
//	Oracle      counts every event at every subscriber: lost, doubled, out of order, a gap that wasn't one
//
// The package is made to fail tests when something is wrong, so that it takes a testing.TB wherever something has to end
// with the test.
package pushtest
