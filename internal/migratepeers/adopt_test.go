package migratepeers

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/adopt"
	"github.com/buffkit/buffkit/migrate/dialect"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	bunmigrate "github.com/uptrace/bun/migrate"
)

// eachPeer runs a test for each tool on each database that it knows, when the tool has applied two of four migrations.
func eachPeer(t *testing.T, test func(t *testing.T, p peer, on *database)) {
	t.Helper()
	for _, p := range peers {
		for _, d := range p.on {
			t.Run(string(p.tool)+" on "+d.String(), func(t *testing.T) {
				t.Parallel()
				on := newDatabase(t, d)
				if err := p.migrate(t, on, folderOf(p.tool, d, 4)); err != nil {
					t.Fatalf("%s itself: %v", p.tool, err)
				}
				test(t, p, on)
			})
		}
	}
}

// adopting is a tool's folder and ledger, read.
type adopting struct {
	*migrate.Migrator
	dir     *adopt.Dir
	history *adopt.History
}

func open(t *testing.T, p peer, on *database) adopting {
	t.Helper()
	fsys := folderOf(p.tool, on.dialect, 4)
	tool, err := adopt.Find(t.Context(), fsys, on.DB, on.dialect, nil)
	if err != nil || tool != p.tool {
		t.Fatalf("taken for %q: %v", tool, err)
	}
	dir, err := adopt.Open(fsys, tool, on.dialect)
	if err != nil {
		t.Fatal(err)
	}
	history, err := dir.History(t.Context(), on.DB, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := migrate.New(on.DB, on.dialect, &migrate.Options{Sources: []migrate.Source{{FS: dir}}, Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	return adopting{m, dir, history}
}

func TestUpGoesOnWhereThePeerStopped(t *testing.T) {
	t.Parallel()
	eachPeer(t, func(t *testing.T, p peer, on *database) {
		a, before := open(t, p, on), dump(t, on.DB, p.ledger)
		res, err := a.Adopt(t.Context(), a.history.Adoption(""))
		if err != nil {
			t.Fatal(err)
		}
		if got := versionsOf(res); !slices.Equal(got, p.versions[:applied]) || len(res.Pending) != 2 || len(res.Warnings) > 0 {
			t.Fatalf("adopted %q, pending %v, warnings %q", got, res.Pending, res.Warnings)
		}
		run, err := a.Up(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(run.Steps) != 2 || number(t, on, "SELECT n FROM books") != 0 {
			t.Fatalf("%+v", run.Steps)
		}
		mustExec(t, on.DB, "INSERT INTO authors VALUES (1, 'A')")
		if n := number(t, on, "SELECT n FROM books"); n != 2 {
			t.Errorf("the third migration: the trigger counted to %d, not 2", n)
		}
		if _, err := a.Down(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		if has(t, on.DB, "authors") || has(t, on.DB, "books") {
			t.Error("the tool's own migrations weren't undone by its files")
		}
		if after := dump(t, on.DB, p.ledger); after != before {
			t.Errorf("the old ledger changed:\n%s\n%s", before, after)
		}
	})
}

func TestAReplayShowsThatTheDatabaseIsWhatItsMigrationsMake(t *testing.T) {
	t.Parallel()
	eachPeer(t, func(t *testing.T, p peer, on *database) {
		a := open(t, p, on)
		v, err := a.VerifyAdopt(t.Context(), a.history.Adoption(""), newDatabase(t, on.dialect).DB)
		if err != nil || v.Replayed != applied || len(v.Differences) > 0 {
			t.Fatalf("%+v %v", v, err)
		}
		if has(t, on.DB, migrate.DefaultTable) {
			t.Error("there is a ledger")
		}
	})
}

func TestAReplayShowsWhatIsMissingExtraOrDifferent(t *testing.T) {
	t.Parallel()
	for _, d := range everywhere {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			on, p := newDatabase(t, d), peers[0]
			if err := p.migrate(t, on, folderOf(p.tool, d, 4)); err != nil {
				t.Fatal(err)
			}
			a := open(t, p, on)
			mustExec(t, on.DB, "DROP TABLE authors", "ALTER TABLE books ADD COLUMN title varchar(20)", "CREATE TABLE stray (id integer)")
			v, err := a.VerifyAdopt(t.Context(), a.history.Adoption(""), newDatabase(t, d).DB)
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, d := range v.Differences {
				found = append(found, d.What+" "+d.Object[strings.LastIndexAny(d.Object, " .")+1:])
			}
			if want := []string{"missing authors", "different books", "extra stray"}; !slices.Equal(found, want) {
				t.Errorf("%q, want %q", found, want)
			}
			if _, err := a.VerifyAdopt(t.Context(), a.history.Adoption(""), on.DB); err == nil || !strings.Contains(err.Error(), "the scratch database isn't empty") {
				t.Errorf("on itself: %v", err)
			}
		})
	}
}

// What bun made by itself is a table with a sequence.
func TestALedgerInAnotherSchemaIsNoDifference(t *testing.T) {
	t.Parallel()
	on := newDatabase(t, dialect.Postgres)
	mustExec(t, on.DB, "CREATE SCHEMA admin", "CREATE TABLE authors (id integer, name varchar(100))")
	m := bunmigrate.NewMigrator(bun.NewDB(on.again(t, ""), pgdialect.New()), bunmigrate.NewMigrations(), bunmigrate.WithTableName("admin.bun_migrations"))
	if err := m.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, on.DB, "INSERT INTO admin.bun_migrations (name, group_id) VALUES ('"+stamps[0]+"', 1)")
	dir, err := adopt.Open(folderOf(adopt.Bun, on.dialect, 4), adopt.Bun, on.dialect)
	if err != nil {
		t.Fatal(err)
	}
	history, err := dir.History(t.Context(), on.DB, &adopt.Options{Table: "admin.bun_migrations"})
	if err != nil {
		t.Fatal(err)
	}
	ours, err := migrate.New(on.DB, on.dialect, &migrate.Options{Sources: []migrate.Source{{FS: dir}}, Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	v, err := ours.VerifyAdopt(t.Context(), history.Adoption(""), newDatabase(t, on.dialect).DB)
	if err != nil || len(v.Differences) != 1 || v.Differences[0].Object != "schema admin" {
		t.Errorf("%+v %v", v, err)
	}
}

func TestUpBeforeAdoptIsRefused(t *testing.T) {
	t.Parallel()
	eachPeer(t, func(t *testing.T, p peer, on *database) {
		a := open(t, p, on)
		refused := func(says string) {
			t.Helper()
			if _, err := a.Up(t.Context()); !errors.Is(err, migrate.ErrUnadopted) || !strings.Contains(err.Error(), says) {
				t.Errorf("%v", err)
			}
		}
		refused("adopt first: buffkit migrate adopt --from " + string(p.tool))
		if has(t, on.DB, migrate.DefaultTable) {
			t.Error("there is a ledger")
		}
		if _, err := a.Adopt(t.Context(), a.history.Adoption("")); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		refused("drop the table " + p.ledger)
		mustExec(t, on.DB, "DROP TABLE "+p.ledger)
		if res, err := a.Up(t.Context()); err != nil || len(res.Steps) != 4 {
			t.Errorf("%+v %v", res, err)
		}
	})
}

func TestAToolThatGoesOnMeanwhileIsNoticed(t *testing.T) {
	t.Parallel()
	for _, d := range everywhere {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			on, p := newDatabase(t, d), peers[0]
			if err := p.migrate(t, on, folderOf(p.tool, d, 4)); err != nil {
				t.Fatal(err)
			}
			a := open(t, p, on)
			mustExec(t, on.DB, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (3, true)")
			if _, err := a.Adopt(t.Context(), a.history.Adoption("")); err == nil || !strings.Contains(err.Error(), "goose went on meanwhile: it had applied 2 migrations, and now it is 3") {
				t.Errorf("%v", err)
			}
			infos, err := a.Status(t.Context())
			if err != nil || slices.ContainsFunc(infos, func(i migrate.Info) bool { return i.State != migrate.Pending }) {
				t.Errorf("rows were written: %+v, %v", infos, err)
			}
		})
	}
}

func TestBunsLockIsFoundBesideItsLedger(t *testing.T) {
	t.Parallel()
	for _, locks := range []string{"bun_migration_locks", "admin.bun_migration_locks"} {
		t.Run(locks, func(t *testing.T) {
			t.Parallel()
			on := newDatabase(t, dialect.Postgres)
			mustExec(t, on.DB, "CREATE SCHEMA admin")
			m := bunmigrate.NewMigrator(bun.NewDB(on.again(t, ""), pgdialect.New()), bunmigrate.NewMigrations(),
				bunmigrate.WithTableName("admin.bun_migrations"), bunmigrate.WithLocksTableName(locks))
			if err := m.Init(t.Context()); err != nil {
				t.Fatal(err)
			}
			dir, err := adopt.Open(folderOf(adopt.Bun, on.dialect, 4), adopt.Bun, on.dialect)
			if err != nil {
				t.Fatal(err)
			}
			opts := &adopt.Options{Table: "admin.bun_migrations"}
			if _, err := dir.History(t.Context(), on.DB, opts); err != nil {
				t.Errorf("without a lock: %v", err)
			}
			if err := m.Lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := dir.History(t.Context(), on.DB, opts); err == nil || !strings.Contains(err.Error(), "bun holds its lock") || !strings.Contains(err.Error(), "DELETE FROM "+locks) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestTwoMigrationsOfOneNumberAreNamed(t *testing.T) {
	t.Parallel()
	on := newDatabase(t, dialect.SQLite)
	mustExec(t, on.DB, "CREATE TABLE gorp_migrations (id varchar(255) PRIMARY KEY, applied_at datetime)", "INSERT INTO gorp_migrations VALUES ('1-a.sql', '2024-01-01'), ('01-b.sql', '2024-01-02')")
	dir, err := adopt.Open(folderOf(adopt.SQLMigrate, on.dialect, 4), adopt.SQLMigrate, on.dialect)
	if err != nil {
		t.Fatal(err)
	}
	_, err = dir.History(t.Context(), on.DB, nil)
	if err == nil || !strings.Contains(err.Error(), `the ids "1-a.sql" and "01-b.sql" have one number`) || strings.Contains(err.Error(), "delete one of the rows") {
		t.Errorf("%v", err)
	}
	m, err := migrate.New(on.DB, on.dialect, &migrate.Options{Sources: []migrate.Source{{FS: dir}}, AllowMissing: true, Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Adopt(t.Context(), migrate.Adoption{Origin: "sql-migrate", Applied: []migrate.Adopted{{Version: "1"}, {Version: "01"}}})
	if err == nil || !strings.Contains(err.Error(), "sql-migrate has applied the version 01 twice, as 1 too") {
		t.Errorf("%v", err)
	}
}

func versionsOf(res *migrate.AdoptResult) (all []string) {
	for _, r := range res.Rows {
		all = append(all, strings.TrimLeft(string(r.Ref.Version), "0"))
	}
	return all
}

func number(t *testing.T, on *database, query string) (n int) {
	t.Helper()
	if err := on.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestCheckAdoptWritesNothing(t *testing.T) {
	t.Parallel()
	eachPeer(t, func(t *testing.T, p peer, on *database) {
		a := open(t, p, on)
		res, err := a.CheckAdopt(t.Context(), a.history.Adoption(""))
		if err != nil || len(res.Rows) != applied || res.Rows[0].Origin != string(p.tool) {
			t.Fatalf("%+v %v", res, err)
		}
		if has(t, on.DB, migrate.DefaultTable) {
			t.Error("there is a ledger")
		}
	})
}

func TestAWrittenFolderIsTheSameAsTheAdoptedOne(t *testing.T) {
	t.Parallel()
	eachPeer(t, func(t *testing.T, p peer, on *database) {
		a := open(t, p, on)
		folder := filepath.Join(t.TempDir(), "ours")
		if err := os.CopyFS(folder, a.dir); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Adopt(t.Context(), a.history.Adoption("")); err != nil {
			t.Fatal(err)
		}
		m, err := migrate.New(on.DB, on.dialect, &migrate.Options{Sources: []migrate.Source{{FS: os.DirFS(folder)}}, Logger: quiet(t)})
		if err != nil {
			t.Fatal(err)
		}
		infos, err := m.Status(t.Context())
		if err != nil || len(infos) != 4 || infos[0].Drifted || infos[0].Missing || infos[2].State != migrate.Pending {
			t.Fatalf("%+v %v", infos, err)
		}
		if _, err := m.Reset(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAdoptingTwiceIsRefused(t *testing.T) {
	t.Parallel()
	on := newDatabase(t, dialect.SQLite)
	p := peers[0]
	if err := p.migrate(t, on, folderOf(p.tool, on.dialect, 4)); err != nil {
		t.Fatal(err)
	}
	a := open(t, p, on)
	if _, err := a.Adopt(t.Context(), a.history.Adoption("")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Adopt(t.Context(), a.history.Adoption("")); err == nil || !strings.Contains(err.Error(), "the ledger has app:00001 already") {
		t.Error(err)
	}
}

func TestADirtyVersionIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	for _, d := range everywhere {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			on := newDatabase(t, d)
			fsys := folderOf(adopt.GolangMigrate, d, 2)           // of more it would leave goroutines behind
			mustExec(t, on.DB, "CREATE TABLE books (id integer)") // in the way of the second
			if m, err := golangMigrate(t, on, fsys); err != nil || m.Up() == nil {
				t.Fatal("golang-migrate should have failed", err)
			}
			dir, err := adopt.Open(fsys, adopt.GolangMigrate, d)
			if err != nil {
				t.Fatal(err)
			}
			_, err = dir.History(t.Context(), on.DB, nil)
			if err == nil || !strings.Contains(err.Error(), "version 2 is dirty") || !strings.Contains(err.Error(), "migrate force 2") {
				t.Error(err)
			}
		})
	}
}

func TestAnAppliedMigrationWithoutAFileIsRefused(t *testing.T) {
	t.Parallel()
	for _, tool := range []adopt.Tool{adopt.Goose, adopt.GolangMigrate, adopt.SQLMigrate} {
		t.Run(string(tool), func(t *testing.T) {
			t.Parallel()
			on := newDatabase(t, dialect.SQLite)
			i := slices.IndexFunc(peers, func(p peer) bool { return p.tool == tool })
			if err := peers[i].migrate(t, on, folderOf(tool, on.dialect, 4)); err != nil {
				t.Fatal(err)
			}
			dir, err := adopt.Open(folderOf(tool, on.dialect, 1), tool, on.dialect)
			if err != nil {
				t.Fatal(err)
			}
			m, err := migrate.New(on.DB, on.dialect, &migrate.Options{Sources: []migrate.Source{{FS: dir}}, Logger: quiet(t)})
			if err != nil {
				t.Fatal(err)
			}
			history, err := dir.History(t.Context(), on.DB, nil)
			if err == nil {
				_, err = m.Adopt(t.Context(), history.Adoption(""))
			}
			if err == nil || !strings.Contains(err.Error(), "bring") {
				t.Error(err)
			}
			if has(t, on.DB, migrate.DefaultTable) {
				t.Error("something was written")
			}
		})
	}
}

func TestALedgerOfAnotherToolIsNamed(t *testing.T) {
	t.Parallel()
	on := newDatabase(t, dialect.Postgres)
	if _, err := adopt.Find(t.Context(), folderOf(adopt.Goose, on.dialect, 4), on.DB, on.dialect, nil); !errors.Is(err, adopt.ErrNoLedger) {
		t.Errorf("an empty database: %v", err)
	}
	if err := runTern(t, on, folderOf(adopt.Tern, on.dialect, 4)); err != nil {
		t.Fatal(err)
	}
	_, err := adopt.Find(t.Context(), folderOf(adopt.Goose, on.dialect, 4), on.DB, on.dialect, nil)
	if err == nil || !strings.Contains(err.Error(), "the ledger of tern") || !strings.Contains(err.Error(), "that of goose") {
		t.Error(err)
	}
	dir, err := adopt.Open(folderOf(adopt.Goose, on.dialect, 4), adopt.Goose, on.dialect)
	if err != nil {
		t.Fatal(err)
	}
	_, err = dir.History(t.Context(), on.DB, &adopt.Options{Table: "public.schema_version"})
	if !errors.Is(err, adopt.ErrNoLedger) || !strings.Contains(err.Error(), "like one of tern") {
		t.Error(err)
	}
}
