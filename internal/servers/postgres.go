//go:build unix

package servers

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// PostgresDB is a PostgreSQL server.
type PostgresDB struct {
	*Server // nil if it was there already
	url     url.URL
}

// WithPassword is a role of PostgreSQL's that the tests may make: a server that was started here lets it in with its password alone, and
// everyone else without one.
const WithPassword = "with_password"

// Postgres starts PostgreSQL, or takes that of BUFFKIT_TEST_POSTGRES_URL.
func Postgres(opts ...Option) (*PostgresDB, error) {
	o := optionsOf(opts)
	if given := o.given("BUFFKIT_TEST_POSTGRES_URL"); given != "" {
		u, err := url.Parse(given)
		if err != nil {
			return nil, fmt.Errorf("BUFFKIT_TEST_POSTGRES_URL: %w", err)
		}
		return &PostgresDB{url: *u}, nil
	}
	return startPostgres(o, []string{"fsync=off"})
}

// PostgresWith starts PostgreSQL with settings, name=value.
func PostgresWith(settings ...string) (*PostgresDB, error) {
	return startPostgres(optionsOf(nil), settings)
}

func startPostgres(o options, settings []string) (*PostgresDB, error) {
	s, bin, err := newPostgres(o)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.Dir, "data")
	if err := s.run(filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "--no-locale", "--wal-segsize=1"); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	if err := askForPassword(filepath.Join(data, "pg_hba.conf")); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	return s.runPostgres(bin, settings)
}

// Standby starts a copy of the server that follows it, asynchronously, until it is promoted.
func (p *PostgresDB) Standby(settings ...string) (*PostgresDB, error) {
	s, bin, err := newPostgres(optionsOf(nil))
	if err != nil {
		return nil, err
	}
	if err := s.run(filepath.Join(bin, "pg_basebackup"), "-D", filepath.Join(s.Dir, "data"), "-d", p.URL(""), "-R", "-X", "stream", "-c", "fast", "--no-sync"); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	return s.runPostgres(bin, settings)
}

func newPostgres(o options) (s *Server, bin string, err error) {
	postgres, err := find("postgres", "postgresql", "/usr/lib/postgresql/*/bin/postgres", "/usr/local/pgsql/bin/postgres")
	if err != nil {
		return nil, "", err
	}
	if postgres, err = filepath.EvalSymlinks(postgres); err != nil { // its companions are beside it
		return nil, "", err
	}
	s, err = newServer("postgres", o)
	return s, filepath.Dir(postgres), err
}

func (s *Server) runPostgres(bin string, settings []string) (*PostgresDB, error) {
	args := []string{"-D", filepath.Join(s.Dir, "data"), "-p", strconv.Itoa(s.Port), "-k", s.Dir, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200",
		"-c", "shared_buffers=32MB", "-c", "autovacuum=off", "-c", "min_wal_size=2MB", "-c", "max_wal_size=64MB"}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	s.command = func() *exec.Cmd { return s.program(filepath.Join(bin, "postgres"), args...) }
	s.stop = syscall.SIGINT // "fast": open transactions are rolled back
	s.ready = func() error {
		return s.run(filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port))
	}
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	return &PostgresDB{s, url.URL{Scheme: "postgres", User: url.User("postgres"), Host: "127.0.0.1:" + strconv.Itoa(s.Port), Path: "/postgres"}}, nil
}

// URL returns the connection string of a database of the server.
func (p *PostgresDB) URL(database string) string {
	u := p.url
	if database != "" {
		u.Path = "/" + database
	}
	return u.String()
}

// Crash stops the server at once, as "pg_ctl stop -m immediate" does, and keeps its data: it recovers from its log when it starts.
func (p *PostgresDB) Crash() error { return p.end(syscall.SIGQUIT) }

// Stop stops the server if it was started here.
func (p *PostgresDB) Stop() error {
	if p.Server == nil {
		return nil
	}
	return p.Server.Stop()
}

// askForPassword puts a line in front of those that let everyone in.
func askForPassword(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, append([]byte("host all "+WithPassword+" all scram-sha-256\n"), text...), 0o600)
}
