#!/usr/bin/env bash
# Converts and quantizes the models of testdata/models with 1 and 2 threads and as an arm64 program, and demands equal files.
# Calibrated quantization depends on sums of activations, so only its thread counts are compared. QEMU is the emulator.
set -euo pipefail
cd "$(dirname "$0")/.."
qemu=${QEMU:-qemu-aarch64-static}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0
go build -trimpath -o "$work/dsk" ./cmd/dsk
GOARCH=arm64 go build -trimpath -o "$work/dsk-arm64" ./cmd/dsk

# make DIR THREADS COMMAND...: every file, made by COMMAND
make_files() {
	local dir=$1 threads=$2
	shift 2
	mkdir -p "$dir"
	"$@" convert testdata/models/gutenberg-1M -o "$dir/lm.dsk" -j "$threads" -q >/dev/null
	"$@" convert testdata/models/digits-cnn/digits-cnn.onnx -o "$dir/cnn.dsk" --preprocess gray -j "$threads" -q >/dev/null
	local model bits
	for model in lm cnn; do
		for bits in 8 4 3 2; do
			"$@" quantize "$dir/$model.dsk" -o "$dir/$model-$bits.dsk" --weight-bits "$bits" -j "$threads" -q >/dev/null
		done
		"$@" quantize "$dir/$model.dsk" -o "$dir/$model-adaptive.dsk" --target-bpw 5 -j "$threads" -q >/dev/null
	done
}

make_files "$work/one" 1 "$work/dsk"
make_files "$work/two" 2 "$work/dsk"
diff -r "$work/one" "$work/two"
make_files "$work/arm64" 2 "$qemu" -cpu cortex-a72 "$work/dsk-arm64"
diff -r "$work/one" "$work/arm64"
for threads in 1 2; do
	"$work/dsk" quantize "$work/one/lm.dsk" -o "$work/calibrated-$threads.dsk" --target-bpw 4 --calib testdata/text/calib.txt \
		--limit 4 --ctx 128 -j "$threads" -q >/dev/null
done
cmp "$work/calibrated-1.dsk" "$work/calibrated-2.dsk"
echo "same-bytes: $(ls "$work/one" | wc -l) files are equal for 1 and 2 threads, on amd64 and arm64; calibrated ones for 1 and 2 threads"
