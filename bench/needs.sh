#!/usr/bin/env bash
# Gets the peer that isn't a Go module: nginx with nchan, from Debian's packages. They are only unpacked, into the user's cache: nothing is
# installed and no service is started. If it can't be had, that is said, and the peer is left out.
set -euo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/buffkit
module=usr/lib/nginx/modules/ngx_nchan_module.so

nchan() {
	if { [ -e /$module ] && [ -e /usr/sbin/nginx ]; } || { [ -e "$cache/nchan/$module" ] && [ -e "$cache/nchan/usr/sbin/nginx" ]; }; then
		echo 'nchan: there'
		return
	fi
	if ! command -v apt-get >/dev/null; then
		echo 'nchan: left out: nginx with libnginx-mod-nchan is needed, which Debian and Ubuntu have'
		return
	fi
	local work
	work=$(mktemp -d)
	[ "$(id -u)" -ne 0 ] || apt-get -qq -o Acquire::Retries=5 update
	if (cd "$work" && apt-get -qq -o Acquire::Retries=5 -o APT::Sandbox::User=root download nginx libnginx-mod-nchan); then
		mkdir -p "$cache/nchan"
		for package in "$work"/*.deb; do dpkg -x "$package" "$cache/nchan"; done
		echo "nchan: unpacked into $cache/nchan"
	else
		echo 'nchan: left out: the packages could not be fetched; run apt-get update as root, then this again'
	fi
	rm -rf "$work"
}

nchan
