package schema

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// readSQLite takes the statements as SQLite has kept them. Virtual tables make their shadow tables themselves.
func readSQLite(ctx context.Context, conn *sql.Conn, s *Schema, o Options) error {
	all, err := table(ctx, conn, `SELECT m.type, m.name, m.tbl_name, m.sql, COALESCE(l.type, '') FROM main.sqlite_schema m
		LEFT JOIN pragma_table_list l ON l.schema = 'main' AND l.name = m.name
		WHERE m.sql IS NOT NULL AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\'
		ORDER BY CASE m.type WHEN 'table' THEN CASE l.type WHEN 'virtual' THEN 1 ELSE 0 END WHEN 'index' THEN 2 WHEN 'view' THEN 3 ELSE 4 END, m.name`)
	if err != nil {
		return err
	}
	for _, row := range all {
		kind, name, of, text, how := row[0], row[1], row[2], row[3], row[4]
		if how == "shadow" || slices.ContainsFunc(o.Ignore, func(n string) bool { return strings.EqualFold(strings.TrimPrefix(n, "main."), of) }) {
			continue
		}
		if how == "virtual" {
			kind = "virtual table"
		}
		s.add(Object{Kind: kind, Name: name, SQL: []string{text}})
	}
	var version, application int64
	if err := conn.QueryRowContext(ctx, "PRAGMA main.user_version").Scan(&version); err != nil {
		return err
	}
	if err := conn.QueryRowContext(ctx, "PRAGMA main.application_id").Scan(&application); err != nil {
		return err
	}
	if version != 0 {
		s.omit("PRAGMA user_version, which is %d", version)
	}
	if application != 0 {
		s.omit("PRAGMA application_id, which is %d", application)
	}
	return nil
}
