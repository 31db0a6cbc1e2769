//go:build unix

package sqlitelog_test

import (
	"errors"
	"os"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

// SQLite goes on in a file that nobody finds again.
func TestNothingIsAcknowledgedThatIsInNoFile(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log := openLog(t, path, sqlitelog.Options{})
	app := openApp(t, path)
	send := func() error {
		_, err := log.Append(t.Context(), eventlog.Event{Topic: "t", Data: []byte("x")})
		return err
	}
	sendTx := func() error {
		tx, err := app.BeginTx(t.Context(), nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		_, err = log.AppendTx(t.Context(), tx, eventlog.Event{Topic: "t", Data: []byte("x")})
		return errors.Join(err, tx.Rollback())
	}
	refused := func(why string) {
		t.Helper()
		if err := send(); !errors.Is(err, sqlitelog.ErrMoved) {
			t.Errorf("%s: Append returned %v", why, err)
		}
		if err := sendTx(); !errors.Is(err, sqlitelog.ErrMoved) {
			t.Errorf("%s: AppendTx returned %v", why, err)
		}
	}
	if err := errors.Join(send(), sendTx(), os.Rename(path, path+".moved")); err != nil {
		t.Fatal(err)
	}
	refused("moved")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("replaced")
	if err := errors.Join(os.Remove(path), os.Rename(path+".moved", path)); err != nil {
		t.Fatal(err)
	}
	if err := send(); err != nil {
		t.Errorf("put back: %v", err)
	}
	if n := len(readAll(t, log, eventlog.Cursor{}, "t")); n != 2 {
		t.Errorf("%d events, want the two that were acknowledged", n)
	}
}
