package migratedb

import (
	"errors"
	"slices"
	"testing"

	"github.com/buffkit/buffkit/migrate"
)

// A file may be cut off anywhere: in a string, in a comment, behind a statement. Whatever is run of it is told, and the whole file either goes on
// there or is refused as changed.
func TestAFileThatIsCutOffAtAnyByteIsToldAndTheWholeOneGoesOn(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		const whole = "CREATE TABLE t (n int, s varchar(20));\nINSERT INTO t VALUES (1, 'a;b');\n/* x; */ INSERT INTO t VALUES (2, 'c');\n"
		driverName, dsn := on.fresh(t)
		refused, at := 0, cuts(t, whole)
		for _, cut := range at {
			if on.wipe == nil {
				driverName, dsn = on.fresh(t)
			}
			db := openDB(t, driverName, dsn)
			_, err := migrator(t, on, db, of(files("1_t.up.sql", whole[:cut]))).Up(t.Context())
			told, left := err != nil, 0
			if has(t, db, "t") {
				left = number(t, db, "SELECT count(*) FROM t")
			}
			var plan *migrate.PlanError
			var failed *migrate.StepError
			switch {
			case errors.As(err, &plan) && has(t, db, "buffkit_migrations"):
				t.Errorf("cut at %d: it was refused, and something ran: %v", cut, err)
			case err != nil && plan == nil && (!errors.As(err, &failed) || failed.Left == migrate.LeftNothing && has(t, db, "t")):
				t.Errorf("cut at %d: %v", cut, err)
			}
			_, err = migrator(t, on, db, of(files("1_t.up.sql", whole))).Up(t.Context())
			want := 2
			if !told && errors.Is(err, migrate.ErrDrift) { // the part was whole statements
				err, want = nil, left
				refused++
			}
			if err != nil {
				t.Fatalf("cut at %d, then the whole: %v", cut, err)
			}
			if has(t, db, "t") || want > 0 {
				if n := number(t, db, "SELECT count(*) FROM t"); n != want {
					t.Fatalf("cut at %d: %d rows, want %d", cut, n, want)
				}
			}
			mustExec(t, db, on.wipe...)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if refused == 0 || refused > 20 {
			t.Errorf("%d of %d cuts were taken for whole files", refused, len(at))
		}
		t.Logf("%d of %d cuts were taken for whole files", refused, len(at))
		proves(t, on, "half a file, cut at a byte", len(at))
	})
}

// cuts are the beginning, the place behind each semicolon, and some others.
func cuts(t *testing.T, whole string) []int {
	at := append(every(t, len(whole)-1, 5), 0)
	for i := range len(whole) - 1 {
		if whole[i] == ';' {
			at = append(at, i+1)
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}
