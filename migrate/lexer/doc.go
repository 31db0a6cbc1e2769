// Package lexer takes SQL files apart, into tokens and into statements, as the server and its own client would.
//
//	file ── Tokens ──> every byte, named                    the linter, colours, positions
//	     └─ Split ───> statements, with file:line:column    the runner: one is sent, timed, journalled, blamed
//
// Both are lossless: joined, the texts of the tokens are the file, and so are those of the Pieces that Split takes its
// statements from. There are no annotations, since a lexer for each dialect knows what a semicolon stands in:
//
//   - PostgreSQL: '…', E'…' (also where it goes on on another line: psql, which reads line by line, doesn't see that), U&'…', $tag$…$tag$, "…", nested comments, functions with
//     BEGIN ATOMIC … END, rules with several actions in parentheses.
//   - MySQL and MariaDB: strings with backslashes, `…`, # and -- comments, /*! conditional */ ones whose content is SQL, stored
//     programs with blocks of BEGIN, IF, CASE, LOOP, REPEAT and WHILE, with and without DELIMITER; MariaDB's /*M! …*/, FOR and
//     BEGIN NOT ATOMIC. Bodies in Oracle's syntax (sql_mode=ORACLE) need a DELIMITER.
//   - SQLite: "…", `…`, […], triggers, CASE … END within them.
//
// DELIMITER is a command of the mysql client and honoured here: it names what ends a statement. Under it a semicolon still ends
// what isn't a stored program, because a server takes one statement at a time. A delimiter that is a word, like GO, ends a statement
// only as a whole word; the mysql client would also find it within others.
//
// What only a client understands is told, not sent: commands like \connect, .read and \G are errors with a hint, and so is COPY …
// FROM stdin, since rows can't travel as SQL through database/sql. The lines \restrict and \unrestrict that pg_dump writes pass as text
// that belongs to no statement.
//
// A string, comment or body that isn't closed is an error with its place, its line and what to do. Nothing is guessed: a splitter that
// gets it wrong runs half of a migration. For the same reason a zero byte is refused, at which SQLite would stop reading.
//
// Files are UTF-8, with or without a byte order mark; lines end in LF or CRLF.
package lexer
