#!/usr/bin/env bash
# Runs the kernels' benchmarks of a commit and of the working tree, 10 times each, and compares them.
set -euo pipefail
ref=${1:-HEAD}
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'git worktree remove --force "$work/tree" 2>/dev/null || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/tree" "$ref"
(cd "$work/tree" && go test -run '^$' -bench . -count 10 ./kernels) > "$work/old.txt"
go test -run '^$' -bench . -count 10 ./kernels > "$work/new.txt"
go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da "$work/old.txt" "$work/new.txt"
