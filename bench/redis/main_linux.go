// Command redis compares the log on Redis with centrifuge's Redis broker, history on: how many events many publishers can publish through one node, each
// waiting for its own, and when they are on another node. It starts a Redis without persistence for each round, and takes turns. Run it on a quiet machine:
//
//	go run ./bench/redis
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
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
	publishers, topics, size, history int
	measured                          time.Duration
	rounds                            int
}

func main() {
	c := config{}
	flag.IntVar(&c.publishers, "publishers", 256, "how many publish at the same time")
	flag.IntVar(&c.topics, "topics", 100, "to how many topics")
	flag.IntVar(&c.size, "size", 200, "bytes of an event")
	flag.IntVar(&c.history, "history", 1000, "events of a topic that are kept")
	flag.DurationVar(&c.measured, "time", 5*time.Second, "how long a round takes")
	flag.IntVar(&c.rounds, "rounds", 3, "of each")
	flag.Parse()
	if err := c.run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/redis:", err)
		os.Exit(1)
	}
}

func (c config) run() error {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	peers := []struct {
		name string
		open func(addr string, c config, r receive) (peer, error)
	}{{"buffkit", openBuffkit}, {"centrifuge", openCentrifuge}}
	rates := map[string][]float64{}
	fmt.Printf("%d publishers, %d topics, %d bytes, history of %d events, %v a round\n", c.publishers, c.topics, c.size, c.history, c.measured)
	fmt.Println("| server | publishes/s | on the other node after, p50 | p99 | Redis CPU a publish | publishes a script | not received |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for range c.rounds {
		for _, p := range peers {
			r, err := c.round(p.open)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			rates[p.name] = append(rates[p.name], r.rate)
			fmt.Printf("| %s | %.0f | %v | %v | %.1f µs | %.1f | %d |\n", p.name, r.rate, r.p50, r.p99, r.redis.Seconds()*1e6/float64(r.sent),
				float64(r.sent)/float64(r.scripts), r.sent-r.received)
		}
	}
	ours, theirs := median(rates["buffkit"]), median(rates["centrifuge"])
	fmt.Printf("median: buffkit %.0f/s, centrifuge %.0f/s: %.1f times\n", ours, theirs, ours/theirs)
	return nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

type result struct {
	rate           float64
	sent, received int64
	p50, p99       time.Duration
	redis          time.Duration // its processor time
	scripts        int64
}

func (c config) round(open func(string, config, receive) (peer, error)) (r result, err error) {
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
	r.sent, err = c.publish(p)
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

// publish lets all publishers publish for as long as a round takes, and returns how many events were.
func (c config) publish(p peer) (int64, error) {
	var (
		sent  atomic.Int64
		all   sync.WaitGroup
		fails = make(chan error, c.publishers)
		end   = time.Now().Add(c.measured)
		fill  = strings.Repeat("x", c.size)
	)
	for i := range c.publishers {
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
