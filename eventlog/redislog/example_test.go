package redislog_test

import (
	"context"
	"database/sql"
	"log"
	"os"

	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/eventlog/sqlarchive"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// Redis keeps what clients miss in a tunnel, and the app's database what they miss on a holiday.
func ExampleOpen_archive() {
	ctx := context.Background()
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // with the driver of your choice
	if err != nil {
		log.Fatal(err)
	}
	archive, err := sqlarchive.Open(ctx, db, dialect.Postgres, &sqlarchive.Options{Migrate: true})
	if err != nil {
		log.Fatal(err)
	}
	events, err := redislog.Open(ctx, &redislog.Options{Addrs: []string{"redis.internal:6379"}, Archive: archive})
	if err != nil {
		log.Fatal(err)
	}
	defer events.Close()
}
