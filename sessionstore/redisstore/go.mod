module github.com/buffkit/buffkit/sessionstore/redisstore

go 1.25.0

require (
	github.com/buffkit/buffkit v0.0.0
	github.com/buffkit/buffkit/eventlog/redislog v0.0.0
	github.com/redis/rueidis v1.0.79
)

require golang.org/x/sys v0.47.0 // indirect
