// Package peer holds the servers under test. Each runs in a process of its own, and all speak the same little protocol with
// the driver: JSON lines, orders on standard input, answers on standard output.
//
//	driver                        server
//	                            ◄ {"addr":"127.0.0.1:40123","pids":[4711]}
//	{"do":"publish", …}         ►
//	                            ◄ {"published":500, …}
//	end of standard input       ►   ends
//
// The events are published by the process of the server itself, since that is how these libraries are used; the driver only says
// how many and when.
package peer

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/buffkit/buffkit/bench/internal/load"
)

// Peer is one server under test.
type Peer struct {
	Name  string
	Title string // in tables
	// Resumes tells whether a client that comes back gets what it missed.
	Resumes bool
	// OneTopic is for peers of which a stream follows one topic only.
	OneTopic bool
	// Floor is for what isn't a server one could use, but a bound to compare with.
	Floor bool
	// Gzip is for what compresses its streams, which is compared in one scenario only.
	Gzip bool
	// Pace is about how many deliveries a second it reached in earlier runs on two cores, for estimates and for what isn't
	// worth waiting for. Nothing is judged by it.
	Pace float64
	// Prepare returns the program of a server that isn't in this one, "" if it is; or an error that says what is missing. nil
	// for those that need nothing. It is slow the first time.
	Prepare func() (program string, err error)
	// Many: see load.Options.
	Many bool
	// TokenHeader: see load.Options.
	TokenHeader string

	start   func(Options) (*Started, error)
	request func(Asking) string
}

// Options of a server.
type Options struct {
	Topics       int           // that will be published to
	Events       int           // that will be published at most
	History      int           // of them, those of a topic
	Resume       bool          // whether somebody will come back: for who has a store that keeps and a faster one that doesn't
	Size         int           // of the largest events
	WriteTimeout time.Duration // for servers that let it be set; 0 for their default
}

// Asking is what a request is made from.
type Asking struct {
	load.Ask
	Topics []string // to follow
	Epoch  string   // of the server's last answer
}

// Server is what a peer gives to Serve. It may have two methods more: PIDs() []int, of the processes whose memory and time count, if they aren't this
// one; and Epoch() string, for Asking.
type Server interface {
	// Publish publishes. It is called by one goroutine. The payload is the server's to keep.
	Publish(topic int, payload []byte) error
	// Close ends the server.
	Close()
}

// Ours is the name of the one that the others are compared with.
const Ours = "buffkit"

// All lists the peers in the order of the tables. One that is given twice, with other options, has two names.
func All() []Peer {
	return []Peer{
		buffkitPeer, goroutinePeer, gossePeer, r3labsPeer, centrifugePeer, mercurePeer, nchanPeer, floorPeer, floor2Peer,
		buffkitGzipPeer, goroutineGzipPeer,
	}
}

// Find returns the peer of a name.
func Find(name string) (Peer, error) {
	var names []string
	for _, p := range All() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Peer{}, fmt.Errorf("no server is called %q: there are %s", name, strings.Join(names, ", "))
}

// Topic is the name of a topic.
func Topic(n int) string { return "t" + strconv.Itoa(n) }

// Request returns the bytes of a request for a stream of the server at addr.
func (p Peer) Request(addr string, a Asking) []byte {
	head := " HTTP/1.1\r\nHost: " + addr + "\r\nAccept: text/event-stream\r\n"
	if p.Gzip {
		head += "Accept-Encoding: gzip\r\n"
	}
	return []byte("GET " + strings.Replace(p.request(a), "\r\n", head, 1) + "\r\n")
}

// Path is what an EventSource asks for, to follow a topic.
func (p Peer) Path(topic string) string {
	path, _, _ := strings.Cut(p.request(Asking{Topics: []string{topic}}), "\r\n")
	return path
}

// byLastEventID is the request of an EventSource: the path, and the id of the last event as the place to resume.
func byLastEventID(path string) func(Asking) string {
	return func(a Asking) string {
		target := path + "?" + url.Values{"topic": a.Topics}.Encode() + "\r\n"
		if len(a.LastID) > 0 {
			target += "Last-Event-ID: " + string(a.LastID) + "\r\n"
		}
		return target
	}
}
