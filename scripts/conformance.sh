#!/usr/bin/env bash
# Holds bin/dsk against recorded results of ONNX models in ../shared, and fails if fewer pass than have passed before. Raise the numbers
# when more do.
set -euo pipefail
cd "$(dirname "$0")/.."
onnx=../shared/onnx
[ -d "$onnx" ] || { echo "../shared is absent: nothing to hold against"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -xzf "$onnx/node-tests-open.tar.gz" -C "$work"
failed=0

# hold NAME LEAST PASSED
hold() {
	printf '%-28s %5d pass, at least %d\n' "$1" "$3" "$2"
	[ "$3" -ge "$2" ] || { echo "$1: fewer pass than before"; failed=1; }
}

# passed DIR...: the names that pass, as category/test
passed() { bin/dsk check "$@" 2>/dev/null | sed -n 's/^PASS *\([^:]*\):.*/\1/p' || true; }

suite=$(dirname "$(find "$work" -maxdepth 2 -type d -name node)")
for category in node simple pytorch-converted pytorch-operator; do
	passed "$suite/$category" | sed "s#^#$category/#"
done | sort >"$work/passed"
tail -n +2 "$onnx/tests-open.tsv" | awk -F '\t' '{print $1 "/" $2, $3}' | sort >"$work/tiers"
tier() { join "$work/passed" "$work/tiers" | awk -v t="$1" '$2 == t' | wc -l; }
hold "backend suite, tier 1" 819 "$(tier 1)"
hold "backend suite, tier 2" 334 "$(tier 2)"
hold "backend suite, tier 3" 135 "$(tier 3)"
hold "real models" 72 "$(passed "$onnx/real" | wc -l)"
hold "ONNX Runtime's results" 598 "$(passed "$onnx/ort-reference" | wc -l)"
exit "$failed"
