# What can be made; plain `make` prints this list.
.DEFAULT_GOAL := help
export CGO_ENABLED := 0

GO     ?= go
LINT   ?= golangci-lint
QEMU   ?= qemu-aarch64-static
TIME   ?= 30s
REF    ?= HEAD
LEVELS ?= generic avx2 avxvnni avx512vnni
DSK    := bin/dsk
ARM64  := cortex-a72 cortex-a76 max

.PHONY: pipeline train-mnist train-cifar train-text help build runners release release-check bundles demo-model demo test accuracy conformance vet lint purego arm64 wasm levels same-bytes fuzz bench bench-compare clean

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the dsk binary, in bin/
	$(GO) build -trimpath -o $(DSK) ./cmd/dsk

# A runner does not name its commit: while its own code is the same, updates of boards do not ship it again.
# Inlining makes a runner a seventh larger and is worth it in the kernels only.
EDGE_GCFLAGS := -gcflags=all=-l -gcflags=github.com/dsk-toolkit/dsk/kernels=
RUNNERS      := linux-amd64 linux-arm64 linux-armv7 android-arm64 windows-amd64 darwin-arm64 wasip1-wasm linux-amd64-age linux-arm64-age

runners: $(RUNNERS:%=runner-%) ## the runners of all platforms, in bin/runners/

runner-%: ## one runner, as in runner-linux-arm64, or runner-linux-arm64-age for encrypted models
	@mkdir -p bin/runners
	GOOS=$(word 1,$(subst -, ,$*)) GOARCH=$(subst armv7,arm,$(word 2,$(subst -, ,$*))) GOARM=7 \
		$(GO) build -trimpath -buildvcs=false -ldflags="-s -w" $(EDGE_GCFLAGS) -tags=$(word 3,$(subst -, ,$*)) -o bin/runners/dsk-edge-$* ./cmd/dsk-edge

release: runners ## dsk with all runners inside, in bin/
	@rm -rf cmd/dsk/runners && mkdir -p cmd/dsk/runners
	@set -e; for r in $(RUNNERS); do gzip -9nc bin/runners/dsk-edge-$$r > cmd/dsk/runners/dsk-edge-$$r.gz; done
	$(GO) build -trimpath -ldflags="-s -w" -tags release -o $(DSK) ./cmd/dsk

release-check: release ## a release has the same bytes when it is made again, and packages for every platform on its own
	DSK=$(DSK) RUNNERS=bin/runners scripts/release.sh

bundles: build runner-linux-arm64 runner-linux-armv7 ## bundles for arm64 and armv7, proven under the emulator
	DSK=$(DSK) RUNNERS=bin/runners scripts/bundles.sh

demo-model: build ## renew the 4-bit model that the binary carries
	$(DSK) convert testdata/models/gutenberg-1M -o bin/demo.dsk --force
	$(DSK) quantize bin/demo.dsk -o testdata/models/gutenberg-1M-4bit.dsk --weight-bits 4 --force

demo: build ## take two models through convert, inspect, quantize, eval, run and bench
	@DSK=$(DSK) scripts/demo.sh

test: ## all tests
	$(GO) test ./...

accuracy: ## measure the figures of docs/quality.md on ../shared
	$(GO) test -tags accuracy -count=1 -timeout 30m -v ./accuracy

conformance: build ## hold the binary against the recorded results of ONNX models in ../shared
	scripts/conformance.sh

train-mnist: build ## a teacher and students of digits beside controls, on ../shared (docs/distillation.md)
	DSK=$(DSK) scripts/$@.sh

train-cifar: build ## resnet56 teaches a student of 100,000 parameters without labels
	DSK=$(DSK) scripts/$@.sh

train-text: build ## gutenberg-9M teaches a small decoder: about an hour
	DSK=$(DSK) scripts/$@.sh

pipeline: build ## resnet56 pruned, taught and quantized to a twentieth of its size (docs/pruning.md): about an hour and a half
	DSK=$(DSK) scripts/$@.sh

vet: ## go vet for both architectures
	GOARCH=amd64 $(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...

lint: ## gofmt and golangci-lint
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(LINT) run

purego: ## tests without assembly
	$(GO) test -tags purego ./kernels ./runtime ./quant

levels: ## tests of the kernels and the runtime at every instruction set (LEVELS)
	@set -e; for level in $(LEVELS); do echo "DSK_KERNEL=$$level"; DSK_KERNEL=$$level $(GO) test -count=1 ./kernels ./runtime; done

arm64: ## tests of the kernels as arm64 programs, under the emulator
	@mkdir -p bin
	GOARCH=arm64 $(GO) test -c -o bin/kernels.arm64 ./kernels
	@cd kernels && printf '%s\n' $(ARM64) | xargs -P 2 -I CPU sh -c '$(QEMU) -cpu CPU ../bin/kernels.arm64 -test.short >../bin/CPU.log 2>&1; code=$$?; echo CPU; cat ../bin/CPU.log; exit $$code'

same-bytes: ## files made with 1 and 2 threads, on amd64 and arm64, are equal
	scripts/same-bytes.sh

wasm: ## the runtime, the file format and the tokenizer build for js/wasm
	GOOS=js GOARCH=wasm $(GO) build ./runtime ./model/dskfile ./tokenizer

fuzz: ## every fuzz target for TIME=30s
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(TIME) $$pkg; done; done

bench: ## the kernels' benchmarks
	$(GO) test -run '^$$' -bench . ./kernels

bench-compare: ## the kernels' benchmarks beside those of REF=<commit>
	scripts/bench-compare.sh $(REF)

clean: ## remove what was built
	rm -rf bin
