#!/usr/bin/env bash
# Unpacks MySQL 9 into the user's cache, for the tests of migrations. Debian has it in unstable alone, so it comes with its own C library and loader,
# and nothing of the system is touched. Without apt: install MySQL 8.4 or later yourself, or name a server in BUFFKIT_TEST_MYSQL_DSN.
set -euo pipefail

home=${XDG_CACHE_HOME:-$HOME/.cache}/buffkit/mysql
if [ -n "${BUFFKIT_TEST_MYSQL_DSN-}" ] || [ -x "$home/root/usr/sbin/mysqld" ]; then
	exit 0
fi
if command -v mysqld >/dev/null && ! mysqld --no-defaults --version | grep -q MariaDB; then
	exit 0
fi
keys=/usr/share/keyrings/debian-archive-keyring.gpg
if ! command -v apt-get >/dev/null || ! [ -f $keys ]; then
	echo "The tests need MySQL: install it, or name a server in BUFFKIT_TEST_MYSQL_DSN=user:password@tcp(host:port)/"
	exit 1
fi

echo 'fetching MySQL from Debian unstable, 70 MB'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,root}
: >"$work/status"
echo "deb [signed-by=$keys] http://deb.debian.org/debian sid main" >"$work/sources.list"
apt() {
	apt-get -qq -o Acquire::Retries=5 -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State::Lists="$work/lists" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
		-o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" "$@"
}
apt update
apt -d -y --no-install-recommends install mysql-server-core
for package in "$work"/cache/archives/*.deb; do
	dpkg -x "$package" "$work/root"
done
[ -x "$work/root/usr/sbin/mysqld" ]
mkdir -p "$home"
rm -rf "$home/root"
mv "$work/root" "$home/root"
