// Command redis compares the log on Redis with centrifuge's Redis broker, history on. It starts a Redis without persistence for each round, and takes
// turns. Run it on a quiet machine:
//
//	go run ./bench/redis          # how many events few and many publishers can publish through one node, and when they are on another one
//	go run ./bench/redis -last    # when the last client has an event: it is published at one node, and the clients' streams are at another
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/buffkit/buffkit/internal/servers"
)

// peer is what is measured: a node to publish at, and one that receives.
type peer interface {
	publish(ctx context.Context, topic string, data []byte) error
	close()
}

// receive is called with the data of each event that the other node has got, in one goroutine or several.
type receive func(data []byte)

type config struct {
	publishers             string
	topics, size, history  int
	measured               time.Duration
	rounds                 int
	last                   bool
	clients, closed        int
	rates                  string
	only, profile, results string
}

func main() {
	c := config{}
	flag.StringVar(&c.publishers, "publishers", "64,256,1024,4096", "how many publish at the same time, one number after the other")
	flag.IntVar(&c.topics, "topics", 100, "to how many topics")
	flag.IntVar(&c.size, "size", 200, "bytes of an event")
	flag.IntVar(&c.history, "history", 1000, "events of a topic that are kept")
	flag.DurationVar(&c.measured, "time", 4*time.Second, "how long a round takes")
	flag.IntVar(&c.rounds, "rounds", 3, "of each")
	flag.BoolVar(&c.last, "last", false, "measure until the last client has an event")
	flag.IntVar(&c.clients, "clients", 500, "with -last: how many streams there are, one topic each")
	flag.IntVar(&c.closed, "closed", 64, "with -last: how many publish at the same time, each as soon as the last client has what it published before")
	flag.StringVar(&c.rates, "rates", "1000,4000", "with -last: at how many events a second besides, whether or not they arrive")
	flag.StringVar(&c.results, "results", "", "write the table into a file like bench/RESULTS.md, too")
	flag.StringVar(&c.only, "only", "", "measure this server alone")
	flag.StringVar(&c.profile, "profile", "", "write the processor profile of this program, publishers and receivers included, to a file")
	flag.Parse()
	if err := c.run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/redis:", err)
		os.Exit(1)
	}
}

func (c config) run() error {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	stop, err := c.startProfile()
	if err != nil {
		return err
	}
	defer stop()
	if c.last {
		return c.runLast()
	}
	return c.runRate()
}

// peers are what is compared.
var peers = []struct {
	name string
	open func(addr string, c config, r receive) (peer, error)
	site func(addr string, c config) (site, error)
}{
	{"buffkit", openBuffkit, openBuffkitSite},
	{"centrifuge", openCentrifuge, openCentrifugeSite},
}

// runRate measures both servers with each number of publishers, in turns, and prints the median round of each.
func (c config) runRate() error {
	counts, err := numbers("publishers", c.publishers)
	if err != nil {
		return err
	}
	t := c.newTable("redis", "Publishing over Redis", fmt.Sprintf("So many publishers, each waiting for its own event, at one node; %d topics, %d bytes, history of %d events, %v a round, "+
		"the median of %d. \"After\" is when a reader at another node has the event.", c.topics, c.size, c.history, c.measured, c.rounds),
		"publishers", "publishes/s", "after, median", "after, p99", "Redis CPU a publish", "publishes a script", "not received")
	best, notes := map[string]outcome{}, []string{}
	for _, publishers := range counts {
		rounds, err := c.rateRounds(publishers)
		if err != nil {
			return err
		}
		for _, p := range peers {
			if len(rounds[p.name]) == 0 {
				continue
			}
			r := median(rounds[p.name])
			if r.rate > best[p.name].rate {
				best[p.name] = r
			}
			t.row(p.name, publishers, fmt.Sprintf("%.0f", r.rate), r.p50, r.p99, fmt.Sprintf("%.1f µs", r.redis.Seconds()*1e6/float64(r.sent)),
				fmt.Sprintf("%.1f", float64(r.sent)/float64(max(r.scripts, 1))), r.missed)
		}
		if c.only == "" {
			notes = append(notes, fmt.Sprintf("%d publishers: %s.", publishers, compare(median(rounds["buffkit"]), median(rounds["centrifuge"]))))
		}
	}
	for _, note := range notes {
		t.note("%s", note)
	}
	if c.only == "" {
		ours, theirs := best["buffkit"], best["centrifuge"]
		t.note("The best of each, with %d and %d publishers: %s.", ours.publishers, theirs.publishers, compare(ours, theirs))
	}
	return t.save()
}

// rateRounds is the rounds of each server with a number of publishers.
func (c config) rateRounds(publishers int) (map[string][]outcome, error) {
	rounds := map[string][]outcome{}
	for range c.rounds {
		for _, p := range peers {
			if c.only != "" && p.name != c.only {
				continue
			}
			r, err := c.round(p.open, publishers)
			if err != nil {
				return nil, fmt.Errorf("%s, %d publishers: %w", p.name, publishers, err)
			}
			rounds[p.name] = append(rounds[p.name], r)
		}
	}
	return rounds, nil
}

func compare(ours, theirs outcome) string {
	return fmt.Sprintf("buffkit %.0f/s, centrifuge %.0f/s: %.1f times", ours.rate, theirs.rate, ours.rate/theirs.rate)
}

// numbers reads a list of a flag.
func numbers(name, list string) (all []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-%s has %q: write numbers, with commas between them", name, text)
		}
		all = append(all, n)
	}
	return all, nil
}

func (c config) startProfile() (stop func(), err error) {
	if c.profile == "" {
		return func() {}, nil
	}
	f, err := os.Create(c.profile)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}

// median is the round of the median rate, and counts what was missed in all of them.
func median(rounds []outcome) outcome {
	sorted := slices.SortedFunc(slices.Values(rounds), func(a, b outcome) int { return cmp.Compare(a.rate, b.rate) })
	middle := sorted[len(sorted)/2]
	for _, r := range rounds {
		middle.missed += r.sent - r.received
	}
	return middle
}

type outcome struct {
	publishers     int
	rate           float64
	sent, received int64
	missed         int64 // of all rounds; see median
	p50, p99       time.Duration
	redis          time.Duration // its processor time
	scripts        int64
}

func (c config) round(open func(string, config, receive) (peer, error), publishers int) (r outcome, err error) {
	r.publishers = publishers
	server, err := servers.Redis()
	if err != nil {
		return r, err
	}
	defer server.Stop()
	var (
		received atomic.Int64
		mu       sync.Mutex // guards the histogram
		times    = hdrhistogram.New(1, 60_000_000, 3)
	)
	p, err := open(server.Addr, c, func(data []byte) {
		text, _, _ := strings.Cut(string(data), " ")
		sent, _ := strconv.ParseInt(text, 10, 64)
		mu.Lock()
		_ = times.RecordValue(max(1, (time.Now().UnixNano()-sent)/1000))
		mu.Unlock()
		received.Add(1)
	})
	if err != nil {
		return r, err
	}
	defer p.close()
	cpu := redisCPU(server)
	begin := time.Now()
	r.sent, err = c.publish(p, publishers)
	r.rate = float64(r.sent) / time.Since(begin).Seconds()
	r.redis = redisCPU(server) - cpu
	r.scripts = scripts(server)
	for deadline := time.After(5 * time.Second); err == nil && received.Load() < r.sent; {
		select {
		case <-time.After(10 * time.Millisecond):
			continue
		case <-deadline:
		}
		break
	}
	r.received = received.Load()
	mu.Lock()
	defer mu.Unlock()
	r.p50, r.p99 = time.Duration(times.ValueAtQuantile(50))*time.Microsecond, time.Duration(times.ValueAtQuantile(99))*time.Microsecond
	return r, err
}

// publish lets so many publishers publish for as long as a round takes, and returns how many events were.
func (c config) publish(p peer, publishers int) (int64, error) {
	var (
		sent  atomic.Int64
		all   sync.WaitGroup
		fails = make(chan error, publishers)
		end   = time.Now().Add(c.measured)
		fill  = strings.Repeat("x", c.size)
	)
	for i := range publishers {
		all.Go(func() {
			topic := "topic" + strconv.Itoa(i%c.topics)
			for time.Now().Before(end) {
				data := strconv.FormatInt(time.Now().UnixNano(), 10) + " " + fill
				if err := p.publish(context.Background(), topic, []byte(data[:c.size])); err != nil {
					fails <- err
					return
				}
				sent.Add(1)
			}
		})
	}
	all.Wait()
	select {
	case err := <-fails:
		return sent.Load(), err
	default:
		return sent.Load(), nil
	}
}

func redisCPU(server *servers.RedisServer) time.Duration {
	info, err := server.Info("INFO", "cpu")
	if err != nil {
		return 0
	}
	user, _ := strconv.ParseFloat(info["used_cpu_user"], 64)
	system, _ := strconv.ParseFloat(info["used_cpu_sys"], 64)
	return time.Duration((user + system) * float64(time.Second))
}

// scripts is how many scripts the server has run.
func scripts(server *servers.RedisServer) int64 {
	info, err := server.Info("INFO", "commandstats")
	if err != nil {
		return 0
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(info["cmdstat_evalsha"], "calls="), ",")
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
