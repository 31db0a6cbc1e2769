#!/usr/bin/env bash
# The linters: alone, or as steps of test.sh, which sources this. CONTRIBUTING.md says why each is here.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

all=$(packages)

formatted() {
	local files
	files=$(gofmt -l .) || return
	if [ -n "$files" ]; then
		printf '%s\n' "$files" 'run: gofmt -w .'
		return 1
	fi
}

static() {
	local tool
	tool=$(cd internal/tools && GOWORK=off go tool -n staticcheck) || return # builds it, or finds it in the build cache
	# shellcheck disable=SC2086 # one word for each pattern
	"$tool" $all
}

# Each system has its poller, or none; only some of them run the tests.
elsewhere() {
	local system
	for system in darwin dragonfly freebsd netbsd openbsd windows; do
		GOOS=$system CGO_ENABLED=0 go vet ./push ./eventlog ./sse ./client || { echo "on $system"; return 1; }
	done
}

step 'gofmt' formatted
# shellcheck disable=SC2086
step 'go vet' go vet $all
step 'go vet, for other systems' elsewhere
step 'staticcheck' static
step 'go.mod files are tidy' ci/tidy.sh --check
[ "${BASH_SOURCE[0]}" != "$0" ] || finish
