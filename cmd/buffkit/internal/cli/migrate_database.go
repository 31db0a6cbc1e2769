package cli

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of PostgreSQL
	_ "modernc.org/sqlite"             // the driver of SQLite, without C
)

// databaseTarget is what a URL names.
type databaseTarget struct {
	dialect     dialect.Dialect
	driver, dsn string
}

var errDatabase = errors.New("use sqlite:FILE, postgres://…, mysql://… or mariadb://…")

// parseDatabase never shows the URL in an error: it has a password in it.
func parseDatabase(text string) (databaseTarget, error) {
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok {
		return databaseTarget{}, fmt.Errorf("the database's URL has no scheme: %w", errDatabase)
	}
	scheme = strings.ToLower(scheme)
	text = scheme + ":" + rest
	switch scheme {
	case "sqlite", "sqlite3":
		return parseSQLite(rest)
	case "postgres", "postgresql":
		if _, err := url.Parse(text); err != nil {
			return databaseTarget{}, fmt.Errorf("the database's URL can't be read; a password needs %%-escapes: %w", errDatabase)
		}
		return databaseTarget{dialect.Postgres, "pgx", text}, nil
	case "mysql":
		return parseMySQL(text, dialect.MySQL)
	case "mariadb":
		return parseMySQL(text, dialect.MariaDB)
	}
	return databaseTarget{}, fmt.Errorf("no database has the scheme %.16q: %w", scheme, errDatabase)
}

func parseSQLite(rest string) (databaseTarget, error) {
	rest = strings.TrimPrefix(strings.TrimPrefix(rest, "file:"), "//")
	path, query, _ := strings.Cut(rest, "?")
	if path == "" {
		return databaseTarget{}, errors.New("sqlite: needs a file, as in sqlite:app.db")
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return databaseTarget{}, fmt.Errorf("the parameters behind the ? of sqlite:FILE: %w", err)
	}
	if path == ":memory:" || params.Get("mode") == "memory" || params.Get("vfs") == "memdb" {
		return databaseTarget{}, errors.New("sqlite::memory: would be gone when the command ends: name a file, as in sqlite:app.db")
	}
	return databaseTarget{dialect.SQLite, "sqlite", "file:" + strings.ReplaceAll(rest, "#", "%23")}, nil // what follows it would be left out
}

// escape is one byte in the name of a SQLite database. A % before anything else is itself.
var escape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// absent is the name of a SQLite database whose folder is there and whose file isn't; "" for all else.
func (t databaseTarget) absent() string {
	path, _, _ := strings.Cut(strings.TrimPrefix(t.dsn, "file:"), "?")
	if t.dialect != dialect.SQLite {
		return ""
	}
	path = escape.ReplaceAllStringFunc(path, func(code string) string {
		b, _ := strconv.ParseUint(code[1:], 16, 8)
		return string([]byte{byte(b)})
	})
	folder, err := os.Stat(filepath.Dir(path))
	if _, missing := os.Stat(path); err != nil || !folder.IsDir() || !errors.Is(missing, fs.ErrNotExist) {
		return ""
	}
	return path
}

// parseMySQL makes of a URL what the driver reads. Its parameters are the driver's: https://github.com/go-sql-driver/mysql#parameters.
func parseMySQL(text string, d dialect.Dialect) (databaseTarget, error) {
	u, err := url.Parse(text)
	if err != nil {
		return databaseTarget{}, fmt.Errorf("the database's URL can't be read; a password needs %%-escapes: %w", errDatabase)
	}
	name := strings.TrimPrefix(u.Path, "/")
	if u.Host == "" || name == "" {
		return databaseTarget{}, fmt.Errorf("the URL of %s needs a host and the name of a database, as in %s://user:password@localhost:3306/app", d.Title(), d)
	}
	port := u.Port()
	if port == "" {
		port = "3306"
	}
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName = "tcp", net.JoinHostPort(u.Hostname(), port), name
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	dsn := c.FormatDSN()
	if u.RawQuery != "" {
		sep := "?"
		if strings.Contains(dsn, "?") {
			sep = "&"
		}
		dsn += sep + u.RawQuery
	}
	if _, err := mysql.ParseDSN(dsn); err != nil {
		return databaseTarget{}, fmt.Errorf("the parameters of the URL of %s: %w", d.Title(), err)
	}
	return databaseTarget{d, "mysql", dsn}, nil
}

// askWithin is how long a server may take to say its sql_mode.
const askWithin = 3 * time.Second

// lexing is how files are read: as the server reads them. One that can't be asked is for whoever uses it to blame.
func lexing(db *sql.DB, d dialect.Dialect) (o lexer.Options) {
	if d != dialect.MySQL && d != dialect.MariaDB {
		return o
	}
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	var mode string
	if err := db.QueryRowContext(ctx, "SELECT @@SESSION.sql_mode").Scan(&mode); err == nil {
		o.ANSIQuotes, o.NoBackslashEscapes = strings.Contains(mode, "ANSI_QUOTES"), strings.Contains(mode, "NO_BACKSLASH_ESCAPES")
	}
	return o
}
