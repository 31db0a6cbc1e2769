#!/usr/bin/env bash
# The test command of the README: everything that must hold, on a machine that has Go, make and a clean clone.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# One package's tests take seconds. A hang should end with stacks long before whoever runs this gives up.
timeout=10m

# SQLite's C as Go takes three times as long with the race detector, which has nothing to find there. Its driver keeps it.
quick=('-gcflags=modernc.org/sqlite/lib=-race=false' '-gcflags=modernc.org/libc/...=-race=false')

matrix=$PWD/.cache/fault-matrix.md

tests() {
	mkdir -p .cache
	export BUFFKIT_TEST_MATRIX=$matrix
	# shellcheck disable=SC2046 # one word for each pattern
	go test -race "${quick[@]}" -timeout "$timeout" $(packages)
}

# Results that go has cached write none.
faults() {
	if [ -f "$matrix" ]; then
		grep '^|' "$matrix"
	else
		echo 'the tests of migrations were cached: go clean -testcache'
	fi
}

need 'programs the tests need' ci/needs.sh
need 'module downloads' ci/download.sh
. ci/lint.sh
step 'tests, with the race detector' tests
step 'fault matrix' faults
finish
