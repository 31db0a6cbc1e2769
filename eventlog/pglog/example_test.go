package pglog_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

// An order is saved and its event is sent, or neither.
func ExampleLog_AppendTx() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, exampleURL()) // postgres://user:password@host/database
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	log, err := pglog.OpenPool(ctx, pool, &pglog.Options{Migrate: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	if _, err := pool.Exec(ctx, "CREATE TABLE orders (id int PRIMARY KEY, item text NOT NULL)"); err != nil {
		fmt.Println(err)
		return
	}

	order := func(id int, item string, paid bool) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO orders VALUES ($1, $2)", id, item); err != nil {
				return err
			}
			if err := log.AppendTx(ctx, tx, eventlog.Event{Topic: "orders", Data: fmt.Appendf(nil, "order %d: %s", id, item)}); err != nil {
				return err
			}
			if !paid {
				return errors.New("not paid")
			}
			return nil
		})
	}
	fmt.Println(order(1, "tea", true))
	fmt.Println(order(2, "coffee", false))
	fmt.Println(order(3, "milk", true))

	for _, data := range nextEvents(log, 2) {
		fmt.Println(data)
	}
	// Output:
	// <nil>
	// not paid
	// <nil>
	// order 1: tea
	// order 3: milk
}

func exampleURL() string {
	server, err := startPostgres()
	if err != nil {
		return err.Error()
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server.URL(""))
	if err != nil {
		return err.Error()
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE SCHEMA example"); err != nil {
		return err.Error()
	}
	return server.URL("") + "?pool_max_conns=4&search_path=example"
}

// nextEvents waits for events, as a page that is open does.
func nextEvents(log *pglog.Log, n int) (all []string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	news := make(chan struct{}, 1)
	go log.Watch(ctx, func(string) {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	for at := (eventlog.Cursor{}); len(all) < n; {
		<-news
		b, err := log.Read(ctx, []string{"orders"}, at, 10)
		if err != nil {
			return []string{err.Error()}
		}
		for _, e := range b.Entries {
			all = append(all, string(e.Event().Data))
		}
		at = b.Next
	}
	return all
}
