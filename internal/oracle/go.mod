module github.com/buffkit/buffkit/internal/oracle

go 1.25.0

require (
	github.com/buffkit/buffkit v0.0.0
	github.com/buffkit/buffkit/eventlog/pglog v0.0.0
	github.com/buffkit/buffkit/eventlog/redislog v0.0.0
	github.com/jackc/pgx/v5 v5.12.0
)

require (
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/redis/rueidis v1.0.79 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.41.0 // indirect
)
