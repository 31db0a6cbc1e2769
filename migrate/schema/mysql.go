package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// mysqlReader reads MySQL and MariaDB, as the server itself prints its objects.
type mysqlReader struct {
	ctx  context.Context
	conn *sql.Conn
	*Schema
	Options
	database              string
	mode, collation, zone string // the settings at the place of the file that was written last
}

func readMySQL(ctx context.Context, conn *sql.Conn, s *Schema, o Options) (err error) {
	r := &mysqlReader{ctx: ctx, conn: conn, Schema: s, Options: o}
	restore, err := r.settle()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	r.before = []string{
		"SET @dump_sql_mode = @@sql_mode, @dump_foreign_key_checks = @@foreign_key_checks, @dump_time_zone = @@time_zone, @dump_collation = @@collation_connection",
		"SET sql_mode = '" + plainMode + "', foreign_key_checks = 0, time_zone = '+00:00'",
	}
	r.after = []string{"SET sql_mode = @dump_sql_mode, foreign_key_checks = @dump_foreign_key_checks, time_zone = @dump_time_zone, collation_connection = @dump_collation"}
	r.mode, r.zone = plainMode, "+00:00"
	for _, read := range []func() error{r.defaults, r.sequences, r.tables, r.routines, r.views, r.triggers, r.events} {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// plainMode is the sql_mode in which the server's own texts are read and written: strictness would refuse defaults that are in use.
const plainMode = "NO_ENGINE_SUBSTITUTION"

// settle makes the connection print in one way, whatever it was set to.
func (r *mysqlReader) settle() (restore func() error, err error) {
	var mode, zone string
	var quote int
	if err := r.conn.QueryRowContext(r.ctx, "SELECT @@SESSION.sql_mode, @@SESSION.time_zone, @@SESSION.sql_quote_show_create").Scan(&mode, &zone, &quote); err != nil {
		return nil, err
	}
	const set = "SET SESSION sql_mode = '%s', time_zone = '%s', sql_quote_show_create = %d"
	if _, err := r.conn.ExecContext(r.ctx, fmt.Sprintf(set, plainMode, "+00:00", 1)); err != nil {
		return nil, err
	}
	return func() error {
		_, err := r.conn.ExecContext(context.WithoutCancel(r.ctx), fmt.Sprintf(set, mode, zone, quote))
		return err
	}, nil
}

// withoutDatabase takes the name of the database out of a table's text: MariaDB writes it before the sequence of a default.
func (r *mysqlReader) withoutDatabase(text string) string {
	prefix := quoteMySQL(r.database) + "."
	if !strings.Contains(text, prefix) {
		return text
	}
	var b strings.Builder
	for t := range lexer.Tokens(text, r.Dialect, nil) {
		b.WriteString(t.Text)
		if t.Kind == lexer.Punct && strings.HasSuffix(b.String(), prefix) {
			whole := b.String()
			b.Reset()
			b.WriteString(strings.TrimSuffix(whole, prefix))
		}
	}
	return b.String()
}

// defaults notes what new tables and parameters of text get where nothing else is said.
func (r *mysqlReader) defaults() error {
	var collation string
	err := r.conn.QueryRowContext(r.ctx, "SELECT schema_name, default_collation_name FROM information_schema.schemata WHERE schema_name = DATABASE()").
		Scan(&r.database, &collation)
	if errors.Is(err, sql.ErrNoRows) {
		return errors.New("the connection has no database: name one in the connection string")
	}
	if err != nil {
		return err
	}
	var server string
	if err := r.conn.QueryRowContext(r.ctx, "SELECT @@GLOBAL.collation_server").Scan(&server); err != nil {
		return err
	}
	if collation != server {
		r.omit("the database's own default collation, which is %s: CREATE DATABASE … COLLATE %s", collation, collation)
	}
	return nil
}

func (r *mysqlReader) list(query string) ([][]string, error) { return table(r.ctx, r.conn, query) }

func (r *mysqlReader) ignored(name string) bool {
	return slices.ContainsFunc(r.Ignore, func(n string) bool { return strings.EqualFold(n, name) || strings.EqualFold(n, r.database+"."+name) })
}

func quoteMySQL(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// show returns the row of SHOW CREATE by the names of its columns.
func (r *mysqlReader) show(kind, name string) (map[string]string, error) {
	rows, err := r.conn.QueryContext(r.ctx, "SHOW CREATE "+kind+" "+quoteMySQL(name))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	row := map[string]string{}
	for rows.Next() {
		values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		for i, c := range columns {
			row[strings.ToLower(c)] = values[i].String
		}
	}
	return row, rows.Err()
}

// text is a column of show that must be there: it is NULL for whoever may not see it.
func (r *mysqlReader) text(row map[string]string, column, kind, name string) (string, error) {
	if row[column] == "" {
		return "", fmt.Errorf("the server doesn't show the %s %s: the user needs the right to see it", kind, name)
	}
	return row[column], nil
}

func (r *mysqlReader) sequences() error {
	if r.Dialect != dialect.MariaDB {
		return nil
	}
	all, err := r.list("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'SEQUENCE' ORDER BY table_name")
	if err != nil {
		return err
	}
	for _, row := range all {
		shown, err := r.show("SEQUENCE", row[0])
		if err != nil {
			return err
		}
		text, err := r.text(shown, "create table", "sequence", row[0])
		if err != nil {
			return err
		}
		r.add(Object{Kind: "sequence", Name: row[0], SQL: []string{text}})
	}
	return nil
}

func (r *mysqlReader) tables() error {
	all, err := r.list("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_name")
	if err != nil {
		return err
	}
	for _, row := range all {
		if r.ignored(row[0]) {
			continue
		}
		shown, err := r.show("TABLE", row[0])
		if err != nil {
			return err
		}
		text, err := r.text(shown, "create table", "table", row[0])
		if err != nil {
			return err
		}
		r.add(Object{Kind: "table", Name: row[0], SQL: []string{r.withoutDatabase(withoutCounter(text))}})
	}
	return nil
}

var counter = regexp.MustCompile(` AUTO_INCREMENT=\d+`)

// withoutCounter takes the number of the next row out of a table's options. Nothing else in the text can look like that: options begin on
// the line with the closing parenthesis, and the counter stands before whatever has a string in it.
func withoutCounter(text string) string {
	at := strings.LastIndex(text, "\n) ")
	if at < 0 {
		return text
	}
	head, options := text[:at], text[at:]
	cut := len(options)
	if i := strings.IndexByte(options, '\''); i >= 0 {
		cut = i
	}
	return head + counter.ReplaceAllString(options[:cut], "") + options[cut:]
}

// definer stands near the beginning of what the server prints.
var definer = regexp.MustCompile("^(CREATE (?:OR REPLACE )?(?:ALGORITHM=\\w+ )?)DEFINER=`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)? ")

func withoutDefiner(text string) string { return definer.ReplaceAllString(text, "$1") }

// under prepends the settings in which an object was made, where they aren't those of the place.
func (r *mysqlReader) under(row map[string]string, mode bool, text string) []string {
	var all []string
	if m := row["sql_mode"]; mode && m != r.mode {
		all, r.mode = append(all, "SET sql_mode = '"+m+"'"), m
	}
	if cs := row["character_set_client"]; cs != "" && !strings.HasPrefix(cs, "utf8") {
		r.omit("that an object was made by a client with the character set %s", cs) // the file is UTF-8
	}
	if c := row["collation_connection"]; c != "" && c != r.collation {
		all, r.collation = append(all, "SET collation_connection = '"+c+"'"), c
	}
	if zone := row["time_zone"]; zone != "" && zone != r.zone {
		all, r.zone = append(all, "SET time_zone = '"+zone+"'"), zone
	}
	return append(all, text)
}

func (r *mysqlReader) routines() error {
	all, err := r.list("SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()" +
		" AND routine_type IN ('FUNCTION', 'PROCEDURE') ORDER BY routine_type, routine_name")
	if err != nil {
		return err
	}
	for _, row := range all {
		if err := r.program(row[0], row[1], "create "+strings.ToLower(row[0])); err != nil {
			return err
		}
	}
	others, err := r.list("SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()" +
		" AND routine_type NOT IN ('FUNCTION', 'PROCEDURE') ORDER BY routine_type, routine_name")
	for _, row := range others {
		r.omit("%s %s", strings.ToLower(row[0]), row[1])
	}
	return err
}

// program is what has statements in it.
func (r *mysqlReader) program(kind, name, column string) error {
	row, err := r.show(kind, name)
	if err != nil {
		return err
	}
	text, err := r.text(row, column, strings.ToLower(kind), name)
	if err != nil {
		return err
	}
	if m := row["sql_mode"]; strings.Contains(m, "ANSI_QUOTES") || strings.Contains(m, "NO_BACKSLASH_ESCAPES") || strings.Contains(m, "ORACLE") {
		r.omit("that the file must be read with the sql_mode %s at %s %s", m, strings.ToLower(kind), name)
	}
	r.add(Object{Kind: strings.ToLower(kind), Name: name, SQL: r.under(row, true, withoutDefiner(text)), body: true})
	return nil
}

func (r *mysqlReader) views() error {
	all, err := r.list("SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE() ORDER BY table_name")
	if err != nil {
		return err
	}
	texts, rows, names := map[string]string{}, map[string]map[string]string{}, []string{}
	for _, v := range all {
		row, err := r.show("VIEW", v[0])
		if err != nil {
			return err
		}
		text, err := r.text(row, "create view", "view", v[0])
		if err != nil {
			return err
		}
		texts[v[0]], rows[v[0]], names = withoutDefiner(text), row, append(names, v[0])
	}
	needs := map[string][]string{}
	for _, name := range names {
		needs[name] = tablesIn(texts[name], r.Dialect)
	}
	for _, name := range inOrder(names, needs) {
		r.add(Object{Kind: "view", Name: name, SQL: r.under(rows[name], false, texts[name])})
	}
	return nil
}

// tablesIn returns the names that a view as the server prints it reads from. It quotes all names, and columns have their table before them.
func tablesIn(text string, d dialect.Dialect) (names []string) {
	var last string
	for t := range lexer.Tokens(text, d, nil) {
		if t.Kind.Trivia() {
			continue
		}
		switch strings.ToLower(last) {
		case "from", "join", "straight_join", "(", ",":
			if strings.HasPrefix(t.Text, "`") {
				names = append(names, strings.ReplaceAll(strings.Trim(t.Text, "`"), "``", "`"))
			}
		}
		last = t.Text
	}
	return names
}

// inOrder puts names behind those that they need, and otherwise leaves their order.
func inOrder(names []string, needs map[string][]string) (order []string) {
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if seen[name] || !slices.Contains(names, name) {
			return
		}
		seen[name] = true
		for _, n := range needs[name] {
			visit(n)
		}
		order = append(order, name)
	}
	for _, name := range names {
		visit(name)
	}
	return order
}

// triggers are made in the order in which they fire.
func (r *mysqlReader) triggers() error {
	all, err := r.list("SELECT trigger_name, event_object_table FROM information_schema.triggers WHERE trigger_schema = DATABASE()" +
		" ORDER BY event_object_table, action_timing, event_manipulation, action_order")
	if err != nil {
		return err
	}
	for _, row := range all {
		if r.ignored(row[1]) {
			continue
		}
		if err := r.program("TRIGGER", row[0], "sql original statement"); err != nil {
			return err
		}
	}
	return nil
}

func (r *mysqlReader) events() error {
	all, err := r.list("SELECT event_name FROM information_schema.events WHERE event_schema = DATABASE() ORDER BY event_name")
	if err != nil {
		return err
	}
	for _, row := range all {
		if err := r.program("EVENT", row[0], "create event"); err != nil {
			return err
		}
	}
	return nil
}
