//go:build unix

package servers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// MariaDBServer is a MariaDB server.
type MariaDBServer struct {
	*Server // nil if it was there already
	dsn     string
}

// MariaDB starts MariaDB, or takes that of BUFFKIT_TEST_MARIADB_DSN, in the form user:password@tcp(host:port)/database.
func MariaDB(opts ...Option) (*MariaDBServer, error) {
	o := optionsOf(opts)
	if given := o.given("BUFFKIT_TEST_MARIADB_DSN"); given != "" {
		at := strings.LastIndex(given, "/")
		if at < 0 {
			return nil, errors.New("BUFFKIT_TEST_MARIADB_DSN: write it as user:password@tcp(host:port)/database")
		}
		return &MariaDBServer{dsn: given[:at]}, nil
	}
	mariadbd, err := find("mariadbd", "mariadb-server", "/usr/sbin/mariadbd", "/usr/libexec/mariadbd")
	if err != nil {
		return nil, err
	}
	install, err := find("mariadb-install-db", "mariadb-server", "/usr/bin/mariadb-install-db")
	if err != nil {
		return nil, err
	}
	admin, err := find("mariadb-admin", "mariadb-client")
	if err != nil {
		return nil, err
	}
	s, err := newServer("mariadb", o)
	if err != nil {
		return nil, err
	}
	data, socket := filepath.Join(s.Dir, "data"), filepath.Join(s.Dir, "sock")
	if err := s.run(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db"); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	s.command = func() *exec.Cmd {
		return s.program(mariadbd, "--no-defaults", "--datadir="+data, "--port="+strconv.Itoa(s.Port), "--bind-address=127.0.0.1", "--socket="+socket,
			"--pid-file="+filepath.Join(s.Dir, "pid"), "--innodb-flush-log-at-trx-commit=2", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M", "--max-connections=300", "--skip-stack-trace")
	}
	s.stop = syscall.SIGTERM
	s.ready = func() error { return s.run(admin, "--no-defaults", "--socket="+socket, "-uroot", "ping") }
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	return &MariaDBServer{s, fmt.Sprintf("root@tcp(127.0.0.1:%d)", s.Port)}, nil
}

// DSN returns the connection string of a database of the server, as github.com/go-sql-driver/mysql reads it.
func (m *MariaDBServer) DSN(database string) string { return m.dsn + "/" + database }

// Stop stops the server if it was started here.
func (m *MariaDBServer) Stop() error {
	if m.Server == nil {
		return nil
	}
	return m.Server.Stop()
}
