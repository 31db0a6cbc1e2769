// Package seed fills a database with rows: the countries that every installation needs, the users of a demo.
//
//	seeds/1_countries.csv                 rows of the table countries, everywhere
//	seeds/2_settings.sql                  SQL, everywhere
//	seeds/development/3_users.jsonl       in the environment development alone
//
// A seed is a migration of the source "seed": it has a version, runs in one transaction with its row in the same ledger, under the
// same lock, and once. With the header repeatable it runs again whenever its file changes, and with Options.Again in any case: the ledger
// doesn't see that tables were made anew.
//
// Data files are CSV with a line of names, JSON lines, or JSON with one list of objects. They are read row by row and written in batches, so
// that their size doesn't matter. A row whose key is in the table already changes it: a data file may run twice. The table is
// the file's name, and the key its primary key, unless the headers at the top of the file say otherwise:
//
//	# table: app.countries
//	# key: code
//	# null: NULL               which text of a CSV is NULL; \N without
//	# insert                   rows are only added; one that is there is an error
//	# repeatable               as in SQL: also depends: and env:
//
// SQL files are sent as they are, and should be written so that they may run twice: INSERT … ON CONFLICT DO NOTHING.
//
// In production a seed runs only if it says so (the header env: production, or the folder production), or is named. So must what it
// depends on.
package seed
