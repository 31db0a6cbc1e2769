#!/usr/bin/env bash
# Which lines the tests of all modules together reach: a figure for each package, and a page with every line.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

mkdir -p .cache
profile=.cache/cover.out
# The figure that go test prints for one package's tests is of all packages together: it misleads, so it goes.
# shellcheck disable=SC2046 # one word for each pattern
go test -timeout 10m -coverpkg=github.com/buffkit/buffkit/... -coverprofile=$profile $(packages) | sed 's/[[:space:]]*coverage:.*//'

# A block stands in the profile once for each test binary. It counts as reached if any of them reached it.
echo
awk -F '[: ]' 'NR > 1 {
	block = $1 ":" $2; statements[block] = $3; if ($4 > 0) reached[block] = 1
} END {
	for (block in statements) {
		name = block; sub("/[^/]*$", "", name)
		of[name] += statements[block]; if (block in reached) got[name] += statements[block]
	}
	for (name in of) if (of[name]) printf "%5.1f %%  %s\n", 100 * got[name] / of[name], name
}' $profile | sort -k3
go tool cover -html=$profile -o .cache/cover.html
echo "every line: .cache/cover.html"
