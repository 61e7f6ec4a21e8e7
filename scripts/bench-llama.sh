#!/usr/bin/env bash
# Times a language model against llama.cpp: tokens a second of a prompt of 512 tokens and of generation (the best of 3), and how many times
# as fast dsk is. llama.cpp gets the model as Q4_0, so give a model in 4 bits for dsk and, with GGUF, the float model that it was made of.
# Needs node, and the packages node-llama-cpp and @node-llama-cpp/linux-x64 in the folder that LLAMA names (npm install --ignore-scripts).
#   LLAMA=DIR GGUF=FLOAT.dsk scripts/bench-llama.sh MODEL.dsk
# DSK is the binary, THREADS the thread counts ("1 2").
set -euo pipefail
dsk=$(realpath "${DSK:-$(dirname "$0")/../bin/dsk}")
llama=$(realpath "${LLAMA:?the folder with node_modules/node-llama-cpp}")
model=$(realpath "${1:?a model in 4 bits}")
float=$(realpath "${GGUF:-$model}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$dsk" convert "$float" -o "$work/model.gguf" --weights q4_0 --quiet >/dev/null
# Modules are looked for beside the script.
ln -s "$llama/node_modules" "$work/node_modules"
cat > "$work/llama.mjs" <<'JS'
// llama.mjs MODEL THREADS: prints tokens a second of the prompt and of generation.
import { getLlama } from 'node-llama-cpp';
const [, , modelPath, threads] = process.argv;
const llama = await getLlama({ build: 'never', gpu: false, skipDownload: true, maxThreads: +threads });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 1024, batchSize: 512, threads: +threads });
const sequence = context.getSequence();
const prompt = Array.from({ length: 512 }, (_, i) => 10 + ((i * 7919) % 4000));
let pp = 0, tg = 0;
for (let i = 0; i < 3; i++) {
	await sequence.clearHistory();
	let start = performance.now();
	await sequence.evaluateWithoutGeneratingNewTokens(prompt);
	pp = Math.max(pp, (1000 * prompt.length) / (performance.now() - start));
	start = performance.now();
	let n = 0;
	for await (const _ of sequence.evaluate([11], { temperature: 0 })) if (++n >= 48) break;
	tg = Math.max(tg, (1000 * n) / (performance.now() - start));
}
console.log(pp.toFixed(1), tg.toFixed(1));
process.exit(0);
JS
printf '%7s %6s %12s %12s %7s\n' threads test 'dsk' 'llama.cpp' ratio
for t in ${THREADS:-1 2}; do
	read -r pp tg <<<"$(node "$work/llama.mjs" "$work/model.gguf" "$t" 2>/dev/null | tail -1)"
	"$dsk" bench "$model" -p 512 -n 48 -t "$t" -r 3 --json >"$work/dsk.json"
	for test in "pp512 $pp" "tg48 $tg"; do
		read -r name theirs <<<"$test"
		node -e '
			const [, file, name, threads, theirs] = process.argv;
			const r = JSON.parse(require("fs").readFileSync(file)).results.find((r) => r.test === name);
			const ours = (r.tokens_per_second * r.ms) / r.min_ms;
			console.log([threads.padStart(7), name.padStart(6), ours.toFixed(1).padStart(12), theirs.padStart(12), (ours / theirs).toFixed(2).padStart(7)].join(" "));
		' "$work/dsk.json" "$name" "$t" "$theirs"
	done
done
