package migratedb

// childVar makes the test binary a runner instead, for tests that kill it.
const childVar = "BUFFKIT_MIGRATE_CHILD"

func child() int { return 0 }
