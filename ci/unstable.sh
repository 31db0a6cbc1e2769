#!/usr/bin/env bash
# Unpacks programs of Debian unstable into the user's cache: ci/unstable.sh NAME PROGRAM PACKAGE… makes NAME/root with PROGRAM in it. They come with
# their own C library and loader, and nothing of the system is touched.
set -euo pipefail

name=$1 program=$2
shift 2
home=${XDG_CACHE_HOME:-$HOME/.cache}/buffkit/$name
[ ! -x "$home/root/$program" ] || exit 0
keys=/usr/share/keyrings/debian-archive-keyring.gpg
if ! command -v apt-get >/dev/null || ! [ -f $keys ]; then
	echo "$name can't be fetched here: that takes apt-get and $keys"
	exit 1
fi

echo "fetching $* from Debian unstable"
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
apt -d -y --no-install-recommends install "$@"
for package in "$work"/cache/archives/*.deb; do
	dpkg -x "$package" "$work/root"
done
[ -x "$work/root/$program" ]
mkdir -p "$home"
rm -rf "$home/root"
mv "$work/root" "$home/root"
