#!/usr/bin/env bash
# Takes the two models of testdata/models through the main commands, on data of the repository. Shows each command and stops at
# the first that fails. DSK is the binary; WORK keeps the files made (default: a temporary folder, removed at the end).
set -euo pipefail
cd "$(dirname "$0")/.."
dsk=${DSK:-bin/dsk}
work=${WORK:-}
if [ -z "$work" ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
fi
ln -sfn "$PWD/testdata" "$work/testdata"
ln -sfn "$(realpath "$dsk")" "$work/dsk"
cd "$work"
export PATH="$work:$PATH"

run() {
	printf '\n$'
	printf ' %q' "$@"
	printf '\n'
	"$@"
}

cnn=testdata/models/digits-cnn
lm=testdata/models/gutenberg-1M
text=testdata/text/text.txt

run dsk convert $cnn/digits-cnn.onnx -o digits.dsk --preprocess gray,mean=33.3285,std=78.5655 --force
run dsk inspect digits.dsk
run dsk quantize digits.dsk -o digits4.dsk --weight-bits 4 --eval $cnn/images --force
run dsk eval digits4.dsk --data $cnn/images --reference digits.dsk
run dsk run digits4.dsk $cnn/images/00.png $cnn/images/07.png --top 2
run dsk bench digits4.dsk -r 3

run dsk convert $lm -o lm.dsk --force
run dsk inspect lm.dsk
run dsk quantize lm.dsk -o lm4.dsk --weight-bits 4 --eval $text --ctx 256 --force
run dsk quantize lm.dsk -o lm3.dsk --target-bpw 3.6 --calib testdata/text/calib.txt --eval $text --ctx 256 --force
run dsk eval lm4.dsk --data $text --reference lm.dsk --ctx 256
run dsk run lm4.dsk "It was a dark and stormy" --max-tokens 40 --temperature 0.8 --top-k 40 --seed 7
run dsk bench lm4.dsk -p 128 -n 64 -r 3
run dsk verify lm4.dsk
printf '\ndemo: all steps passed in %s s\n' "$SECONDS"
