# shellcheck shell=bash
# What the scripts beside this one share. They source it, and then stand in the root of the checkout.
# All of them keep to bash 3.2, which is what macOS has.

! declare -F step >/dev/null || return 0 # test.sh sources lint.sh: the steps so far must be kept

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# packages prints a pattern for the packages of each module of the workspace that has any: ./... ./cmd/buffkit/... and so on.
packages() {
	local dir
	go list -m -f '{{.Dir}}' | while read -r dir; do
		if [ -n "$(cd "$dir" && go list -e ./... 2>/dev/null)" ]; then
			echo ".${dir#"$PWD"}/..."
		fi
	done
}

failed=0
times=()

# step runs a command under a header and remembers how long it took and whether it failed. The caller goes on: one run
# shows everything that is wrong.
step() {
	local name=$1 begin=$SECONDS result=ok
	shift
	printf '\n=== %s\n' "$name"
	if ! "$@"; then
		result=FAILED
		failed=1
	fi
	times+=("$(printf '%5d s  %-6s  %s' $((SECONDS - begin)) "$result" "$name")")
}

# need is step for what the rest can't do without.
need() {
	step "$@"
	[ "$failed" -eq 0 ] || finish
}

# finish prints the time of each step and ends the script.
finish() {
	printf '\n=== %d s in all\n' "$SECONDS"
	[ ${#times[@]} -eq 0 ] || printf '%s\n' "${times[@]}"
	exit "$failed"
}
