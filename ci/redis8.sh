#!/usr/bin/env bash
# Unpacks Redis 8 into the user's cache, for the tests of the log in Redis: Debian 12 has Redis 7. Without apt: install it yourself.
set -euo pipefail

if command -v redis-server >/dev/null && redis-server --version | grep -q ' v=\([89]\|[1-9][0-9]\)'; then
	exit 0
fi
"$(dirname "$0")/unstable.sh" redis8 usr/bin/redis-server redis-server || {
	echo "The tests need Redis 8 beside Redis 7: install it, so that redis-server on the PATH is one"
	exit 1
}
