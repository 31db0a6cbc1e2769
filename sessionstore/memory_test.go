package sessionstore_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/buffkit/buffkit/sessionstore"
	"github.com/buffkit/buffkit/sessionstore/storetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) storetest.Store { return storetest.Store{Store: sessionstore.NewMemory()} })
}

// A session costs an attacker nothing to replay: the memory of it must be bounded.
func TestMemoryForgetsTheOldestOfTooManyReplays(t *testing.T) {
	t.Parallel()
	store := sessionstore.NewMemory()
	defer store.Close()
	const extra = 10
	claims := make([]sessionstore.Claim, 0, 2*(sessionstore.MaxReplays+extra))
	for range sessionstore.MaxReplays + extra {
		var id sessionstore.ID
		_, _ = rand.Read(id[:])
		claims = append(claims, sessionstore.Claim{Session: id, Generation: 2}, sessionstore.Claim{Session: id, Generation: 1, Grace: -1})
	}
	if _, err := store.Connect(t.Context(), "a", claims); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Sweep(t.Context(), 1<<62, 1<<62, 0); err != nil {
		t.Fatal(err)
	}
	again, err := store.Connect(t.Context(), "a", []sessionstore.Claim{claims[2*extra-1], claims[2*extra+1]})
	if err != nil {
		t.Fatal(err)
	}
	if again[0].Err != nil || again[1].Err != sessionstore.ErrRevoked {
		t.Errorf("the last that must be forgotten: %v; the first that mustn't: %v", again[0].Err, again[1].Err)
	}
}

func BenchmarkMemory(b *testing.B) {
	for _, size := range []int{1, 256} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			store := sessionstore.NewMemory()
			defer store.Close()
			storetest.Bench(b, store, size)
		})
	}
}
