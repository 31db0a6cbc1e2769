//go:build unix

package servers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// PgBouncer starts a pooler in front of a PostgreSQL server, in transaction mode with two connections to a database, so that
// clients do share them.
func PgBouncer(db *PostgresDB) (*PostgresDB, error) {
	pgbouncer, err := find("pgbouncer", "pgbouncer", "/usr/sbin/pgbouncer")
	if err != nil {
		return nil, err
	}
	s, err := newServer("pgbouncer", options{})
	if err != nil {
		return nil, err
	}
	config := filepath.Join(s.Dir, "ini")
	text := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%d\nunix_socket_dir=\nauth_type=any\n"+
		"pool_mode=transaction\ndefault_pool_size=2\nmax_client_conn=200\nignore_startup_parameters=extra_float_digits\n",
		db.url.Hostname(), db.url.Port(), db.url.User.Username(), s.Port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	s.command = func() *exec.Cmd { return s.program(pgbouncer, config) }
	s.stop = syscall.SIGTERM
	s.ready = s.answers
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	pooled := *db
	pooled.Server = s
	pooled.url.Host = "127.0.0.1:" + strconv.Itoa(s.Port)
	return &pooled, nil
}
