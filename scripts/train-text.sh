#!/bin/sh
# The bar of text: gutenberg-9M teaches a decoder of 1.3 million parameters for TIME on novels, against the same decoder on the text
# alone with as many steps, 3 seeds. Results are in OUT.
set -eu
cd "$(dirname "$0")/.."
DSK=${DSK:-bin/dsk} SHARED=${SHARED:-../shared} OUT=${OUT:-bin/train-text} THREADS=${THREADS:-0}
LENGTH=${LENGTH:---time 10m}
mkdir -p "$OUT"
train="--data $SHARED/data/gutenberg/train.txt.gz --ctx 256 --batch 4 --limit 3000 -j $THREADS"

[ -e "$OUT/teacher.dsk" ] || $DSK convert "$SHARED/models/gutenberg-9M" -o "$OUT/teacher.dsk"
$DSK distill labels --teacher "$OUT/teacher.dsk" $train -o "$OUT/labels"
[ -e "$OUT/student.dsk" ] || $DSK distill train --student "llama hidden=128 layers=4 heads=4 kv=2" --labels "$OUT/labels" $train --alpha 0.7 \
	--temperature 1 $LENGTH --eval "$SHARED/data/gutenberg/valid.txt" --eval-limit 60 --evals 1 --control --seeds 3 --resume \
	--report "$OUT/student.html" -o "$OUT/student.dsk"
