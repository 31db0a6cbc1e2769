#!/usr/bin/env bash
# Fetches every module that the workspace and the linters need, so that no later step depends on the network.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# Five tries, 2 + 4 + 8 + 16 s apart: module proxies hiccup for seconds, not for minutes.
retry() {
	local pause=2
	until "$@"; do
		[ "$pause" -le 16 ] || return 1
		echo "again in $pause s: $*"
		sleep "$pause"
		pause=$((pause * 2))
	done
}

retry go mod download
(cd internal/tools && GOWORK=off retry go mod download)
echo 'all there'
