#!/usr/bin/env bash
# Makes sure that the programs the tests run are there. On Debian and Ubuntu, as root, it installs what is missing;
# elsewhere it says what to install, and fails.
set -euo pipefail

# program, Debian packages, what for
needs() {
	cat <<-'END'
		gcc      gcc,libc6-dev  the race detector
		curl     curl           the tests of the HTTP surface
		chromium chromium       the tests with a browser's EventSource
		nginx    nginx          the tests behind a proxy
		postgres postgresql     the tests of migrations
		mariadbd mariadb-server the tests of migrations
		pgbouncer pgbouncer     the tests of migrations through a pooler
		redis-server redis-server the tests of the log in Redis
		haproxy  haproxy        the tests behind a proxy
		caddy    caddy          the tests behind a proxy
	END
}

# Debian keeps PostgreSQL's programs off the PATH, in a folder for each version.
present() {
	command -v "$1" || compgen -G "/usr/lib/postgresql/*/bin/$1" || compgen -G "/usr/sbin/$1"
}

missing=()
while read -r program packages purpose; do
	present "$program" >/dev/null && continue
	echo "missing: $program, for $purpose"
	IFS=, read -ra names <<<"$packages"
	missing+=("${names[@]}")
done < <(needs)

if [ ${#missing[@]} -eq 0 ]; then
	"$(dirname "$0")/mysql.sh"
	"$(dirname "$0")/valkey.sh"
	"$(dirname "$0")/redis8.sh"
	echo "all there: $(needs | awk '{ printf "%s%s", sep, $1; sep = ", " }')"
	exit 0
fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "Install what is missing and run this again. On Debian and Ubuntu:"
	echo "    sudo apt-get update && sudo apt-get install -y ${missing[*]}"
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o Acquire::Retries=5 update
apt-get -qq -o Acquire::Retries=5 -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}" </dev/null
"$(dirname "$0")/mysql.sh"
"$(dirname "$0")/valkey.sh"
"$(dirname "$0")/redis8.sh"
