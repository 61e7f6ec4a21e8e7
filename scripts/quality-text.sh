#!/usr/bin/env bash
# Measures the quantizer on gutenberg-9M and prints one line for each size: calibrated on the training text, measured on the
# first 300,000 bytes of the validation text, windows of 256 tokens, positions 128 to 255 scored. Arguments are the
# largest files in bytes (default: six sizes from 5.7 to 3.2 MB), rN for N bits per weight of the whole file, uN for N bits everywhere, or
# sN for that without error feedback, by scale search alone: "u3 s3" compares these, "u4 4986048" adaptive widths with a uniform one.
# DSK is the binary; SHARED the folder with models and data; FLAGS go to dsk quantize as well.
set -euo pipefail
cd "$(dirname "$0")/.."
dsk=$(realpath "${DSK:-bin/dsk}")
shared=$(realpath "${SHARED:-../shared}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$dsk" convert "$shared/models/gutenberg-9M" -o "$work/f32.dsk" -q >/dev/null
head -c 300000 "$shared/data/gutenberg/valid.txt" >"$work/valid.txt"
[ $# -gt 0 ] || set -- 5735232 5193792 4794944 4395072 3895872 3170368

printf '%9s  %9s  %8s  %9s  %9s  %5s\n' limit bytes 'mean KL' agreement perplex. s
for size; do
	case $size in
	u*) widths=(--weight-bits "${size#u}") ;;
	s*) widths=(--weight-bits "${size#s}" --no-feedback) ;;
	r*) widths=(--target-bpw "${size#r}") ;;
	*) widths=(--target-size "$size") ;;
	esac
	start=$SECONDS
	# shellcheck disable=SC2086
	"$dsk" quantize "$work/f32.dsk" -o "$work/q.dsk" --force -q "${widths[@]}" --calib "$shared/data/gutenberg/train.txt.gz" \
		--eval "$work/valid.txt" --ctx 256 --score-from 128 ${FLAGS:-} >"$work/report"
	value() { awk -v key="$1" '$1 == key { print $2 }' "$work/report"; }
	printf '%9s  %9d  %8.5f  %9.4f  %9.3f  %5d\n' "$size" "$(stat -c %s "$work/q.dsk")" "$(value mean_kl)" "$(value top1_agreement)" \
		"$(value perplexity)" $((SECONDS - start))
done
