package pglog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/internal/servers"
)

// requirePasswords makes a server ask for them.
func requirePasswords(t *testing.T, server *servers.PostgresDB) {
	t.Helper()
	rule := "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(server.Dir, "data", "pg_hba.conf"), []byte(rule), 0o644); err != nil {
		t.Fatal(err)
	}
	exec(t, server.URL(""), "SELECT pg_reload_conf()")
	until(t, "the server to ask", func() bool {
		return strings.Contains(server.Log(), "reloading configuration files")
	})
}
