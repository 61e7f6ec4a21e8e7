#!/bin/sh
# Quantizes an image model to a part of its f32 size and measures it on other data.
#   quality-vision.sh DSK MODEL.dsk RATIO CALIBRATION EVALUATION [limit]
# Data with splits are calibrated on "train" and measured on "test".
set -eu
dsk=$1 model=$2 ratio=$3 calib=$4 eval=$5 limit=${6:-64}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
train='' test=''
[ "$calib" != "$eval" ] || { train='--split train'; test='--split test'; }
# shellcheck disable=SC2086 # the splits are two words or none
"$dsk" quantize -q "$model" -o "$out/q.dsk" --target-ratio "$ratio" --calib "$calib" $train --limit "$limit" | head -1
wc -c < "$out/q.dsk"
# shellcheck disable=SC2086
"$dsk" eval -q "$out/q.dsk" --data "$eval" $test --reference "$model"
