package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestStatsListsTheSlowestMigrations(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (n int);\n",
		"2_slow.up.sql", "INSERT INTO a WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 50000) SELECT n FROM c;\n")
	migrateCommand(t, flags, "up", "--monitor").want(t, 0)
	r := migrateCommand(t, flags[2:], "stats", "--slowest", "1")
	if r.code != 0 || !strings.HasPrefix(r.stdout, "app:2 slow: ") || !strings.Contains(r.stdout, "50000 rows") || !strings.Contains(r.stdout, "KiB before") || strings.Contains(r.stdout, "app:1") {
		t.Errorf("%s", r.stdout)
	}
	var stats []struct {
		Took       int64 `json:"took_ns"`
		Statements []struct{ N int }
		Tables     []struct{ Before, After int64 }
	}
	if r := migrateCommand(t, flags[2:], "stats", "--json"); json.Unmarshal([]byte(r.stdout), &stats) != nil || len(stats) != 2 || len(stats[0].Statements) != 1 ||
		stats[0].Tables[0].After <= stats[0].Tables[0].Before {
		t.Errorf("%s", r.stdout)
	}
	migrateCommand(t, flags[2:], "stats", "--slowest", "0").want(t, 2, "from 1")
}
