package migratedb

import (
	"errors"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate"
)

// Two releases of one app: the second one's migration locks the first one out, and says so.
func TestAnOldAppThatMeetsANewerDatabaseIsToldWhichVersionItNeeds(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		const first = "CREATE TABLE a (id int);"
		release := func(version string, policy migrate.AppPolicy, pairs ...string) *migrate.Migrator {
			opts := of(files(append([]string{"1_a.up.sql", first}, pairs...)...))
			opts.AppVersion, opts.AppPolicy = version, policy
			return migrator(t, on, db, opts)
		}
		drop := []string{"2_b.up.sql", "-- requires-app: 1.4.0\nALTER TABLE a ADD COLUMN b int;", "2_b.down.sql", "ALTER TABLE a DROP COLUMN b;"}
		if _, err := release("1.3.9", migrate.AppRefuse).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		var old *migrate.AppError
		_, err := release("1.4.0-rc1", migrate.AppRefuse, drop...).Up(t.Context())
		if !errors.As(err, &old) || old.Applied || old.Requires != "1.4.0" || !strings.Contains(err.Error(), "Deploy the app 1.4.0 first") {
			t.Fatalf("an old app would lock itself out: %v", err)
		}
		if _, err := release("v1.4.0", migrate.AppRefuse, drop...).Up(t.Context()); err != nil {
			t.Fatal(err)
		}

		behind := release("1.3.9", migrate.AppRefuse)
		if err := behind.CheckApp(t.Context()); !errors.Is(err, migrate.ErrApp) || !strings.Contains(err.Error(), "Deploy the app 1.4.0 or a newer one") {
			t.Errorf("%v", err)
		}
		if _, err := behind.Up(t.Context()); !errors.Is(err, migrate.ErrApp) || errors.Is(err, migrate.ErrMissing) {
			t.Errorf("%v", err)
		}
		t.Logf("\n%v", behind.CheckApp(t.Context()))
		if err := release("1.3.9", migrate.AppWarn).CheckApp(t.Context()); err != nil {
			t.Errorf("with a warning only: %v", err)
		}
		if plan, err := release("1.3.9", migrate.AppWarn).Plan(t.Context(), migrate.Goal{Do: migrate.DoUp}); err != nil || len(plan.Warnings) != 1 {
			t.Errorf("%+v, %v", plan, err)
		}
		// One that is new enough, but hasn't the file, may run: the migration has declared that it works with it.
		if _, err := release("1.4.1", migrate.AppRefuse).Up(t.Context()); err != nil {
			t.Errorf("%v", err)
		}
		if _, err := release("", migrate.AppRefuse).Up(t.Context()); !errors.Is(err, migrate.ErrMissing) {
			t.Errorf("without a version: %v", err)
		}
		if infos, err := release("1.4.0", migrate.AppRefuse, drop...).Status(t.Context()); err != nil || infos[1].RequiresApp != "1.4.0" {
			t.Errorf("%+v, %v", infos, err)
		}
		if _, err := release("1.4.0", migrate.AppRefuse, drop...).Down(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := behind.CheckApp(t.Context()); err != nil {
			t.Errorf("after down: %v", err)
		}
	})
}

func TestALedgerWithoutRequiresAppGetsTheColumn(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		set := []string{"1_a.up.sql", "CREATE TABLE a (id int);"}
		if _, err := migrator(t, on, db, of(files(set...))).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "ALTER TABLE buffkit_migrations DROP COLUMN requires_app")
		m := migrator(t, on, db, of(files(append(set, "2_b.up.sql", "-- requires-app: 2.0\nCREATE TABLE b (id int);")...)))
		if infos, err := m.Status(t.Context()); err != nil || len(infos) != 2 {
			t.Fatalf("%+v, %v", infos, err)
		}
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := text(t, db, "SELECT requires_app FROM buffkit_migrations WHERE version = '2'"); got != "2.0" {
			t.Errorf("%s", got)
		}
	})
}
