package peer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/buffkit/buffkit/bench/internal/event"
)

// Ready is the first line that a server says.
type Ready struct {
	Addr string `json:"addr"` // where it listens
	PIDs []int  `json:"pids"` // the processes whose memory and time count
}

// Order is what the driver wants. Orders are carried out one after the other.
type Order struct {
	// Do is what to do:
	//
	//	publish  Count events of Size bytes, HTML or not, Rate a second, or one after the other without a Rate; at most for Seconds; to Topic or, without
	//	         one, to all topics in turn. They are due at Due or, without it, when the order comes
	//	rest     give free memory back to the system
	//	profile  write a profile of the processor's time in the next Seconds to File
	Do      string  `json:"do"`
	Count   int     `json:"count,omitempty"`
	Rate    float64 `json:"rate,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Size    int     `json:"size,omitempty"`
	HTML    bool    `json:"html,omitempty"` // event.Fragment, not event.New
	Topic   *int    `json:"topic,omitempty"`
	Due     int64   `json:"due,omitempty"` // by event.Now
	File    string  `json:"file,omitempty"`
}

// Answer is what became of an order.
type Answer struct {
	Published int    `json:"published"`
	First     int64  `json:"first"` // when the first event was meant to leave, by event.Now
	Last      int64  `json:"last"`  // and the last
	Done      int64  `json:"done"`  // when the server had taken the last
	Epoch     string `json:"epoch,omitempty"`
	Error     string `json:"error,omitempty"`
}

// Main is the main function of a program that is one server; args are what comes after its name.
func Main(start func(Options) (*Started, error), args []string) error {
	const words = 3 // serve, the name, the options
	if len(args) != words {
		return errors.New("it is started by the driver: go run ./bench run")
	}
	var opts Options
	if err := json.Unmarshal([]byte(args[words-1]), &opts); err != nil {
		return fmt.Errorf("options %s: %w", args[words-1], err)
	}
	return serve(start, opts, os.Stdin, os.Stdout)
}

// Serve is the life of a server: it starts the peer, says Ready, and carries out orders until in ends.
func Serve(p Peer, opts Options, in io.Reader, out io.Writer) error {
	if p.start == nil {
		return fmt.Errorf("%s is another program", p.Name)
	}
	return serve(p.start, opts, in, out)
}

func serve(start func(Options) (*Started, error), opts Options, in io.Reader, out io.Writer) error {
	s, err := start(opts)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer s.stop()
	ready := Ready{Addr: s.addr, PIDs: []int{os.Getpid()}}
	if other, ok := s.Server.(interface{ PIDs() []int }); ok {
		ready.PIDs = other.PIDs()
	}
	say := json.NewEncoder(out)
	if err := say.Encode(ready); err != nil {
		return err
	}
	pub := &publisher{server: s.Server, seqs: make([]uint32, max(opts.Topics, 1))}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var o Order
		err := json.Unmarshal(lines.Bytes(), &o)
		var a Answer
		if err == nil {
			a, err = pub.do(o)
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

// publisher carries out orders.
type publisher struct {
	server Server
	seqs   []uint32 // events published, by topic
	turn   int      // the topic that is next
}

func (p *publisher) do(o Order) (a Answer, err error) {
	switch o.Do {
	case "publish":
		a, err = p.publish(o)
	case "rest":
		debug.FreeOSMemory()
	case "profile":
		err = profile(o)
	default:
		err = fmt.Errorf("no order is called %q", o.Do)
	}
	if e, ok := p.server.(interface{ Epoch() string }); ok {
		a.Epoch = e.Epoch()
	}
	return a, err
}

// publish is an open loop if there is a rate: event n is stamped with the time at which it is due, whether or not the server has
// taken those before it by then. So the time that a server makes its publisher wait is in the latencies.
func (p *publisher) publish(o Order) (a Answer, err error) {
	begin := event.Now()
	if o.Due > 0 {
		begin = o.Due
	}
	end := begin + int64(o.Seconds*float64(time.Second))
	for i := range o.Count {
		due := begin
		if o.Rate > 0 {
			due += int64(float64(i) / o.Rate * float64(time.Second))
		} else if o.Due == 0 {
			due = event.Now()
		}
		if due > event.Now() {
			event.SleepUntil(due)
		}
		if o.Seconds > 0 && event.Now() >= end {
			break
		}
		if err := p.one(o, due); err != nil {
			return a, fmt.Errorf("publish: %w", err)
		}
		if i == 0 {
			a.First = due
		}
		a.Published, a.Last = a.Published+1, due
	}
	a.Done = event.Now()
	return a, nil
}

func (p *publisher) one(o Order, due int64) error {
	topic := p.turn
	if o.Topic != nil {
		topic = *o.Topic
	} else {
		p.turn = (p.turn + 1) % len(p.seqs)
	}
	number := p.seqs[topic]*uint32(len(p.seqs)) + uint32(topic)
	p.seqs[topic]++
	if o.HTML {
		return p.server.Publish(topic, event.Fragment(o.Size, due, number))
	}
	return p.server.Publish(topic, event.New(o.Size, due, number))
}

const leastProfile = 50 * time.Millisecond

func profile(o Order) error {
	f, err := os.Create(o.File)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	time.AfterFunc(max(leastProfile, time.Duration(o.Seconds*float64(time.Second))), func() {
		pprof.StopCPUProfile()
		f.Close()
	})
	return nil
}
