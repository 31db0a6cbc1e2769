package migratedb

import (
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/buffkit/buffkit/migrate"
)

// Of the places of a fault that are alike a run tries some, others each time; make fault-matrix tries all.
const (
	ownEvery     = 5 // of the runner's own boundaries: each statement of twelve has some six
	networkEvery = 7 // of all; to end the connections, which the server does at more, is nearly the same
	manyEvery    = 5 // of all, among many migrations
)

// chance chooses them. BUFFKIT_TEST_SEED is that of an earlier run.
var chance = sync.OnceValues(func() (uint64, error) {
	text := os.Getenv("BUFFKIT_TEST_SEED")
	if text == "" {
		return rand.Uint64N(1_000_000), nil
	}
	return strconv.ParseUint(text, 10, 64)
})

// every chooses one of each so many numbers from 1 to n, others in each test and each run. What comes at the same distances, as the runner's own
// statements do, is met at all of its phases.
func every(t *testing.T, n, so int) (all []int) {
	t.Helper()
	if thorough() {
		so = 1
	}
	number, err := chance()
	if err != nil {
		t.Fatalf("BUFFKIT_TEST_SEED: %v: give the number that a run has printed", err)
	}
	t.Logf("seed %d; again: BUFFKIT_TEST_SEED=%d", number, number)
	name := fnv.New64a()
	_, _ = name.Write([]byte(t.Name()))
	random := rand.New(rand.NewPCG(number, name.Sum64()))
	for begin := 1; begin <= n; begin += so {
		if at := begin + random.IntN(so); at <= n {
			all = append(all, at)
		}
	}
	return all
}

// place is where a fault happens: where a run says this for the k-th time. What it says only when it is slow shifts nothing.
type place struct {
	n     int // of all that was said when it was recorded, from 1
	query string
	k     int // from 1
}

// placesOf are those of the numbers among what was said.
func placesOf(said []string, at []int) (all []place) {
	times := map[string]int{}
	for i, query := range said {
		times[query]++
		if slices.Contains(at, i+1) {
			all = append(all, place{i + 1, query, times[query]})
		}
	}
	return all
}

// reached tells, of each thing that is said, whether this is the place.
func (p place) reached() func(query string) bool {
	var times atomic.Int64
	return func(query string) bool { return query == p.query && times.Add(1) == int64(p.k) }
}

// missed is for a run that didn't come to the place. A slow one that was recorded has asked more: whether it still has the lock, who is in the way.
func (p place) missed(t *testing.T) {
	t.Helper()
	report := t.Errorf
	if isOurs(p.query) {
		report = t.Logf
	}
	report("it didn't come to what was number %d when it was recorded, for time %d: %s", p.n, p.k, p.query)
}

// mostly fails a test whose faults didn't happen at the places that were chosen.
func mostly(t *testing.T, happened, chosen, boundaries int) {
	t.Helper()
	t.Logf("at %d of %d places, of %d boundaries", happened, chosen, boundaries)
	if happened*4 < chosen*3 {
		t.Errorf("it happened at %d of %d places", happened, chosen)
	}
}

// boundaries chooses at which of the things that a run says, from 1, a fault happens: at each statement of a migration, at the COMMIT of each
// transaction that has one, and at some of the runner's own. Where a statement is outside of a transaction that is also beside it: -1 or 1.
func boundaries(t *testing.T, said []string, beside int) []int {
	t.Helper()
	at, open, within := every(t, len(said), ownEvery), false, false
	for i, query := range said {
		switch {
		case query == "BEGIN" || query == "BEGIN IMMEDIATE" || query == "START TRANSACTION":
			open, within = true, false
		case query == "COMMIT":
			if within {
				at = append(at, i+1)
			}
			open = false
		case !isOurs(query):
			at, within = append(at, i+1), true
			if !open {
				at = append(at, i+1+beside)
			}
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}

func boundariesAndBehind(t *testing.T, said []string) []int {
	t.Helper()
	return boundaries(t, said, 1)
}

// says records what a run says.
func says(t *testing.T, on target, driverName, dsn, folder string, goal migrate.Goal) []string {
	t.Helper()
	w, said := recorder()
	db, err := w.open(driverName, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := migrator(t, on, db, of(dirFS(folder))).Run(t.Context(), goal); err != nil {
		t.Fatal(err)
	}
	return said()
}
