#!/bin/sh
# Fetches htmx from npm into static/vendor: `go generate ./internal/demo` in cmd/buffkit.
# To move to another version, change both lines; `npm view htmx.org@VERSION dist.integrity` gives the second.
set -eu
version=4.0.1
integrity=sha512-oF7JgXhDW9UXCy/k1ZYFUQgzu/rm19ORWPSPNL91vPluB2PB9+MV55tyQdH/w7o2EAbTYUG5SDW1R60mdkdqGg==

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "htmx.org@$version" >/dev/null
got=sha512-$(openssl dgst -sha512 -binary "htmx.org-$version.tgz" | openssl base64 -A)
if [ "$got" != "$integrity" ]; then
	echo "vendor.sh: htmx.org $version has the integrity $got, not $integrity" >&2
	exit 1
fi
tar -xzf "htmx.org-$version.tgz"
mkdir -p "$here/static/vendor"
cp package/dist/htmx.min.js package/dist/ext/hx-sse.min.js "$here/static/vendor/"
cp package/LICENSE "$here/static/vendor/htmx-LICENSE"
echo "htmx.org $version $integrity" >"$here/static/vendor/VERSION"
