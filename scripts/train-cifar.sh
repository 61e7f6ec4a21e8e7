#!/bin/sh
# The bar of CIFAR: resnet56 labels 16 random forms of 4,000 images, whose own labels it does not see; a student of at most 100,000
# parameters learns from it, against the same student on the images' labels, 3 seeds. Results are in OUT.
set -eu
cd "$(dirname "$0")/.."
DSK=${DSK:-bin/dsk} SHARED=${SHARED:-../shared} OUT=${OUT:-bin/train-cifar} THREADS=${THREADS:-0} EPOCHS=${EPOCHS:-12}
mkdir -p "$OUT"
train="--data $SHARED/data/cifar10 --split train -j $THREADS"

[ -e "$OUT/teacher.dsk" ] || $DSK convert "$SHARED/models/cifar10-resnet/resnet56.onnx" -o "$OUT/teacher.dsk" \
	--preprocess mean=123.675,116.28,103.53,std=58.395,57.12,57.375
$DSK distill labels --teacher "$OUT/teacher.dsk" $train --flip --shift 4 --views 16 -o "$OUT/labels"
[ -e "$OUT/student.dsk" ] || $DSK distill train --student "conv 16,32,64 x2" --labels "$OUT/labels" $train --alpha 1 --temperature 4 \
	--epochs "$EPOCHS" --eval "$SHARED/data/cifar10" --eval-split test --evals 1 --control --seeds 3 --resume \
	--report "$OUT/student.html" -o "$OUT/student.dsk"
