package sqlitelog_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
	"github.com/buffkit/buffkit/internal/leaktest"
)

// childVar makes the test binary a process that appends to the file it names until it is killed.
const childVar = "BUFFKIT_SQLITELOG_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVar); path != "" {
		fmt.Fprintln(os.Stderr, appendForEver(path))
		os.Exit(1)
	}
	leaktest.Main(m)
}

// appendForEver tells of each event when it was acknowledged.
func appendForEver(path string) error {
	log, err := sqlitelog.Open(context.Background(), path, nil)
	if err != nil {
		return err
	}
	const writers = 8
	errs := make(chan error, writers)
	var mu sync.Mutex // guards stdout
	for w := range writers {
		go func() {
			for i := 0; ; i++ {
				at, err := log.Append(context.Background(), eventlog.Event{Topic: "child", Data: fmt.Appendf(nil, "%d %d", w, i)})
				if err != nil {
					errs <- err
					return
				}
				mu.Lock()
				fmt.Printf("%v %d %d\n", at[0], w, i)
				mu.Unlock()
			}
		}()
	}
	return <-errs
}
