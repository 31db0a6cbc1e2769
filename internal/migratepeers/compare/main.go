// Command compare measures this runner against goose and golang-migrate: 1,000 small migrations on PostgreSQL and SQLite, and the status of
// 10,000. It starts its own PostgreSQL and prints a table:
//
//	go run ./internal/migratepeers/compare
//
// Each runner gets the same statements in its own format from a folder on disk, the same driver, and a new database each time. The time is
// that of its Up, reading the folder included. The rounds alternate, and the median counts.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

func main() {
	rounds := flag.Int("rounds", 3, "how often each runner runs; the median counts")
	files := flag.Int("files", 1000, "how many migrations")
	listed := flag.Int("status", 10_000, "how many migrations status is asked for")
	only := flag.String("only", "", "buffkit, goose or golang-migrate alone")
	on := flag.String("on", "", "postgres or sqlite alone")
	profile := flag.String("profile", "", "a file for a CPU profile")
	flag.Parse()
	stop, err := profiled(*profile)
	if err == nil {
		err = errors.Join(compare(os.Stdout, *rounds, *files, *listed, *only, *on), stop())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// profiled starts a CPU profile if there is a file for it.
func profiled(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, pprof.StartCPUProfile(f)
}

// bench is one comparison.
type bench struct {
	dir       string
	postgres  *servers.PostgresDB
	databases int
}

func compare(w io.Writer, rounds, files, listed int, only, on string) (err error) {
	b := &bench{}
	if b.dir, err = os.MkdirTemp("", "buffkit-compare-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.postgres, err = servers.Postgres(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.postgres.Stop()) }()
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "%d migrations, median of %d, %d CPUs\n\tdatabase\ttime\tof the fastest peer\n", files, rounds, runtime.NumCPU())
	targets := []dialect.Dialect{dialect.Postgres, dialect.SQLite}
	targets = slices.DeleteFunc(targets, func(d dialect.Dialect) bool { return on != "" && d.String() != on })
	for _, d := range targets {
		if err := b.up(out, d, rounds, files, only); err != nil {
			return err
		}
	}
	for _, d := range targets {
		if err := b.status(out, d, listed); err != nil {
			return err
		}
	}
	return out.Flush()
}

// runner is one that is measured.
type runner struct {
	name   string
	folder string
	up     func(ctx context.Context, db *sql.DB, d dialect.Dialect, fsys fs.FS) error
}

// up measures all runners on one database.
func (b *bench) up(w io.Writer, d dialect.Dialect, rounds, files int, only string) error {
	all := []runner{{"buffkit", "paired", upBuffkit}, {"goose", "goose", upGoose}, {"golang-migrate", "paired", upGolangMigrate}}
	all = slices.DeleteFunc(all, func(r runner) bool { return only != "" && r.name != only })
	if err := b.write(files); err != nil {
		return err
	}
	times := map[string][]time.Duration{}
	for range rounds {
		for _, r := range all {
			took, err := b.one(r, d)
			if err != nil {
				return fmt.Errorf("%s on %s: %w", r.name, d.Title(), err)
			}
			times[r.name] = append(times[r.name], took)
		}
	}
	fastest := time.Duration(0)
	for _, r := range all {
		if m := median(times[r.name]); r.name != "buffkit" && (fastest == 0 || m < fastest) {
			fastest = m
		}
	}
	for _, r := range all {
		m := median(times[r.name])
		share := ""
		if fastest > 0 {
			share = fmt.Sprintf("%.2f", m.Seconds()/fastest.Seconds())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.name, d.Title(), m.Round(time.Millisecond), share)
	}
	return nil
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)/2]
}

// one runs a runner once on a new database.
func (b *bench) one(r runner, d dialect.Dialect) (time.Duration, error) {
	db, drop, err := b.open(d)
	if err != nil {
		return 0, err
	}
	runtime.GC()
	begun := time.Now()
	err = r.up(context.Background(), db, d, os.DirFS(filepath.Join(b.dir, r.folder)))
	took := time.Since(begun)
	return took, errors.Join(err, drop())
}

// write writes the migrations in both formats.
func (b *bench) write(n int) error {
	for _, folder := range []string{"goose", "paired"} {
		if err := os.MkdirAll(filepath.Join(b.dir, folder), 0o755); err != nil {
			return err
		}
	}
	for i := 1; i <= n; i++ {
		up := fmt.Sprintf("CREATE TABLE t%d (id bigint NOT NULL PRIMARY KEY, name varchar(100) NOT NULL, n integer);\n", i)
		down := fmt.Sprintf("DROP TABLE t%d;\n", i)
		stem := fmt.Sprintf("%06d_t%d", i, i)
		for name, text := range map[string]string{"goose/" + stem + ".sql": "-- +goose Up\n" + up + "-- +goose Down\n" + down,
			"paired/" + stem + ".up.sql": up, "paired/" + stem + ".down.sql": down} {
			if err := os.WriteFile(filepath.Join(b.dir, filepath.FromSlash(name)), []byte(text), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// open makes a new database.
func (b *bench) open(d dialect.Dialect) (db *sql.DB, drop func() error, err error) {
	b.databases++
	name := fmt.Sprintf("db%d", b.databases)
	if d == dialect.SQLite {
		path := filepath.Join(b.dir, name)
		db, err = sql.Open("sqlite", "file:"+path)
		return db, func() error { return errors.Join(db.Close(), os.Remove(path)) }, err
	}
	admin, err := sql.Open("pgx", b.postgres.URL(""))
	if err != nil {
		return nil, nil, err
	}
	if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
		return nil, nil, errors.Join(err, admin.Close())
	}
	db, err = sql.Open("pgx", b.postgres.URL(name))
	return db, func() error {
		err := db.Close()
		_, dropErr := admin.Exec("DROP DATABASE " + name + " WITH (FORCE)")
		return errors.Join(err, dropErr, admin.Close())
	}, err
}

// status measures the list of many migrations that are applied.
func (b *bench) status(w io.Writer, d dialect.Dialect, n int) error {
	folder := filepath.Join(b.dir, "many")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for i := 1; i <= n; i++ {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%06d_t.up.sql", i)), []byte("SELECT 1;\n"), 0o600); err != nil {
			return err
		}
	}
	db, drop, err := b.open(d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	m, err := migrator(db, d, os.DirFS(folder))
	if err != nil {
		return err
	}
	if err := m.Baseline(context.Background(), migrate.Ref{Version: migrate.Version(fmt.Sprint(n))}); err != nil {
		return err
	}
	var times []time.Duration
	for range 5 {
		begun := time.Now()
		infos, err := m.Status(context.Background())
		times = append(times, time.Since(begun))
		if err != nil || len(infos) != n || infos[n-1].State != migrate.Applied {
			return fmt.Errorf("status of %d: %d %w", n, len(infos), err)
		}
	}
	_, err = fmt.Fprintf(w, "status of %d\t%s\t%s\t\n", n, d.Title(), median(times).Round(time.Millisecond))
	return err
}

func migrator(db *sql.DB, d dialect.Dialect, fsys fs.FS) (*migrate.Migrator, error) {
	return migrate.New(db, d, &migrate.Options{Sources: []migrate.Source{{FS: fsys}}, Logger: slog.New(slog.DiscardHandler)})
}

func upBuffkit(ctx context.Context, db *sql.DB, d dialect.Dialect, fsys fs.FS) error {
	m, err := migrator(db, d, fsys)
	if err != nil {
		return err
	}
	_, err = m.Up(ctx)
	return err
}
