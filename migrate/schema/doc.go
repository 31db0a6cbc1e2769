// Package schema reads the schema of a database and writes it as SQL: what makes an empty database the same again.
//
//	database ── Read ──> Schema ── WriteTo ──> a file that is executed on an empty database
//	                       └────── Diff ─────> what two databases don't have in common
//
// It asks the server alone, by database/sql: no pg_dump, no mysqldump. Two databases with the same schema give the same bytes,
// whatever they have been through: objects come in an order of their names and of what they need, and nothing of the data is in it, no
// counters either.
//
// What is left out on purpose is who owns what and who may do what, and on MySQL and MariaDB the definer: these differ from one
// installation to the next. What can't be written is named in Schema.Omitted, and in a comment at the top of the file.
//
// PostgreSQL 14 and later, MySQL 8 and later, MariaDB 10.5 and later, SQLite 3.37 and later.
package schema
