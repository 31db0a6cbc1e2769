// Package servers starts real database servers for tests: private to the run, on free ports of the loopback address, with their data in
// a temporary folder that Stop removes. A server that runs as root by mistake refuses to, so as root they run as a user without rights.
//
// BUFFKIT_TEST_POSTGRES_URL, BUFFKIT_TEST_MARIADB_DSN and others name servers that are there already. Redis and Valkey are always started:
// the tests kill them.
package servers
