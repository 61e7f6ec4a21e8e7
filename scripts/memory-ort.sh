#!/usr/bin/env bash
# Peak resident memory of 3 runs of a model, batch 1, beside ONNX Runtime's. ORT's is what its process has at most beyond a
# process that has loaded the library and no model; dsk's is its whole process, mapped weights and all.
# Needs node, GNU time, and the package onnxruntime-node in the folder that ORT names.
#   ORT=DIR scripts/memory-ort.sh MODEL.onnx...
# DSK is the binary, THREADS the thread counts ("1 2").
set -euo pipefail
dsk=${DSK:-$(dirname "$0")/../bin/dsk}
ort=${ORT:?the folder with node_modules/onnxruntime-node}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/ort.cjs" <<'JS'
// ort.cjs FOLDER THREADS [MODEL]: runs the model three times.
const [, , folder, threads, path] = process.argv;
const ort = require(require('path').resolve(folder, 'node_modules', 'onnxruntime-node'));
(async () => {
	if (!path) return;
	const session = await ort.InferenceSession.create(path, {
		intraOpNumThreads: +threads, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all', logSeverityLevel: 3,
	});
	const make = { int64: BigInt64Array, int32: Int32Array, uint8: Uint8Array, float32: Float32Array };
	const feeds = {};
	for (const input of session.inputMetadata) {
		const shape = input.shape.map((d) => (typeof d === 'number' && d > 0 ? d : 1));
		feeds[input.name] = new ort.Tensor(input.type, new make[input.type](shape.reduce((a, b) => a * b, 1)), shape);
	}
	for (let i = 0; i < 3; i++) await session.run(feeds);
})();
JS
# peak FILE CMD...: megabytes.
peak() { command time -f %M -o "$work/peak" "$@" > "$work/out" 2>&1 || { cat "$work/out" >&2; exit 1; }; awk '{ printf "%.1f", $1 / 1024 }' "$work/peak"; }
printf '%-32s %7s %10s %10s\n' model threads 'dsk MiB' 'ORT MiB'
for model in "$@"; do
	"$dsk" convert "$model" -o "$work/model.dsk" --force --quiet > "$work/convert.log" 2>&1 || { cat "$work/convert.log" >&2; exit 1; }
	for threads in ${THREADS:-1 2}; do
		empty=$(peak node "$work/ort.cjs" "$ort" "$threads")
		theirs=$(peak node "$work/ort.cjs" "$ort" "$threads" "$model")
		ours=$(peak "$dsk" bench "$work/model.dsk" -t "$threads" -r 3 --json)
		awk -v m="$(basename "$model")" -v t="$threads" -v a="$ours" -v b="$theirs" -v e="$empty" \
			'BEGIN { printf "%-32s %7d %10.1f %10.1f\n", m, t, a, b - e }'
	done
done
