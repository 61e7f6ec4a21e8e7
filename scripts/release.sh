#!/usr/bin/env bash
# Proves a release: made twice, in two folders, it has the same bytes; dsk of it makes a bundle for every platform where there is no Go and
# nothing else, and those for this machine and for 64-bit Arm pass their self-test. Prints the sizes.
set -euo pipefail
cd "$(dirname "$0")/.."
dsk=$(realpath "${DSK:-bin/dsk}")
runners=$(realpath "${RUNNERS:-bin/runners}")
model=$(realpath testdata/models/gutenberg-1M-4bit.dsk)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/another/folder"
git ls-files -co --exclude-standard | while read -r f; do [ -e "$f" ] && echo "$f"; done | tar -cf - -T - | tar -xf - -C "$work/another/folder"
cp -r .git "$work/another/folder/.git"
make -s -C "$work/another/folder" release >/dev/null
for file in "$runners"/dsk-edge-*; do
	cmp "$file" "$work/another/folder/bin/runners/$(basename "$file")"
	printf '%9d bytes  %s\n' "$(stat -c %s "$file")" "$(basename "$file")"
done
cmp "$dsk" "$work/another/folder/bin/dsk"
printf '%9d bytes  dsk with all runners\n' "$(stat -c %s "$dsk")"

cd "$work"
cp "$dsk" alone
for platform in raspberrypi:zero2 raspberrypi:3 raspberrypi:4 raspberrypi:5 jetson-nano jetson-orin android-arm64 linux-arm64 linux-armv7 linux-amd64 \
	windows-amd64 darwin-arm64 wasm; do
	env -i HOME="$work" PATH= ./alone --quiet package "$model" -o "$platform" --platform "$platform" >message
	printf '%9d bytes  bundle for %s\n' "$(du -sb --apparent-size "$platform" | cut -f1)" "$platform"
done
for format in exe tar.zst deb; do
	env -i HOME="$work" PATH= ./alone --quiet package "$model" -o "one.$format" --platform linux-amd64 --format "$format" >message
done
env -i PATH= linux-amd64/run selftest
env -i PATH= ./one.exe selftest
"${QEMU:-qemu-aarch64-static}" -cpu cortex-a72 raspberrypi:4/run selftest
cmp raspberrypi:4/run linux-arm64/run

./alone keygen board --age >message
for arch in amd64 arm64; do
	env -i HOME="$work" PATH= ./alone --quiet package "$model" -o "sealed-$arch" --platform "linux-$arch" --encrypt-to board.age.pub >message
done
env -i PATH= sealed-amd64/run selftest --identity board.age
"${QEMU:-qemu-aarch64-static}" sealed-arm64/run selftest --identity board.age
code=0
sealed-amd64/run selftest 2>message || code=$?
[ "$code" = 2 ] || { echo "release.sh: an encrypted model without its key gives exit code $code"; exit 1; }
chmod 644 board.age
code=0
sealed-amd64/run selftest --identity board.age 2>message || code=$?
[ "$code" = 2 ] || { echo "release.sh: a key that others may read gives exit code $code"; exit 1; }
echo "release: ok"
