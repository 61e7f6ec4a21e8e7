#!/usr/bin/env bash
# Times models against ONNX Runtime: median milliseconds of a run, batch 1, and how many times as fast dsk is.
# Needs node, and the package onnxruntime-node in the folder that ORT names (npm install --ignore-scripts onnxruntime-node).
#   ORT=DIR scripts/bench-ort.sh MODEL.onnx...
# DSK is the binary, THREADS the thread counts ("1 2"), REPEATS the timed repeats.
set -euo pipefail
dsk=${DSK:-$(dirname "$0")/../bin/dsk}
ort=${ORT:?the folder with node_modules/onnxruntime-node}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/ort.cjs" <<'JS'
// ort.cjs FOLDER MODEL THREADS REPEATS: prints the median time of a run in milliseconds.
const [, , folder, path, threads, repeats] = process.argv;
const ort = require(require('path').resolve(folder, 'node_modules', 'onnxruntime-node'));
const fill = {
	int64: (n) => new BigInt64Array(n), int32: (n) => new Int32Array(n), uint8: (n) => new Uint8Array(n),
	float32: (n) => Float32Array.from({ length: n }, (_, i) => (i * 7919) % 1000 / 1000),
};
(async () => {
	const session = await ort.InferenceSession.create(path, {
		intraOpNumThreads: +threads, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all', logSeverityLevel: 3,
	});
	const feeds = {};
	for (const input of session.inputMetadata) {
		const shape = input.shape.map((d) => (typeof d === 'number' && d > 0 ? d : 1));
		feeds[input.name] = new ort.Tensor(input.type, fill[input.type](shape.reduce((a, b) => a * b, 1)), shape);
	}
	for (let i = 0; i < 3; i++) await session.run(feeds);
	const times = [];
	const start = process.hrtime.bigint();
	while (times.length < +repeats || process.hrtime.bigint() - start < 1000000000n) {
		const before = process.hrtime.bigint();
		await session.run(feeds);
		times.push(Number(process.hrtime.bigint() - before) / 1e6);
	}
	console.log(times.sort((a, b) => a - b)[times.length >> 1].toFixed(3));
})();
JS
printf '%-32s %7s %10s %10s %7s\n' model threads 'dsk ms' 'ORT ms' ratio
for model in "$@"; do
	"$dsk" convert "$model" -o "$work/model.dsk" --force --quiet > "$work/convert.log" 2>&1 || { cat "$work/convert.log" >&2; exit 1; }
	for threads in ${THREADS:-1 2}; do
		ours=$("$dsk" bench "$work/model.dsk" -t "$threads" -r "${REPEATS:-20}" --json | sed 's/.*"median_ms":\([0-9.e+-]*\).*/\1/')
		theirs=$(node "$work/ort.cjs" "$ort" "$model" "$threads" "${REPEATS:-20}" 2> "$work/ort.log") || { cat "$work/ort.log" >&2; exit 1; }
		awk -v m="$(basename "$model")" -v t="$threads" -v a="$ours" -v b="$theirs" \
			'BEGIN { printf "%-32s %7d %10.2f %10.2f %7.2f\n", m, t, a, b, b / a }'
	done
done
