#!/usr/bin/env bash
# Tidies go.mod and go.sum of every module. With --check it changes nothing and fails, showing what it would change.
#
# go mod tidy doesn't look at go.work: it would ask the network for the modules of this repository, in versions that aren't
# published yet. So it works on a copy of go.mod with a replace for each of them. None is ever written to the checkout, since
# a module whose go.mod has a replace can't be installed by `go install …@latest`.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$PWD
[ "${1-}" = --check ] || go work use # raises go.work's go directive where a module's was raised: nothing works before that
ours=$(go list -m -f '{{.Path}}={{.Dir}}')

tidy() { # the copy, in a module's folder
	local file=$work/go.mod pair
	rm -f "$work"/go.*
	cp go.mod "$work"
	[ ! -f go.sum ] || cp go.sum "$work"
	for pair in $ours; do go mod edit -replace="$pair" "$file"; done
	GOWORK=off go mod tidy -modfile="$file" 2>&1 | sed "/matched no packages/d"
	for pair in $ours; do go mod edit -dropreplace="${pair%%=*}" "$file"; done
	sed -i.before 's/ v0\.0\.0-00010101000000-000000000000/ v0.0.0/' "$file" # what tidy writes for "no version yet"
}

differs=0
compare() { # a file of the module's folder with its tidy copy
	cmp -s "$1" "$work/$1" && return
	differs=1
	echo "not tidy: $PWD/$1"
	[ "$1" != go.mod ] || diff -u --label "go.mod" --label 'tidy' "$1" "$work/$1" || true # a go.sum says nothing to a reader
}

for dir in $(go list -m -f '{{.Dir}}') "$root/internal/tools"; do
	cd "$dir"
	tidy
	for name in go.mod go.sum; do
		[ -f "$name" ] || [ -f "$work/$name" ] || continue # a module that needs nothing has no go.sum
		[ -f "$work/$name" ] || : >"$work/$name"
		if [ "${1-}" != --check ]; then
			cp "$work/$name" "$name"
		else
			compare "$name"
		fi
	done
done
cd "$root"
[ "${1-}" = --check ] || go work use
if [ $differs -ne 0 ]; then
	echo 'run: make tidy'
	exit 1
fi
