// Package dialect names the databases that migrations run on, and holds the facts in which the text of their SQL differs.
//
//	Parse("postgresql") ── Dialect ──> Postgres.Lexical() ──> which comments, strings and quotes there are
//
// A fact stands here if it is true for every version of the database; what depends on a server's version or settings is for
// those who talk to the server. MySQL and MariaDB are two dialects: they have drifted apart in their syntax of comments, their
// compound statements, their locks and their catalogs.
package dialect
