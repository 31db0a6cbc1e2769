package migratedb

import (
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/buffkit/buffkit/migrate"
)

// Of the places of a fault that are alike a run tries some, others each time; make fault-matrix tries all.
const (
	ownEvery     = 4 // of the runner's own boundaries: each statement of twelve has some six
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

// every chooses each so-manyth number from 1 to n, from one on that is another in each test and each run.
func every(t *testing.T, n, so int) (all []int) {
	t.Helper()
	begin := 1
	if thorough() {
		so = 1
	} else {
		number, err := chance()
		if err != nil {
			t.Fatalf("BUFFKIT_TEST_SEED: %v: give the number that a run has printed", err)
		}
		t.Logf("seed %d; again: BUFFKIT_TEST_SEED=%d", number, number)
		name := fnv.New64a()
		_, _ = name.Write([]byte(t.Name()))
		begin += rand.New(rand.NewPCG(number, name.Sum64())).IntN(so)
	}
	for ; begin <= n; begin += so {
		all = append(all, begin)
	}
	return all
}

// boundaries chooses at which of the things that a run says, from 1, a fault happens: at each statement of a migration, at the COMMIT of each
// transaction that has one, and at some of the runner's own.
func boundaries(t *testing.T, said []string) []int {
	t.Helper()
	at, within := every(t, len(said), ownEvery), false
	for i, query := range said {
		switch {
		case query == "BEGIN" || query == "BEGIN IMMEDIATE" || query == "START TRANSACTION":
			within = false
		case query == "COMMIT" && within, query != "COMMIT" && !isOurs(query):
			at, within = append(at, i+1), true
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
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
