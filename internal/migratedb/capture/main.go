// Command capture writes docs/kill.md: what a user sees in a terminal when migrations are killed, or stopped by Ctrl-C, and when they are run again. It
// starts a MariaDB, builds buffkit, and really does it, on a pseudo-terminal. From the root of the checkout:
//
//	go run ./internal/migratedb/capture
package main

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/buffkit/buffkit/internal/servers"

	"github.com/creack/pty"
	_ "github.com/go-sql-driver/mysql"
)

const page = "docs/kill.md"

const migration = `CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(200));
INSERT INTO orders SELECT seq, REPEAT('x', 150) FROM seq_1_to_400000;
ALTER TABLE orders ADD COLUMN total INT, ALGORITHM = COPY;
CREATE INDEX orders_name ON orders (name);
INSERT INTO orders (id, name) VALUES (0, 'the last');
`

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "capture:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	work, err := os.MkdirTemp("", "buffkit-capture-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := os.Chmod(work, 0o755); err != nil { // the server is another user
		return err
	}
	binary := filepath.Join(work, "buffkit")
	if out, err := exec.Command("go", "build", "-o", binary, "./cmd/buffkit").CombinedOutput(); err != nil {
		return fmt.Errorf("build buffkit, from the root of the checkout: %w\n%s", err, out)
	}
	if err := os.Mkdir(filepath.Join(work, "migrations"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "migrations", "1_orders.up.sql"), []byte(migration), 0o644); err != nil {
		return err
	}
	server, err := servers.MariaDB(servers.In(work))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	killed, err := story(work, binary, server, "killed", (*terminal).kill)
	if err != nil {
		return err
	}
	stopped, err := story(work, binary, server, "stopped", (*terminal).interrupt)
	if err != nil {
		return err
	}
	return os.WriteFile(page, []byte(fmt.Sprintf(text, migration, killed, stopped)), 0o644)
}

const text = `# When a migration is killed

This is what a terminal shows. ` + "`go run ./internal/migratedb/capture`" + ` has written it, by doing it on MariaDB, where nothing of such a migration can be
rolled back:

` + "```sql\n-- migrations/1_orders.up.sql\n%s```" + `

## kill -9

While the server copies the table for statement 3, another terminal sends the runner kill -9, which it can't notice. The server can't either, and
goes on with the statement. The next ` + "`up`" + ` waits for it, sees in the catalog that it took effect, and goes on behind it.

` + "```\n%s```" + `

## Ctrl-C

The runner has the server stop the statement, and then says what is left. The next ` + "`up`" + ` begins with the statement that was stopped.

` + "```\n%s```" + `

What else is done to a run, and on which server: [the fault matrix](fault-matrix.md).
`

// story runs the migration, ends it during its third statement, and runs it again.
func story(work, binary string, server *servers.MariaDBServer, name string, end func(*terminal) error) (string, error) {
	db, err := sql.Open("mysql", server.DSN(""))
	if err != nil {
		return "", err
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		return "", err
	}
	s := &session{work: work, binary: binary, url: fmt.Sprintf("mariadb://root@127.0.0.1:%d/%s", server.Port, name)}
	err = errors.Join(s.command("up", func(t *terminal) error { return errors.Join(altering(db, name), end(t)) }),
		s.command("status", nil), s.command("up", nil), s.command("status", nil))
	return s.shown.String(), err
}

// altering waits until the server is at the third statement.
func altering(db *sql.DB, name string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM information_schema.processlist WHERE db = ? AND info LIKE 'ALTER%' AND time_ms > 300", name).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return nil
		}
	}
	return errors.New("the third statement was over too soon, or never came")
}

// session is what somebody types, and sees.
type session struct {
	work, binary, url string
	shown             bytes.Buffer
}

// command runs one in a terminal; during is called meanwhile.
func (s *session) command(name string, during func(*terminal) error) error {
	fmt.Fprintf(&s.shown, "$ buffkit migrate %s\n", name)
	cmd := exec.Command(s.binary, "migrate", name)
	cmd.Dir = s.work
	cmd.Env = append(os.Environ(), "DATABASE_URL="+s.url, "TERM=dumb")
	t, err := open(cmd)
	if err != nil {
		return err
	}
	if during != nil {
		err = during(t)
	}
	s.shown.WriteString(t.rest())
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		s.shown.WriteString("Killed\n")
	}
	return err
}

type terminal struct {
	*os.File
	cmd  *exec.Cmd
	all  sync.WaitGroup
	seen bytes.Buffer
}

func open(cmd *exec.Cmd) (*terminal, error) {
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 120})
	if err != nil {
		return nil, err
	}
	t := &terminal{File: file, cmd: cmd}
	t.all.Go(func() { _, _ = t.seen.ReadFrom(file) }) // it ends with an error when the program does
	return t, nil
}

func (t *terminal) kill() error { return t.cmd.Process.Kill() }

func (t *terminal) interrupt() error {
	_, err := t.WriteString("\x03")
	return err
}

var number = regexp.MustCompile(`[^\s]+:\d+( connection| for)`)

// rest waits for the program's end and returns what it has printed. Names of this machine are left out.
func (t *terminal) rest() string {
	_ = t.cmd.Wait() // how it ended is in the state
	t.all.Wait()
	_ = t.Close()
	shown := strings.ReplaceAll(t.seen.String(), "\r\n", "\n")
	return number.ReplaceAllString(shown, "web-1:4711$1")
}
