#!/usr/bin/env bash
# Times what decoding gains from several rows at a time: many prompts together (--batch 8) against one after the other, and a draft model's
# guesses against plain decoding. The prompts are pieces of a text, greedy. Each figure is the median of RUNS runs (5), which alternate; the texts
# of both ways must be the same. A batch is timed as a whole program, guesses by the time that decoding takes.
#   TEXT=valid.txt scripts/bench-decode.sh MODEL.dsk [DRAFT.dsk]
# DSK is the binary, THREADS the thread counts ("1 2"), PROMPTS their number (16), TOKENS what is generated for each (160), FLAGS more flags of dsk run.
# Needs python3.
set -euo pipefail
dsk=$(realpath "${DSK:-$(dirname "$0")/../bin/dsk}")
model=$(realpath "${1:?a language model}")
draft=${2:+$(realpath "$2")}
exec python3 - "$dsk" "$model" "${draft:-}" "$(realpath "${TEXT:?a text for the prompts}")" <<'PY'
import json, os, shlex, statistics, subprocess, sys, tempfile, time

dsk, model, draft, text = sys.argv[1:]
runs, count, tokens = (int(os.environ.get(k, d)) for k, d in (("RUNS", 5), ("PROMPTS", 16), ("TOKENS", 160)))
flags = shlex.split(os.environ.get("FLAGS", ""))
body = open(text, encoding="utf-8").read()
prompts = []
for i in range(count):
    piece = body[len(body) // count * i :]
    piece = piece[piece.index("\n") + 1 :][:120]
    prompts.append(piece[: piece.rindex(" ")])
lines = tempfile.NamedTemporaryFile("w", suffix=".jsonl")
for i, p in enumerate(prompts):
    lines.write(json.dumps({"id": i, "prompt": p, "max_tokens": tokens}) + "\n")
lines.flush()


def batch(threads, size):
    start = time.perf_counter()
    out = subprocess.run([dsk, "run", model, "--jsonl", lines.name, "--batch", str(size), "-j", threads, "--quiet"] + flags, stdout=subprocess.PIPE, check=True).stdout
    took = time.perf_counter() - start
    return took, [json.loads(l)["text"] for l in out.splitlines()]


def decode(threads, draft):
    took, texts = 0, []
    for p in prompts:
        out = subprocess.run([dsk, "run", model, p, "--max-tokens", str(tokens), "--json", "-j", threads] + (["--draft", draft] if draft else []) + flags, stdout=subprocess.PIPE, check=True).stdout
        r = json.loads(out)
        took += r["generate_seconds"]
        texts.append(r["text"])
    return took, texts


def compare(what, threads, plain, other):
    times = [[], []]
    for _ in range(runs):
        a, b = plain(), other()
        if a[1] != b[1]:
            sys.exit(what + ": the texts differ")
        times[0].append(a[0])
        times[1].append(b[0])
    a, b = map(statistics.median, times)
    print(f"{what:10} {threads:>7} {a:9.3f} {b:9.3f} {a / b:7.2f}")


print(f"{'':10} {'threads':>7} {'plain s':>9} {'with s':>9} {'ratio':>7}")
for t in os.environ.get("THREADS", "1 2").split():
    compare("--batch 8", t, lambda: batch(t, 1), lambda: batch(t, 8))
    if draft:
        compare("--draft", t, lambda: decode(t, ""), lambda: decode(t, draft))
PY
