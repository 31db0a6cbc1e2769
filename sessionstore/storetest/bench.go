package storetest

import (
	"testing"
	"time"

	"github.com/buffkit/buffkit/sessionstore"
)

// Bench measures claims of sessions that the store knows, as after a restart of a node: batches of a size, one after the other, each taken back
// outside of the time that is measured. Metric: claims/s.
func Bench(b *testing.B, store sessionstore.Store, size int) {
	const batches = 8
	var claims [][]sessionstore.Claim
	var leaves [][]sessionstore.Leave
	for range batches {
		var some []sessionstore.Claim
		var back []sessionstore.Leave
		for _, id := range newIDs(size) {
			some = append(some, sessionstore.Claim{Session: id, User: string(id[:]), Grace: time.Minute, MaxPerSession: 16, MaxPerUser: 64})
			back = append(back, sessionstore.Leave{Session: id, User: string(id[:]), Cursor: place(9)})
		}
		claims, leaves = append(claims, some), append(leaves, back)
	}
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	ctx := b.Context()
	must(store.Restore(ctx, "bench", time.Hour, nil))
	claim := func(i int) {
		outcomes, err := store.Connect(ctx, "bench", claims[i%batches])
		must(err)
		must(outcomes[0].Err)
	}
	for i := range batches {
		claim(i)
		must(store.Leave(ctx, "bench", leaves[i]))
	}
	for i := 0; b.Loop(); i++ {
		claim(i)
		b.StopTimer()
		must(store.Leave(ctx, "bench", leaves[i%batches]))
		b.StartTimer()
	}
	b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "claims/s")
}
