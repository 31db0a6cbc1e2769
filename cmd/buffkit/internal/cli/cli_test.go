package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/cli"
)

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	all := cli.Commands()
	if len(all) < 25 {
		t.Fatalf("only %q were found", all)
	}
	for _, command := range all {
		args := append(command, "--help")
		r := run(t, "", args...)
		r.want(t, 0)
		if !strings.Contains(r.stdout, "Examples:") || !strings.Contains(r.stdout, "Usage:") || r.stderr != "" {
			t.Errorf("%q: %s", args, firstLines(r.stdout+r.stderr, 5))
		}
	}
	if r := run(t, ""); r.code != 0 || !strings.Contains(r.stdout, "Exit codes:") || !strings.Contains(r.stdout, "BUFFKIT_URL") {
		t.Errorf("alone it says %d %s", r.code, firstLines(r.stdout, 5))
	}
}

func TestWrongUsageIsSaidBriefly(t *testing.T) {
	t.Parallel()
	file := secretFile(t)
	t.Cleanup(func() { // when all are over
		if _, err := os.Stat("buffkit-data"); err == nil {
			t.Error("something was done: a folder was made")
		}
	})
	tests := []struct {
		name, command, says string
	}{
		{"misspelt command", "pubish", "did you mean publish?"},
		{"no such command", "frobnicate", "unknown command"},
		{"no such flag", "serve --adr x", "unknown flag: --adr"},
		{"flag without a value", "serve --addr", "--addr"},
		{"too many arguments", "serve now", "takes no arguments"},
		{"address without a port", "serve --insecure --addr localhost", "HOST:PORT"},
		{"address of the demo without a port", "demo --addr localhost", "HOST:PORT"},
		{"port that isn't one", "serve --insecure --addr localhost:99999", "0 to 65535"},
		{"no secret", "serve", "buffkit token --new-secret"},
		{"secret and none", "serve --insecure --secret-file " + file, "exclude each other"},
		{"insecure on every address", "serve --insecure --addr :0", "every network"},
		{"insecure on another address", "serve --insecure --addr 192.0.2.1:0", "192.0.2.1"},
		{"insecure on every IPv4 address", "serve --insecure --addr 0.0.0.0:0", "every network"},
		{"log of another kind", "serve --insecure --log tape:data", `"tape" in this version`},
		{"log without a folder", "serve --insecure --log sqlite", "--log sqlite:DIR"},
		{"memory with a folder", "serve --insecure --log memory:data", "write --log memory"},
		{"log without a name", "serve --insecure --log=", "--log memory"},
		{"Redis without a host", "serve --insecure --log redis://", "write it as redis://host:6379"},
		{"Redis with a parameter that it hasn't", "serve --insecure --log redis://localhost?fsync=always", "connections, count"},
		{"PostgreSQL with a port that isn't one", "serve --insecure --log postgres://localhost:port/app", "--log: "},
		{"a demo for two machines", "demo --log redis://localhost", "--log sqlite:DIR or --log memory"},
		{"a doctor for a log of another kind", "doctor --log tape:data", `"tape" in this version`},
		{"a doctor for Redis without a host", "doctor --log redis://", "write it as redis://host:6379"},
		{"a doctor for a database of another kind", "doctor --database tape:data", "use sqlite:FILE"},
		{"a doctor in another tongue", "doctor --format xml", "use text or json"},
		{"a doctor without time", "doctor --timeout 0s", "--timeout"},
		{"no heartbeat", "serve --insecure --heartbeat 0s", "--heartbeat"},
		{"duration without a unit", "serve --insecure --heartbeat 15", "--heartbeat"},
		{"negative limit", "serve --insecure --max-topics -1", "0 for no limit"},
		{"size that isn't one", "serve --insecure --budget lots", "64KiB"},
		{"events of no size", "serve --insecure --max-event-bytes 0", "--max-event-bytes"},
		{"origin that isn't one", "serve --insecure --allow-origin *", "https://app.example.com"},
		{"no topic to publish to", "publish hello", `"topic" not set`},
		{"empty topic to publish to", "publish --topic= hello", "--topic"},
		{"URL that isn't one", "publish --topic a --url localhost:8080 x", "http://localhost:8080"},
		{"URL with a query", "publish --topic a --url http://localhost/events?topic=b x", "--topic"},
		{"token that isn't one", "publish --topic a --token a\tb x", "--token"},
		{"ids of two kinds", "publish --topic a --json --quiet x", "quiet"},
		{"negative patience", "publish --topic a --retry-for -1s x", "--retry-for"},
		{"no topic to follow", "subscribe", `"topic" not set`},
		{"topic that isn't one", "subscribe --topic a\x01", "control character"},
		{"two hubs", "subscribe --topic a --url http://a http://b", "twice"},
		{"cursor that isn't one", "subscribe --topic a --cursor garbage", "the id of an event"},
		{"two places", "subscribe --topic a --cursor k.1 --state f", "cursor"},
		{"negative count", "subscribe --topic a -n -1", "-n"},
		{"token for nothing", "token --secret-file " + file, "allow nothing"},
		{"bad pattern", "token --secret-file " + file + " --subscribe a*", `"*" stands alone`},
		{"reserved pattern", "token --secret-file " + file + " --publish ~all", "reserved"},
		{"token that never was good", "token --secret-file " + file + " --publish a --expires 0s", "--expires"},
		{"token without a secret", "token --publish a", "--new-secret"},
		{"token and secret", "token --new-secret --publish a", "new-secret"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, "", strings.Split(tt.command, " ")...)
			r.want(t, 2, tt.says, "--help' for how to use it")
			if r.stdout != "" || strings.Count(r.stderr, "\n") > 5 {
				t.Errorf("it says too much: %q %q", r.stdout, r.stderr)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if a, b := run(t, "", "version"), run(t, "", "--version"); a != b {
		t.Errorf("%+v and %+v", a, b)
	}
	if r := run(t, "", "version"); r.code != 0 || !strings.HasPrefix(r.stdout, "buffkit ") || !strings.Contains(r.stdout, "go1.") {
		t.Errorf("%+v", r)
	}
	var v struct{ Version, Go string }
	if r := run(t, "", "version", "--json"); json.Unmarshal([]byte(r.stdout), &v) != nil || v.Version == "" || v.Go == "" {
		t.Errorf("%+v", r)
	}
}

func TestDemoSaysWhereAndEnds(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	p := begin(t, strings.NewReader(""), "demo", "--addr", "127.0.0.1:0", "--log", "sqlite:"+folder)
	p.stdout.await(t, "buffkit demo: http://127.0.0.1:")
	second := begin(t, strings.NewReader(""), "demo", "--addr", "127.0.0.1:0", "--log", "sqlite:"+folder)
	second.stdout.await(t, "buffkit demo: http://127.0.0.1:")
	second.interrupt().want(t, 0, "another demo keeps its events in the folder")
	p.interrupt().want(t, 0, "events are kept", folder)
}

func TestASecretIsMadeOnce(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "secret")
	r := run(t, "", "token", "--new-secret", "--secret-file", name)
	r.want(t, 0, name)
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 || r.stdout != "" {
		t.Errorf("%v, %v, printed %q", info.Mode(), err, r.stdout)
	}
	before := readFile(t, name)
	run(t, "", "token", "--new-secret", "--secret-file", name).want(t, 1, "exists", "rotate")
	if readFile(t, name) != before {
		t.Error("the secret was replaced")
	}
	a, b := run(t, "", "token", "--new-secret"), run(t, "", "token", "--new-secret")
	if a.stdout == b.stdout || len(strings.TrimSpace(a.stdout)) < 32 {
		t.Errorf("printed %q and %q", a.stdout, b.stdout)
	}
}

func TestASecretThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"token --publish a", "serve --addr localhost:0"} {
		run(t, "", append(strings.Fields(command), "--secret-file", short)...).want(t, 2, short, "32", "--new-secret")
		run(t, "", append(strings.Fields(command), "--secret-file", short+".none")...).want(t, 1, "no such file")
	}
}

func TestTokenInJSON(t *testing.T) {
	t.Parallel()
	r := run(t, "", "token", "--secret-file", secretFile(t), "--user", "ann", "--subscribe", "a,b/*", "--json")
	var v struct{ Token, User, Expires string }
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || strings.Count(v.Token, ".") != 2 || v.User != "ann" || v.Expires == "" {
		t.Errorf("%+v", r)
	}
}

// The environment is the process's, so this test runs alone.
func TestTheEnvironmentStandsInForFlags(t *testing.T) {
	t.Setenv("BUFFKIT_SECRET", "hunter2")
	for _, command := range []string{"token --publish a", "serve --addr localhost:0"} {
		run(t, "", strings.Fields(command)...).want(t, 2, "$BUFFKIT_SECRET", "32", "--new-secret")
	}
	secret := strings.TrimSpace(run(t, "", "token", "--new-secret").stdout)
	t.Setenv("BUFFKIT_SECRET", secret)
	t.Setenv("BUFFKIT_LOG", "redis://:hush@localhost?sentinel=a&b=c")
	run(t, "", "serve", "--addr", "localhost:0").want(t, 2, "--log", `"b"`)
	run(t, "", "doctor").want(t, 2, "--log", `"b"`)
	if help := run(t, "", "serve", "--help").stdout; strings.Contains(help, "hush") || !strings.Contains(help, "$BUFFKIT_LOG") {
		t.Error("the help shows what the environment has")
	}
	t.Setenv("BUFFKIT_LOG", "memory")
	_, url := serve(t)
	t.Setenv("BUFFKIT_URL", url)
	run(t, "", "publish", "--topic", "news", "x").want(t, 1, "nothing was stored", "BUFFKIT_TOKEN")
	t.Setenv("BUFFKIT_TOKEN", token(t, "--publish", "news"))
	run(t, "", "publish", "--topic", "news", "x").want(t, 0)
	run(t, "", "publish", "--topic", "orders", "x").want(t, 1, "forbidden")
	if help := run(t, "", "publish", "--help").stdout; strings.Contains(help, os.Getenv("BUFFKIT_TOKEN")) || strings.Contains(help, secret) {
		t.Error("the help shows what the environment has")
	}
}
