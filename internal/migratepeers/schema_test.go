package migratepeers

import (
	"fmt"
	"io/fs"
	"strings"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate/adopt"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// step is one of the four migrations that every tool gets in its own format.
type step struct {
	name     string
	up, down []string // statements
	alone    bool     // it can't be in a transaction
	body     bool     // its first statement has semicolons within
}

// steps are tables, data, code with semicolons in it, and what runs in no transaction.
func steps(d dialect.Dialect) []step {
	all := []step{
		{name: "authors", up: []string{"CREATE TABLE authors (id integer, name varchar(100))"}, down: []string{"DROP TABLE authors"}},
		{name: "books", up: []string{"CREATE TABLE books (id integer, n integer)", "INSERT INTO books VALUES (1, 0)"}, down: []string{"DROP TABLE books"}},
		{name: "counting", body: true, down: []string{"DROP TRIGGER counting"},
			up: []string{"CREATE TRIGGER counting AFTER INSERT ON authors FOR EACH ROW BEGIN\n  UPDATE books SET n = n + 1;\n  UPDATE books SET n = n + 1;\nEND"}},
		{name: "by_name", up: []string{"CREATE INDEX by_name ON authors (name)"}, down: []string{"DROP INDEX by_name"}},
	}
	switch d {
	case dialect.Postgres:
		all[2].up = []string{"CREATE FUNCTION counting() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  UPDATE books SET n = n + 1;\n  UPDATE books SET n = n + 1;\n  RETURN NULL;\nEND\n$$",
			"CREATE TRIGGER counting AFTER INSERT ON authors FOR EACH ROW EXECUTE FUNCTION counting()"}
		all[2].down = []string{"DROP FUNCTION counting CASCADE"}
		all[3] = step{name: "by_name", alone: true, up: []string{"CREATE INDEX CONCURRENTLY by_name ON authors (name)"}, down: []string{"DROP INDEX CONCURRENTLY by_name"}}
	case dialect.MariaDB, dialect.MySQL:
		all[3].down = []string{"DROP INDEX by_name ON authors"}
	}
	return all
}

func plain(statements []string) string { return strings.Join(statements, ";\n") + ";\n" }

// annotated marks the statements that have semicolons in them, as goose and sql-migrate need it.
func (s step) annotated(marker string, statements []string) string {
	if !s.body || statements[0] != s.up[0] {
		return plain(statements)
	}
	text := marker + "StatementBegin\n" + statements[0] + ";\n" + marker + "StatementEnd\n"
	if rest := statements[1:]; len(rest) > 0 {
		text += plain(rest)
	}
	return text
}

// folderOf are the first n migrations in a tool's format.
func folderOf(tool adopt.Tool, d dialect.Dialect, n int) fs.FS {
	fsys := fstest.MapFS{}
	for i, s := range steps(d)[:n] {
		for name, text := range s.files(tool, d, i+1) {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return fsys
}

func (s step) files(tool adopt.Tool, d dialect.Dialect, n int) map[string]string {
	up, down := plain(s.up), plain(s.down)
	option := func(text string) string {
		if s.alone {
			return text
		}
		return ""
	}
	stem := fmt.Sprintf("2024010%d120000_%s", n, s.name)
	switch tool {
	case adopt.Goose:
		return map[string]string{fmt.Sprintf("%05d_%s.sql", n, s.name): option("-- +goose NO TRANSACTION\n") + "-- +goose Up\n" + s.annotated("-- +goose ", s.up) +
			"\n-- +goose Down\n" + s.annotated("-- +goose ", s.down)}
	case adopt.SQLMigrate:
		return map[string]string{strings.Replace(stem, "_", "-", 1) + ".sql": "-- +migrate Up" + option(" notransaction") + "\n" + s.annotated("-- +migrate ", s.up) +
			"\n-- +migrate Down" + option(" notransaction") + "\n" + s.annotated("-- +migrate ", s.down)}
	case adopt.Dbmate:
		return map[string]string{stem + ".sql": "-- migrate:up" + option(" transaction:false") + "\n" + up + "\n-- migrate:down" + option(" transaction:false") + "\n" + down}
	case adopt.Tern:
		return map[string]string{fmt.Sprintf("%03d_%s.sql", n, s.name): option("---- tern: disable-tx ----\n") + up + "\n---- create above / drop below ----\n" +
			option("---- tern: disable-tx ----\n") + "\n" + down}
	case adopt.GolangMigrate:
		stem := fmt.Sprintf("%06d_%s", n, s.name)
		return map[string]string{stem + ".up.sql": up, stem + ".down.sql": down}
	case adopt.Bun:
		tx := ".tx"
		if s.alone {
			tx = ""
		}
		return map[string]string{stem + tx + ".up.sql": strings.Join(s.up, "\n--bun:split\n"), stem + tx + ".down.sql": strings.Join(s.down, "\n--bun:split\n")}
	}
	up, down = strings.ReplaceAll(up, " CONCURRENTLY", ""), strings.ReplaceAll(down, " CONCURRENTLY", "") // pop can't
	files := map[string]string{stem + ".up.sql": up, stem + ".down.sql": down}
	if n == 3 && d == dialect.Postgres {
		files = map[string]string{stem + ".postgres.up.sql": up, stem + ".postgres.down.sql": down, stem + ".mysql.up.sql": "not SQL", stem + ".cockroach.up.sql": "not SQL"}
	}
	return files
}
