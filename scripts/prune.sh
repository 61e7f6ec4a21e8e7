#!/usr/bin/env bash
# What pruning costs and gains, measured on data that was not used to choose or to fit anything. Arguments choose among
#   mobilenet  mobilenet-v1-0.75, chosen, fitted and taught on COCO images; measured on imagenet-dev
#   sparse     gutenberg-9M with half of its weights zero, by magnitude, Wanda and SparseGPT; perplexity of 300,000 bytes of valid.txt
# resnet56 is in scripts/pipeline.sh. DSK is the binary, SHARED the folder with models and data, RATIO the part of the multiplications that goes, STEPS the length of
# the training, OUT a folder for the files, which else do not stay.
set -euo pipefail
cd "$(dirname "$0")/.."
dsk=$(realpath "${DSK:-bin/dsk}")
shared=$(realpath "${SHARED:-../shared}")
work=${OUT:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${OUT:-}" ] || trap 'rm -rf "$work"' EXIT
[ $# -gt 0 ] || set -- mobilenet sparse

mobilenet() {
	"$dsk" convert "$shared/models/mobilenet-v1-0.75/mobilenet_v1_0.75_224.onnx" -o "$work/m.dsk" --force -q \
		--preprocess mean=127.5,std=127.5,resize=256,256:crop,filter=bilinear >/dev/null
	"$dsk" prune "$work/m.dsk" -o "$work/p.dsk" --force -q --method channel --ratio "${RATIO:-.25}" --calib "$shared/data/coco-val-dev"
	photos=$shared/data/coco-val-dev/images
	"$dsk" distill train --student "$work/p.dsk" --teacher "$work/m.dsk" --data "$photos" --photos "$photos" --zoom .35 --flip -o "$work/t.dsk" --force -q \
		--alpha 1 --features kept --optimizer adamw --rate .0005 --batch 16 --steps "${STEPS:-1200}"
	for model in p t; do "$dsk" eval "$work/$model.dsk" --data "$shared/data/imagenet-dev" --reference "$work/m.dsk" -q; done
	for model in m t; do "$dsk" bench "$work/$model.dsk" -t 1,2 -r 100; done
}

sparse() {
	"$dsk" convert "$shared/models/gutenberg-9M" -o "$work/m.dsk" --force -q >/dev/null
	head -c 300000 "$shared/data/gutenberg/valid.txt" >"$work/valid.txt"
	for method in magnitude wanda sparsegpt; do
		"$dsk" prune "$work/m.dsk" -o "$work/p.dsk" --force -q --method "$method" --ratio .5 --calib "$shared/data/gutenberg/train.txt.gz" \
			--ctx 256 --score-from 128 --eval "$work/valid.txt" | tail -n +2
	done
}

for what; do
	echo "== $what"
	"$what"
done
