#!/usr/bin/env bash
# Unpacks MySQL 9 into the user's cache, for the tests of migrations: Debian has it in unstable alone. Without apt: install MySQL 8.4 or later yourself,
# or name a server in BUFFKIT_TEST_MYSQL_DSN.
set -euo pipefail

[ -z "${BUFFKIT_TEST_MYSQL_DSN-}" ] || exit 0
if command -v mysqld >/dev/null && ! mysqld --no-defaults --version | grep -q MariaDB; then
	exit 0
fi
"$(dirname "$0")/unstable.sh" mysql usr/sbin/mysqld mysql-server-core || {
	echo "The tests need MySQL: install it, or name a server in BUFFKIT_TEST_MYSQL_DSN=user:password@tcp(host:port)/"
	exit 1
}
