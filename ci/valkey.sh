#!/usr/bin/env bash
# Unpacks Valkey 9 into the user's cache, for the tests of the log in Redis: Debian 12 hasn't got it. Without apt: install it yourself.
set -euo pipefail

! command -v valkey-server >/dev/null || exit 0
"$(dirname "$0")/unstable.sh" valkey usr/bin/valkey-server valkey-server || {
	echo "The tests need Valkey 8 or later: install it, so that valkey-server is on the PATH"
	exit 1
}
