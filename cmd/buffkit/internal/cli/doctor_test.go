package cli_test

import (
	"database/sql"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/internal/servers"
)

// stopper is a server of a test.
type stopper interface{ Stop() error }

// started returns a server that ends with the test.
func started[S stopper](t *testing.T, server S, err error) S {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// filled lets a hub make the log, and publish to it.
func filled(t *testing.T, log string) string {
	t.Helper()
	p, target := serve(t, "--insecure", "--log", log)
	publishTo(t, target, "kept")
	p.interrupt().want(t, 0)
	return log
}

func TestDoctorReadsBackWhatItHasStored(t *testing.T) {
	t.Parallel()
	logs := map[string]func(t *testing.T) string{
		"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "data") },
		"redis": func(t *testing.T) string {
			server, err := servers.Redis("--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "100mb")
			return "redis://" + started(t, server, err).Addr
		},
		"postgres": func(t *testing.T) string {
			server, err := servers.PostgresWith("autovacuum=on")
			return started(t, server, err).URL("postgres")
		},
	}
	for name, start := range logs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := filled(t, start(t))
			r := run(t, "", "doctor", "--log", log)
			r.want(t, 0, "0 errors")
			if !strings.Contains(r.stdout, "log: "+name+":") || !strings.Contains(r.stdout, "an event was stored on the topic ~doctor and read back, in ") {
				t.Errorf("it printed %s", r.stdout)
			}
			if r := run(t, "", "doctor", "--log", log, "--read-only"); r.code != 0 || strings.Contains(r.stdout, "~doctor") {
				t.Errorf("it stored something: %+v", r)
			}
			p, target := serve(t, "--insecure", "--log", log) // while a hub works with it
			publishTo(t, target, "more")
			run(t, "", "doctor", "--log", log).want(t, 0)
			if status, body := get(t, target+"/history?topic=news"); status != 200 || !strings.Contains(body, "kept") || !strings.Contains(body, "more") {
				t.Errorf("history: %d %s", status, body)
			}
			p.interrupt().want(t, 0)
		})
	}
}

func TestDoctorMakesNoLog(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "not", "yet")
	r := run(t, "", "doctor", "--log", "sqlite:"+folder)
	r.want(t, 0, "0 errors")
	if _, err := os.Stat(filepath.Dir(folder)); err == nil || !strings.Contains(r.stdout, "the folder isn't there yet") {
		t.Errorf("%v, and it printed %s", err, r.stdout)
	}
	redis, err := servers.Redis("--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "100mb")
	started(t, redis, err)
	r = run(t, "", "doctor", "--log", "redis://"+redis.Addr)
	r.want(t, 0, "0 errors, 0 warnings")
	if !strings.Contains(r.stdout, `there is no log "buffkit" yet`) || strings.Contains(r.stdout, "~doctor") {
		t.Errorf("it printed %s", r.stdout)
	}
	if size, err := redis.Do("DBSIZE"); err != nil || size != ":0" {
		t.Errorf("%q keys, %v", size, err)
	}
	server, err := servers.PostgresWith("autovacuum=on")
	started(t, server, err)
	for range 2 { // the second time there would be tables
		r := run(t, "", "doctor", "--log", server.URL("postgres"))
		r.want(t, 0, "1 warning")
		if !strings.Contains(r.stdout, "the log's tables aren't there") || strings.Contains(r.stdout, "~doctor") {
			t.Errorf("it printed %s", r.stdout)
		}
	}
}

func TestDoctorsExitCodes(t *testing.T) {
	t.Parallel()
	run(t, "", "doctor", "--log", "memory").want(t, 0, "0 errors, 1 warning")
	run(t, "", "doctor", "--log", "memory", "--strict").want(t, 1, "0 errors, 1 warning")
	run(t, "", "doctor", "--database", "").want(t, 2, "--database is empty") // a variable that isn't set
	file := filepath.Join(t.TempDir(), "log.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("no database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(t, "", "doctor", "--log", "sqlite:"+filepath.Dir(file)); r.code != 1 || !strings.Contains(r.stdout, "it is no SQLite database") {
		t.Errorf("%+v", r)
	}
	r := run(t, "", "doctor", "--log", "redis://user:hush@127.0.0.1:1")
	r.want(t, 1, "1 error")
	if !strings.Contains(r.stdout, "can't look: ") || !strings.Contains(r.stdout, "does Redis run?") || strings.Contains(r.stdout+r.stderr, "hush") {
		t.Errorf("it printed %s", r.stdout)
	}
	r = run(t, "", "doctor", "--log", "postgres://user:hush@127.0.0.1:1/app")
	if r.code != 1 || !strings.Contains(r.stdout, "log: postgres://127.0.0.1:1/app") || strings.Contains(r.stdout+r.stderr, "hush") {
		t.Errorf("%+v", r)
	}
}

func TestDoctorStoresNothingWhereSomethingIsWrong(t *testing.T) {
	t.Parallel()
	server, err := servers.Redis("--maxmemory-policy", "allkeys-lru")
	started(t, server, err)
	if r := run(t, "", "doctor", "--log", "redis://"+server.Addr); r.code != 1 || !strings.Contains(r.stdout, "allkeys-lru") || strings.Contains(r.stdout, "~doctor") {
		t.Errorf("%+v", r)
	}
	if size, err := server.Do("DBSIZE"); err != nil || strings.TrimSpace(size) != ":0" {
		t.Errorf("%q keys, %v", size, err)
	}
}

func TestDoctorGivesUpOnAServerThatIsSilent(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	addr := listener.Addr().String()
	for _, log := range []string{
		"postgres://user@" + addr + "/app?sslmode=disable", "redis://" + addr + "?dial_timeout=1h", "rediss://" + addr + "?dial_timeout=1h",
		"redis://" + addr + "," + addr + "?dial_timeout=1h&sentinel=main",
	} {
		r := run(t, "", "doctor", "--log", log, "--timeout", "100ms")
		if r.code != 1 || !strings.Contains(r.stdout, "give it longer than 100ms with --timeout") {
			t.Errorf("%s: %+v", log, r)
		}
	}
}

func TestDoctorTellsWhichRightIsLacking(t *testing.T) {
	t.Parallel()
	server, err := servers.Redis("--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "100mb")
	started(t, server, err)
	filled(t, "redis://"+server.Addr)
	if _, err := server.Do("ACL", "SETUSER", "reader", "on", ">hush", "~*", "+@read", "+@connection", "+@scripting", "+time", "+info", "+config|get"); err != nil {
		t.Fatal(err)
	}
	r := run(t, "", "doctor", "--log", "redis://reader:hush@"+server.Addr)
	if r.code != 1 || !strings.Contains(r.stdout, "an event can't be stored and read back: ") || !strings.Contains(r.stdout, "+@write") || strings.Contains(r.stdout+r.stderr, "hush") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "doctor", "--log", "redis://reader:hush@"+server.Addr, "--read-only"); r.code != 0 {
		t.Errorf("%+v", r)
	}
}

func TestDoctorInJSON(t *testing.T) {
	t.Parallel()
	_, flags := migrations(t, "1_a.up.sql", "CREATE TABLE a (id INTEGER PRIMARY KEY);\n", "1_a.down.sql", "DROP TABLE a;\n")
	migrateCommand(t, flags, "up").want(t, 0)
	url := flags[3]
	r := run(t, "", "doctor", "--log", "memory", "--database", url, "--format", "json")
	var report struct {
		Checks []struct {
			About, Place string
			Findings     []struct{ Level, What, Do string }
		}
		Errors, Warnings int
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Checks) != 2 {
		t.Fatalf("%v: %+v", err, r)
	}
	log, database := report.Checks[0], report.Checks[1]
	if log.About != "log" || log.Place != "memory" || log.Findings[0].Level != "warning" || log.Findings[0].Do == "" {
		t.Errorf("%+v", log)
	}
	if database.About != "database" || database.Place != url || len(database.Findings) < 3 {
		t.Errorf("%+v", database)
	}
	if r.code != 0 || report.Errors != 0 || report.Warnings < 1 {
		t.Errorf("%+v", r)
	}
}

func TestDoctorOfADatabase(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		server, err := servers.PostgresWith("fsync=off")
		r := run(t, "", "doctor", "--database", started(t, server, err).URL("postgres"))
		if r.code != 1 || !strings.Contains(r.stdout, "fsync is off") || strings.Contains(r.stdout, "log: ") || strings.Contains(r.stdout, "the log's tables") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		server, err := servers.MariaDB()
		started(t, server, err)
		url := mysqlURL("mariadb", server.DSN("mysql"))
		if r := run(t, "", "doctor", "--database", url); r.code != 0 || !strings.Contains(r.stdout, "version 1") || !strings.Contains(r.stdout, "innodb_flush_log_at_trx_commit is ") ||
			!strings.Contains(r.stdout, "database: mariadb://127.0.0.1:") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("MySQL", func(t *testing.T) {
		t.Parallel()
		server, err := servers.MySQL()
		started(t, server, err)
		url := mysqlURL("mysql", server.DSN("mysql"))
		if r := run(t, "", "doctor", "--database", url+"?sql_mode=%27%27"); r.code != 0 || !strings.Contains(r.stdout, "version ") || !strings.Contains(r.stdout, "sql_mode isn't strict") {
			t.Errorf("%+v", r)
		}
	})
}

// mysqlURL makes of user@tcp(host:port)/name a URL.
func mysqlURL(scheme, dsn string) string {
	return scheme + "://" + strings.NewReplacer("tcp(", "", ")", "").Replace(dsn)
}

// The file is another program's: doctor makes no log in it.
func TestDoctorLeavesAFileThatHasNoLogAlone(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(folder, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE theirs (a int)"); err != nil {
		t.Fatal(err)
	}
	run(t, "", "doctor", "--log", "sqlite:"+folder).want(t, 0)
	var tables, mode string
	if err := db.QueryRow("SELECT group_concat(name) FROM sqlite_master").Scan(&tables); err != nil || tables != "theirs" {
		t.Errorf("the file has %q, %v", tables, err)
	}
	if err := db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "delete" {
		t.Errorf("its journal mode is %q, %v", mode, err)
	}
}
