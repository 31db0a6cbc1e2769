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

// MySQLServer is a MySQL server.
type MySQLServer struct {
	*Server // nil if it was there already
	dsn     string
}

// MySQL starts MySQL, or takes that of BUFFKIT_TEST_MYSQL_DSN, in the form user:password@tcp(host:port)/database. The program is the one that
// ci/mysql.sh has unpacked into the user's cache, or else a mysqld that is installed and isn't MariaDB's.
func MySQL(opts ...Option) (*MySQLServer, error) {
	o := optionsOf(opts)
	if given := o.given("BUFFKIT_TEST_MYSQL_DSN"); given != "" {
		at := strings.LastIndex(given, "/")
		if at < 0 {
			return nil, errors.New("BUFFKIT_TEST_MYSQL_DSN: write it as user:password@tcp(host:port)/database")
		}
		return &MySQLServer{dsn: given[:at]}, nil
	}
	path, args, err := findMySQL()
	if err != nil {
		return nil, err
	}
	s, err := newServer("mysql", o)
	if err != nil {
		return nil, err
	}
	data, socket := filepath.Join(s.Dir, "data"), filepath.Join(s.Dir, "sock")
	args = append(args, "--datadir="+data, "--secure-file-priv=NULL")
	program := func(more ...string) *exec.Cmd {
		cmd := s.program(path, append(args[:len(args):len(args)], more...)...)
		cmd.SysProcAttr.Credential = nil // its folder may be one that only this user can read
		return cmd
	}
	if out, err := program("--initialize-insecure").CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("mysqld --initialize-insecure: %w\n%s", err, out), os.RemoveAll(s.Dir))
	}
	s.command = func() *exec.Cmd {
		return program("--port="+strconv.Itoa(s.Port), "--bind-address=127.0.0.1", "--socket="+socket, "--mysqlx=OFF", "--pid-file="+filepath.Join(s.Dir, "pid"),
			"--innodb-flush-log-at-trx-commit=2", "--skip-log-bin", "--innodb-redo-log-capacity=8M", "--innodb-buffer-pool-size=32M", "--performance-schema=OFF", "--max-connections=300")
	}
	s.stop = syscall.SIGTERM
	s.ready = s.answers
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	return &MySQLServer{s, fmt.Sprintf("root@tcp(127.0.0.1:%d)", s.Port)}, nil
}

// findMySQL returns a program and its first arguments.
func findMySQL() (path string, args []string, err error) {
	args = []string{"--no-defaults"}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	root, loader, err := unpacked("mysql", "usr/sbin/mysqld")
	if err != nil {
		return "", nil, err
	}
	if root != "" {
		args = append(loader[1:], args...)
		return loader[0], append(args, "--basedir="+filepath.Join(root, "usr"), "--plugin-dir="+filepath.Join(root, "usr/lib/mysql/plugin"),
			"--lc-messages-dir="+filepath.Join(root, "usr/share/mysql")), nil
	}
	if installed, err := exec.LookPath("mysqld"); err == nil {
		if out, err := exec.Command(installed, "--no-defaults", "--version").Output(); err == nil && !strings.Contains(string(out), "MariaDB") {
			return installed, args, nil
		}
	}
	return "", nil, errors.New("there is no MySQL: run ci/mysql.sh, which unpacks one into your cache, or name a server in BUFFKIT_TEST_MYSQL_DSN")
}

// DSN returns the connection string of a database of the server, as github.com/go-sql-driver/mysql reads it.
func (m *MySQLServer) DSN(database string) string { return m.dsn + "/" + database }

// Stop stops the server if it was started here.
func (m *MySQLServer) Stop() error {
	if m.Server == nil {
		return nil
	}
	return m.Server.Stop()
}
