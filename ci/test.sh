#!/usr/bin/env bash
# The test command of the README: everything that must hold, on a machine that has Go, make and a clean clone.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# One package's tests take seconds. A hang should end with stacks long before whoever runs this gives up.
timeout=10m

tests() {
	# shellcheck disable=SC2046 # one word for each pattern
	go test -race -timeout "$timeout" $(packages)
}

need 'programs the tests need' ci/needs.sh
need 'module downloads' ci/download.sh
. ci/lint.sh
step 'tests, with the race detector' tests
finish
