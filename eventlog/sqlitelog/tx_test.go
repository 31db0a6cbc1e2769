package sqlitelog_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

// openApp opens the file as an app does.
func openApp(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_txlock=immediate&_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Exec("CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestExactlyTheCommittedArriveInCommitOrder(t *testing.T) {
	t.Parallel()
	const writers, each, readers = 8, 125, 4
	path := newPath(t)
	log, db := openLog(t, path, sqlitelog.Options{}), openApp(t, path)
	start, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var reading, writing sync.WaitGroup
	got := make([][]string, readers)
	for i := range readers {
		reading.Go(func() { got[i] = follow(t, ctx, log, start) })
	}
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if err := order(ctx, log, db, fmt.Sprintf("%d %d", w, i), (w+i)%2 == 0); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	writing.Wait()
	if _, err := log.Append(ctx, eventlog.Event{Topic: "orders", Data: []byte("end")}); err != nil {
		t.Fatal(err)
	}
	reading.Wait()

	var want []string
	rows, err := db.Query("SELECT what FROM orders ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var what string
		if err := rows.Scan(&what); err != nil {
			t.Fatal(err)
		}
		want = append(want, what)
	}
	if len(want) != writers*each/2 {
		t.Fatalf("%d orders, want %d", len(want), writers*each/2)
	}
	for i := range got {
		if !slices.Equal(got[i], want) {
			t.Errorf("reader %d got %d orders, want the %d that were committed, in their order", i, len(got[i]), len(want))
		}
	}
}

// order saves an order and its event in one transaction.
func order(ctx context.Context, log *sqlitelog.Log, db *sql.DB, what string, commit bool) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (what) VALUES (?)", what); err != nil {
		return err
	}
	if _, err := log.AppendTx(ctx, tx, eventlog.Event{Topic: "orders", Data: []byte(what)}); err != nil {
		return err
	}
	if !commit {
		return nil
	}
	return tx.Commit()
}

// follow reads what comes until the end.
func follow(t *testing.T, ctx context.Context, log eventlog.Log, at eventlog.Cursor) (all []string) {
	wake := make(chan struct{}, 1)
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watching.Go(func() {
		log.Watch(ctx, func(string) {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
	})
	for {
		b, err := log.Read(ctx, []string{"orders"}, at, 10)
		if err != nil || len(b.Gaps) > 0 {
			t.Errorf("Read: %v, gaps %v", err, b.Gaps)
			return all
		}
		for _, e := range b.Entries {
			data := string(e.Event().Data)
			if data == "end" {
				return all
			}
			all = append(all, data)
		}
		if at = b.Next; len(b.Entries) == 0 {
			select {
			case <-wake:
			case <-ctx.Done():
			}
		}
	}
}

func TestAnEventOfATransactionArrivesWithoutAnotherPublish(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log, db := openLog(t, path, sqlitelog.Options{}), openApp(t, path)
	start, _ := log.Head(t.Context())
	if err := order(t.Context(), log, db, "kept", true); err != nil {
		t.Fatal(err)
	}
	await(t, "it arrives", func() bool { return len(readAll(t, log, start, "orders")) == 1 })
	bad := order(t.Context(), log, db, strings.Repeat("\xff", 3), true)
	if bad == nil {
		t.Error("an event that isn't UTF-8 was taken")
	}
}
