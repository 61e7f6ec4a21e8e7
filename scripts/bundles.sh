#!/usr/bin/env bash
# Makes bundles for 64- and 32-bit Arm and proves them under the emulator: the recorded outputs on each processor, the same bytes of
# output on all instruction sets of arm64, one executable alone in an empty root, an update that is applied there, tampering.
set -euo pipefail
dsk=$(realpath "${DSK:-bin/dsk}")
runners=$(realpath "${RUNNERS:-bin/runners}")
model=$(realpath testdata/models/gutenberg-1M-4bit.dsk)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

"$dsk" keygen key >/dev/null
for name in arm64 armv7; do
	"$dsk" package "$model" -o "$name" --platform "linux-$name" --runner "$runners/dsk-edge-linux-$name" --sign key.key
done
"$dsk" package "$model" -o one --platform linux-arm64 --format exe --runner "$runners/dsk-edge-linux-arm64" --sign key.key
"$dsk" verify arm64 --trust key.pub

for cpu in cortex-a72 cortex-a76 max; do
	qemu-aarch64-static -cpu "$cpu" arm64/run selftest --trust key.pub
	qemu-aarch64-static -cpu "$cpu" arm64/run selftest --json | grep -o '"sha256":"[0-9a-f]*"' >"$cpu.hash"
	cmp cortex-a72.hash "$cpu.hash"
done
for cpu in cortex-a7 cortex-a15; do
	qemu-arm-static -cpu "$cpu" armv7/run selftest --trust key.pub
done

if [ "$(id -u)" = 0 ]; then
	mkdir root
	cp one "$(command -v qemu-aarch64-static)" root/
	chroot root /qemu-aarch64-static -cpu cortex-a72 /one selftest
	echo '{"id":1,"prompt":"Once upon a time","max_tokens":4}' | chroot root /qemu-aarch64-static -cpu cortex-a72 /one serve-stdio
fi

cp -r arm64 bad
for file in run model.dsk golden.json manifest.json manifest.json.minisig; do
	cp "arm64/$file" "bad/$file"
	printf '\x55' | dd of="bad/$file" bs=1 seek=160 conv=notrunc status=none
	code=0
	"$dsk" verify bad --trust key.pub 2>message || code=$?
	[ "$code" = 6 ] || { echo "bundles.sh: damage of $file gives exit code $code"; cat message; exit 1; }
	cp "arm64/$file" "bad/$file"
done
size=$(stat -c %s "$runners/dsk-edge-linux-arm64")
[ "$size" -lt 6000000 ] || { echo "bundles.sh: the runner has $size bytes; less than 6000000 are wanted"; exit 1; }
echo "bundles: ok, runner $(stat -c %s "$runners/dsk-edge-linux-arm64") bytes"
