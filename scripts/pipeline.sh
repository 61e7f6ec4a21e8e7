#!/usr/bin/env bash
# From resnet56 (CIFAR-10) to a file of a twentieth of its size: half of the multiplications cut, the rest taught by the model of before on 4,000 images
# without their labels, then quantized. Nothing is chosen or learned on cifar10/test, which every step is measured on. The bars: 20 times smaller, 95 % of
# the teacher's accuracy; the exit status is 1 if one is missed. Results are in OUT, and a run that was cut off goes on. An hour and a half on one core.
# DSK is the binary, SHARED the folder with models and data, EPOCHS the length of the training.
set -euo pipefail
cd "$(dirname "$0")/.."
dsk=$(realpath "${DSK:-bin/dsk}")
shared=$(realpath "${SHARED:-../shared}")
out=${OUT:-bin/pipeline} threads=${THREADS:-0} epochs=${EPOCHS:-32}
cifar=$shared/data/cifar10
mkdir -p "$out"
cd "$out"

[ -e teacher.dsk ] || "$dsk" convert "$shared/models/cifar10-resnet/resnet56.onnx" -o teacher.dsk -q \
	--preprocess mean=123.675,116.28,103.53,std=58.395,57.12,57.375 >/dev/null
[ -e pruned.dsk ] || "$dsk" prune teacher.dsk -o pruned.dsk -q -j "$threads" --method structured --ratio .5 --calib "$cifar" --split train
[ -e taught.dsk ] || "$dsk" distill train --student pruned.dsk --teacher teacher.dsk --data "$cifar" --split train -j "$threads" \
	--alpha 1 --temperature 4 --features kept --flip --shift 4 --mix --optimizer adamw --rate 0.001 --epochs "$epochs" \
	--eval "$cifar" --eval-split test --evals 5 --resume --report taught.html -o taught.dsk
[ -e small.dsk ] || "$dsk" quantize taught.dsk -o small.dsk -q -j "$threads" --target-size 170KB --calib "$cifar" --split train --limit 128 | head -2

number() { grep -o "\"$1\": *[0-9.]\+" | head -1 | cut -d: -f2; }
printf '%-9s %9s %8s %7s %9s\n' step bytes smaller top-1 "ms (-t 1)"
for step in teacher pruned taught small; do
	bytes=$(wc -c <$step.dsk)
	top1=$("$dsk" eval $step.dsk --data "$cifar" --split test -q --json | number top1)
	ms=$("$dsk" bench $step.dsk -t 1 -r 50 -q --json | number median_ms)
	[ $step != teacher ] || { first=$bytes best=$top1; }
	printf '%-9s %9d %7.2fx %7s %9.2f\n' $step "$bytes" "$(awk "BEGIN { print $first/$bytes }")" "$top1" "$ms"
done
awk "BEGIN { exit !($first >= 20*$bytes && $top1 >= 0.95*$best) }" || { echo "missed: 20 times smaller at 95 % of the accuracy"; exit 1; }
