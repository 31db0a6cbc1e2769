// Command mercure is the server under test of that name. The driver of bench builds and starts it. It speaks the protocol of
// bench/internal/peer and publishes the payloads of bench/internal/event, which it can't import; see there.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/dunglas/mercure"
	"golang.org/x/sys/unix"
)

type options struct {
	Topics       int
	Events       int
	Resume       bool
	WriteTimeout time.Duration
}

type order struct {
	Do      string  `json:"do"`
	Count   int     `json:"count"`
	Rate    float64 `json:"rate"`
	Seconds float64 `json:"seconds"`
	Size    int     `json:"size"`
}

type answer struct {
	Published int    `json:"published"`
	First     int64  `json:"first"`
	Last      int64  `json:"last"`
	Done      int64  `json:"done"`
	Error     string `json:"error,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	const words = 4 // the program, serve, the name, the options
	if len(os.Args) != words {
		return errors.New("it is started by the driver: go run ./bench run")
	}
	var opts options
	if err := json.Unmarshal([]byte(os.Args[words-1]), &opts); err != nil {
		return err
	}
	transport, clean, err := newTransport(opts)
	if err != nil {
		return err
	}
	defer clean()
	settings := []mercure.Option{
		mercure.WithAnonymous(),
		mercure.WithTransport(transport),
		mercure.WithLogger(slog.New(slog.DiscardHandler)),
	}
	if opts.WriteTimeout > 0 {
		settings = append(settings, mercure.WithDispatchTimeout(opts.WriteTimeout))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	hub, err := mercure.NewHub(ctx, settings...)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(listener, hub)
	return obey(&publisher{hub: hub, topics: uint32(max(opts.Topics, 1))}, listener.Addr().String())
}

// newTransport returns the one that keeps no history, which is the faster one, unless somebody will come back.
func newTransport(opts options) (mercure.Transport, func(), error) {
	subscribers := mercure.NewSubscriberList(mercure.DefaultSubscriberListCacheSize)
	if !opts.Resume {
		return mercure.NewLocalTransport(subscribers), func() {}, nil
	}
	dir, err := os.MkdirTemp("", "bench-mercure-*")
	if err != nil {
		return nil, nil, err
	}
	clean := func() { os.RemoveAll(dir) }
	bolt, err := mercure.NewBoltTransport(subscribers, slog.New(slog.DiscardHandler), filepath.Join(dir, "bolt.db"), "",
		uint64(opts.Events), mercure.BoltDefaultCleanupFrequency)
	if err != nil {
		clean()
		return nil, nil, err
	}
	return bolt, clean, nil
}

func obey(p *publisher, addr string) error {
	say := json.NewEncoder(os.Stdout)
	if err := say.Encode(map[string]any{"addr": addr, "pids": []int{os.Getpid()}}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		var a answer
		err := json.Unmarshal(lines.Bytes(), &o)
		switch {
		case err != nil:
		case o.Do == "publish":
			a, err = p.publish(o)
		case o.Do == "rest":
			debug.FreeOSMemory()
		default:
			err = fmt.Errorf("no order is called %q", o.Do)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := say.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

type publisher struct {
	hub    *mercure.Hub
	topics uint32
	next   uint32
}

func (p *publisher) publish(o order) (a answer, err error) {
	begin := now()
	end := begin + int64(o.Seconds*float64(time.Second))
	for i := range o.Count {
		due := now()
		if o.Rate > 0 {
			due = begin + int64(float64(i)/o.Rate*float64(time.Second))
			sleepUntil(due)
		}
		if o.Seconds > 0 && now() >= end {
			break
		}
		err := p.hub.Publish(context.Background(), &mercure.Update{
			Topics: []string{"t" + strconv.Itoa(int(p.next%p.topics))},
			Event:  mercure.Event{Data: payload(o.Size, due, p.next)},
		})
		if err != nil {
			return a, err
		}
		if i == 0 {
			a.First = due
		}
		a.Published, a.Last = a.Published+1, due
		p.next++
	}
	a.Done = now()
	return a, nil
}

func payload(size int, at int64, number uint32) string {
	p := fmt.Appendf(make([]byte, 0, size), `"@%016x%08x`, at, number)
	for len(p) < size-1 {
		p = append(p, 'a'+byte(len(p)%26))
	}
	return string(append(p, '"'))
}

func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

func sleepUntil(at int64) {
	if at <= now() {
		return
	}
	ts := unix.NsecToTimespec(at)
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
	}
}
