#!/usr/bin/env bash
# Runs every fuzz target of the workspace in turn, each for FUZZTIME (5m). Input that fails is kept by go under the package's
# testdata/fuzz: commit it with the fix. All targets get their turn even when one fails.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

folders() { # only these need to be built for the list
	grep -rl --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' . | sed 's|/[^/]*$||' | sort -u
}

for folder in $(folders); do
	targets=$(go test -list '^Fuzz' "$folder" | grep '^Fuzz')
	for target in $targets; do
		step "$folder $target" go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-5m}" "$folder"
	done
done
finish
