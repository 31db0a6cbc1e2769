package sqlitelog_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

// The order is saved and its event sent, or neither.
func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "shop.db")
	log, err := sqlitelog.Open(ctx, path, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.Exec("CREATE TABLE orders (what TEXT NOT NULL)")

	save := func(what string, paid bool) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // does nothing after Commit
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (what) VALUES (?)", what); err != nil {
			return err
		}
		if _, err := log.AppendTx(ctx, tx, eventlog.Event{Topic: "orders", Data: []byte(what)}); err != nil {
			return err
		}
		if !paid {
			return errors.New("not paid")
		}
		return tx.Commit()
	}
	fmt.Println("tea:", save("tea", true))
	fmt.Println("cake:", save("cake", false))
	log.Append(ctx, eventlog.Event{Topic: "orders", Data: []byte("closing time")}) // visible when it returns, and what was before it too

	batch, err := log.Read(ctx, []string{"orders"}, eventlog.Cursor{}, 10)
	if err != nil {
		fmt.Println(err)
	}
	for _, entry := range batch.Entries {
		fmt.Printf("event: %s\n", entry.Event().Data)
	}
	// Output:
	// tea: <nil>
	// cake: not paid
	// event: tea
	// event: closing time
}
