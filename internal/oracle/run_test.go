package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/push"
)

// backend is the server that the nodes share, and how it is broken.
type backend interface {
	// target is the address that the nodes' proxies lead to.
	target() string
	// node returns what a node is told that reaches the server at an address.
	node(proxy string) nodeConfig
	// transactions tells whether nodes can publish within transactions.
	transactions() bool
	// faults are the server's own.
	faults(r *run) []fault
	// healed makes sure that the server works.
	healed(ctx context.Context) error
}

// run is one test of a backend.
type run struct {
	t       *testing.T
	backend backend
	ledger  *ledger
	fleet   *fleet
	swarm   *swarm
	topics  []string
	size    size

	longest atomic.Bool // the longest outage has been

	mu  sync.Mutex // guards what follows
	rng *rand.Rand

	calm sync.RWMutex // who breaks a node or its network holds it for reading; who needs them whole, for writing
}

// size is how much a run takes on.
type size struct {
	clients    int
	publishers int
	pause      time.Duration // of a publisher between two batches, on average
	length     time.Duration // of the faults at random; 0: each fault of the backend once, in their order
	nap        time.Duration // the longest that a client stays away
}

const (
	nodes        = 3
	topicCount   = 20
	rawClients   = 5                // one client of so many is no package client
	clockBehind  = 10 * time.Second // that of the last node, where it can be set
	longRun      = 3 * time.Minute  // has an outage of half a minute
	settleWithin = 2 * time.Minute
	retryWithin  = 30 * time.Second // of a batch with idempotency keys; they are known for five minutes
)

// Short runs are part of "make test"; "make oracle" makes long ones.
var (
	small = size{clients: 100, publishers: 6, pause: 150 * time.Millisecond, nap: 3 * time.Second}
	large = size{clients: 500, publishers: 12, pause: 400 * time.Millisecond, nap: 20 * time.Second}
)

// sizeOf reads BUFFKIT_TEST_ORACLE, how long faults come at random.
func sizeOf(t *testing.T) size {
	t.Helper()
	text := os.Getenv("BUFFKIT_TEST_ORACLE")
	if text == "" {
		return small
	}
	length, err := time.ParseDuration(text)
	if err != nil || length <= 0 {
		t.Fatalf("BUFFKIT_TEST_ORACLE is %q: give a duration such as 5m", text)
	}
	s := large
	s.length = length
	return s
}

// seedOf reads BUFFKIT_TEST_ORACLE_SEED, or chooses a seed.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("BUFFKIT_TEST_ORACLE_SEED")
	if text == "" {
		return rand.Uint64N(1_000_000)
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("BUFFKIT_TEST_ORACLE_SEED is %q: give the number that a run has printed", text)
	}
	return seed
}

// runOn is the test: it publishes, breaks things, lets all settle, and asks the judge.
func runOn(t *testing.T, b backend) {
	t.Helper()
	r := newRun(t, b, sizeOf(t), nil)
	r.play(r.breakThings).fail(t)
}

// newRun starts the nodes. A change, if there is one, is made to what each is told.
func newRun(t *testing.T, b backend, s size, change func(i int, c *nodeConfig)) *run {
	t.Helper()
	seed := seedOf(t)
	t.Logf("seed %d; again: BUFFKIT_TEST_ORACLE_SEED=%d", seed, seed)
	r := &run{t: t, backend: b, ledger: newLedger(), size: s, rng: rand.New(rand.NewPCG(seed, 0))}
	for i := range topicCount {
		r.topics = append(r.topics, fmt.Sprintf("topic-%02d", i))
	}
	r.fleet = newFleet(t, nodes, b.target(), func(i int, proxy string) nodeConfig {
		config := b.node(proxy)
		config.Topics = r.topics
		if i == nodes-1 && canSetClock {
			config.Behind = clockBehind
		}
		if change != nil {
			change(i, &config)
		}
		return config
	})
	r.mustSettle()
	if err := r.fleet.clocks(); err != nil {
		t.Fatal(err)
	}
	r.swarm = newSwarm(r.fleet, r.ledger, s.nap)
	t.Cleanup(r.swarm.wait)
	return r
}

// play lets clients follow and publishers publish while something is done, and judges when all has settled.
func (r *run) play(something func()) *judge {
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	r.startClients(ctx)
	stop := r.startPublishers()
	something()
	stop()
	r.mustSettle()
	r.finish()
	cancel()
	r.swarm.wait()
	j := r.ledger.judge(keeps)
	r.t.Logf("after %v: %v", r.ledger.now().Round(time.Second), j)
	return j
}

// n returns a number below a limit, from the seed.
func (r *run) n(limit int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rng.IntN(limit)
}

// between returns a time from the seed.
func (r *run) between(least, most time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return least + time.Duration(r.rng.Int64N(int64(most-least)+1))
}

// mustSettle waits until the server works and all nodes follow the log.
func (r *run) mustSettle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), settleWithin)
	defer cancel()
	if err := r.backend.healed(ctx); err != nil {
		r.t.Fatal(err)
	}
	if err := r.fleet.settled(ctx); err != nil {
		r.t.Fatal(err)
	}
}

// startClients starts clients of one to three topics each. Every topic has some of both kinds.
func (r *run) startClients(ctx context.Context) {
	for i := range r.size.clients {
		topics := []string{r.topics[i%topicCount]}
		for n := 1; n <= r.n(3); n++ {
			topics = append(topics, r.topics[(i+n*7)%topicCount])
		}
		kind := "client"
		raw := i/topicCount%rawClients == 0
		if raw {
			kind = "raw"
		}
		r.swarm.start(ctx, r.ledger.follower(fmt.Sprint(kind, " ", i+1), raw, topics...))
	}
}

// startPublishers publishes until the function that it returns is called, which waits for what is on its way.
func (r *run) startPublishers() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var all sync.WaitGroup
	for range r.size.publishers {
		all.Go(func() {
			for sleep(ctx, rand.N(2*r.size.pause)) {
				r.publish(r.batch())
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// batch chooses topics.
func (r *run) batch() (topics []string) {
	for range 1 + r.n(3) {
		topics = append(topics, r.topics[r.n(topicCount)])
	}
	return topics
}

// publish publishes a batch by some node, in one of three ways: as it is; with idempotency keys, and again as long as the outcome is unknown; in a
// transaction that is committed or not. It returns the events if they are known to be stored.
func (r *run) publish(topics []string) []*event {
	events := r.ledger.begin(topics...)
	way := r.n(3)
	o := order{Tx: way == 2 && r.backend.transactions(), Commit: r.n(2) == 0}
	for _, e := range events {
		own := push.Event{Topic: e.topic, Data: dataOf(e.number)}
		if way == 1 {
			own.IdempotencyKey = strconv.Itoa(e.number)
		}
		o.Events = append(o.Events, own)
	}
	var a answer
	tries, unsure := 0, false
	for began := time.Now(); ; tries++ {
		a = r.fleet.publish(context.WithoutCancel(r.t.Context()), r.fleet.members[r.n(nodes)], o)
		unsure = unsure || a.Outcome == unknown
		if way != 1 || !unsure || a.Outcome == acknowledged || a.Outcome == stored || time.Since(began) > retryWithin {
			break
		}
		<-time.After(100 * time.Millisecond) // what a publisher does who tries again
	}
	if unsure && a.Outcome == failed { // an earlier try may have been stored
		a.Outcome = unknown
	}
	places := make([]place, len(events))
	for i, cursor := range a.Cursors {
		p, err := parsePlace(cursor)
		if err != nil {
			r.t.Errorf("a node answers with the cursor %q: %v", cursor, err)
		}
		places[i] = p
	}
	r.ledger.end(events, a.Outcome, places, tries+1, fmt.Sprintf("tx %v, %s", o.Tx, a.Error))
	if a.Outcome == acknowledged || a.Outcome == stored {
		return events
	}
	return nil
}

// finish publishes a last event of each topic, and waits until all clients have come to it.
func (r *run) finish() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), settleWithin)
	defer cancel()
	last := map[string]*event{}
	for _, topic := range r.topics {
		for last[topic] == nil {
			if ctx.Err() != nil {
				r.t.Fatalf("nothing can be published, %v after the last fault", settleWithin)
			}
			if events := r.publish([]string{topic}); events != nil {
				last[topic] = events[0]
			}
		}
	}
	if err := r.swarm.has(ctx, last); err != nil {
		r.t.Errorf("%v after the last fault %v", settleWithin, err)
	}
}
