#!/bin/sh
# The bar of MNIST: a teacher of 99.3 % or more, its labels, and a student of at most 8,000 parameters against
# the same student on hard labels, 5 seeds. Then the classifier in few bits. Results are in OUT.
# The student trains for STEPS steps of 64 digits. Labels of a teacher make it learn faster, so the longer it trains the less they add.
# RATE, STEPS and the temperature were chosen on the last 10,000 training images (see docs/distillation.md). CONTROL_RATE is the
# rate that the control did best with there: a second control gets it.
set -eu
cd "$(dirname "$0")/.."
DSK=${DSK:-bin/dsk} SHARED=${SHARED:-../shared} OUT=${OUT:-bin/train-mnist} THREADS=${THREADS:-0} STEPS=${STEPS:-300}
RATE=${RATE:-0.7} CONTROL_RATE=${CONTROL_RATE:-1}
mkdir -p "$OUT"
train="--data $SHARED/data/mnist --split train -j $THREADS"
eval="--eval $SHARED/data/mnist --eval-split test"

# Every step goes on where it was cut off, and is left out once it has ended. Smoothed labels make a better classifier, but they
# hide what it thinks of the other classes: the teacher ends with a third of an epoch on plain ones.
[ -e "$OUT/classifier.dsk" ] || $DSK distill train --student "conv 16,32,64 x2" $train $eval --epochs 12 --shift 2 --smoothing 0.05 \
	--resume --report "$OUT/classifier.html" -o "$OUT/classifier.dsk"
[ -e "$OUT/teacher.dsk" ] || $DSK distill train --student "$OUT/classifier.dsk" $train $eval --evals 1 --epochs 1 --shift 2 --limit 20000 \
	--rate 0.005 --resume -o "$OUT/teacher.dsk"
$DSK distill labels --teacher "$OUT/teacher.dsk" $train -o "$OUT/labels"
[ -e "$OUT/student.dsk" ] || $DSK distill train --student "conv 8,16,24" --labels "$OUT/labels" $train $eval --alpha 0.9 --temperature 4 \
	--rate "$RATE" --steps "$STEPS" --evals 1 --control --seeds 5 --resume --report "$OUT/student.html" -o "$OUT/student.dsk"
[ -e "$OUT/control.dsk" ] || $DSK distill train --student "conv 8,16,24" $train $eval \
	--rate "$CONTROL_RATE" --steps "$STEPS" --evals 1 --seeds 5 --resume -o "$OUT/control.dsk"

# The classifier in 3 and 2 bits, with three values a group and with two: trained for them with itself as the teacher, and, where that can be, quantized alone.
for bits in 3 2 ternary 1; do
	case $bits in
	[23]) $DSK quantize "$OUT/classifier.dsk" -o "$OUT/quantized-$bits.dsk" --weight-bits $bits --force ;;
	esac
	$DSK distill train --student "$OUT/classifier.dsk" --teacher "$OUT/classifier.dsk" $train --limit 10000 --shift 2 --qat $bits --experimental \
		--alpha 0.9 --temperature 4 --rate 0.005 --epochs 1 --force --resume -o "$OUT/trained-$bits.dsk"
	for m in quantized trained; do
		[ -e "$OUT/$m-$bits.dsk" ] || continue
		echo "$m, $bits bits"
		$DSK eval "$OUT/$m-$bits.dsk" --data "$SHARED/data/mnist" --split test
	done
done
