package redisstore_test

import (
	"fmt"
	"testing"

	"github.com/buffkit/buffkit/sessionstore"
	"github.com/buffkit/buffkit/sessionstore/redisstore"
	"github.com/buffkit/buffkit/sessionstore/storetest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) storetest.Store {
				opts := redisstore.Options{Addrs: kind.addrs(t), Prefix: prefix()}
				again := func(t *testing.T) sessionstore.Store { return openStore(t, opts) }
				return storetest.Store{Store: again(t), Again: again}
			})
		})
	}
}

func BenchmarkConnect(b *testing.B) {
	for _, kind := range kinds[:2] {
		for _, size := range []int{1, 256} {
			b.Run(fmt.Sprintf("%s/batch=%d", kind.name, size), func(b *testing.B) {
				storetest.Bench(b, openStore(b, redisstore.Options{Addrs: kind.addrs(b), Prefix: prefix()}), size)
			})
		}
	}
}
