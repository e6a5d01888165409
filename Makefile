# Everything is done by these targets, here as in CI (.ci/run).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:

# One static binary; no C compiler is needed for anything but `make generate`.
export CGO_ENABLED := 0

BINARY ?= tcpstate
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

# The compiler is pinned, so that everyone gets the same bytes from the same source, and to a version
# whose code the verifier of Linux 5.10 accepts: newer ones have broken old kernels before. A newer
# one has to pass `make test-kernels` first.
CLANG ?= clang-14
LLVM_STRIP ?= llvm-strip-14
CLANG_FORMAT ?= clang-format-14

# command:package, for tools/need
GENERATE_NEEDS := $(CLANG):clang-14 $(LLVM_STRIP):llvm-14 /usr/include/bpf/bpf_helpers.h:libbpf-dev
FORMAT_NEEDS := $(CLANG_FORMAT):clang-format-14
KERNELS_NEEDS := qemu-system-x86_64:qemu-system-x86 qemu-system-aarch64:qemu-system-arm \
	cpio:cpio xz:xz-utils zstd:zstd

ANALYSIS_NEEDS := node:nodejs npm:npm
PAGE_NEEDS := node:nodejs npm:npm chromium:chromium /usr/share/fonts/truetype/dejavu:fonts-dejavu-core
MONITORING_NEEDS := prometheus:prometheus promtool:prometheus node:nodejs npm:npm ip:iproute2 curl:curl
PACKAGING_NEEDS := lintian:lintian rpm:rpm man:man-db systemd-analyze:systemd /lib/systemd/systemd:systemd curl:curl pgrep:procps \
	ip:iproute2
SCREENS_NEEDS := tmux:tmux chromium:chromium /usr/share/fonts/truetype/dejavu:fonts-dejavu-core

C_FILES := $(wildcard bpf/*.c bpf/*.h)
SCRIPTS := $(shell grep -rlE '^\#!.*sh$$' .ci analysis browser clients kernels monitoring packaging screens tools)
GENERATED := internal/tracer/bpf_bpfel.go internal/tracer/bpf_bpfel.o
GOLANGCI := go tool -modfile=tools/go.mod golangci-lint
# Excluded: a comma and the word done where they are meant, and that ash is checked as dash.
SHELLCHECK := shellcheck --severity=warning --exclude=SC1010,SC2054,SC2187
FUZZTIME ?= 10s
FUZZ ?= .
SOAK ?= 10m
BENCHTIME ?= 1s
# How often the host is measured with tracing and without.
PAIRS ?= 5
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)

.PHONY: help build demo test soak test-clients check-analysis check-page screens check-screens check-monitoring check-deploy \
	check-packaging release test-kernels fuzz bench generate check-generated format lint check \
	packages clean need-go

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: need-go ## Build ./tcpstate; Go alone is needed
	go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o $(BINARY) ./cmd/tcpstate

demo: build ## Watch tcpstate find the client without a pool, on traffic of its own
	$(SUDO) $(abspath $(BINARY)) demo

test: need-go ## Run the tests; as root, or with EXEC=sudo, also those that trace
	@go test -v=test2json $(if $(EXEC),-exec '$(EXEC)') $(TESTFLAGS) ./... |
		awk -v version="$$(uname -r | cut -d- -f1)" -v must="$${TCPSTATE_MUST_TRACE:-}" \
			-f tools/test.awk kernels/may-skip -

soak: need-go ## As root: a day of the agent in SOAK: totals, memory and descriptors
	TCPSTATE_MUST_TRACE=1 $(SUDO) env PATH="$$PATH" go test ./cmd/tcpstate -count=1 -run TestADayOfTheAgent -v -timeout 30m -soak $(SOAK)

test-clients: build ## Run real clients against real servers, pooled and not, as root; installs what is missing
	$(SUDO) env PATH="$$PATH" TCPSTATE_MUST_TRACE="$${TCPSTATE_MUST_TRACE:-}" \
		clients/run --tool $(abspath $(BINARY)) $(if $(CASES),--run '$(CASES)')

check-analysis: need-go ## Do what docs/analysis.md shows with the real DuckDB, from npm, and compare
	@tools/need --install $(ANALYSIS_NEEDS)
	analysis/run

check-page: need-go ## Look at the HTML page in headless Chromium: no request, no violation, accessible, narrow, printed
	@tools/need --install $(PAGE_NEEDS)
	browser/run

screens: need-go ## Make the pictures in docs/screens anew, of the incident in screens/testdata
	@tools/need --install $(SCREENS_NEEDS)
	screens/run

check-screens: need-go ## Say whether the pictures in docs/screens are what would be made now
	@tools/need --install $(SCREENS_NEEDS)
	screens/run --check

check-monitoring: need-go ## Test alerts, dashboard and runbook; as root also with a real Prometheus, the agent and 100 ports
	@tools/need --install $(MONITORING_NEEDS)
	exec monitoring/run $(if $(filter 0,$(shell id -u)),,static)

check-deploy: need-go ## Hold Dockerfile, manifests and chart against their schemas, each other and the systemd unit
	go -C deploy vet ./...
	go -C deploy test -count=1 ./...

release: need-go ## Build all that is published of a version into dist/: tarballs, .deb, .rpm, checksums, bill of materials
	packaging/release dist

check-packaging: need-go ## As root: build the release twice, install, start, upgrade and purge it under a systemd of its own
	@tools/need --install $(PACKAGING_NEEDS)
	$(SUDO) env PATH="$$PATH" packaging/check

test-kernels: need-go ## Run the tests that trace on Linux 5.10 to the newest, amd64 and arm64, emulated
	@tools/need --install $(KERNELS_NEEDS)
	kernels/run

fuzz: need-go ## Fuzz each decoder and parser for FUZZTIME; those in the folder FUZZ
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' $(FUZZ) | while IFS=: read -r file name; do
		echo "$$file: $${name#func }"
		go test -run '^$$' -fuzz "^$${name#func }$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")"
	done

bench: need-go ## Print what it costs beside the limits; as root also what tracing takes from the host
	{
		go test -p 1 -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $$(go list ./... | grep -v internal/bench)
		go test -run '^$$' -bench . -benchtime $(PAIRS)x ./internal/bench
	} | awk -f tools/bench.awk

generate: need-go ## Compile the BPF program and write the Go code that embeds it
	@tools/need $(GENERATE_NEEDS)
	BPF2GO_CC=$(CLANG) BPF2GO_STRIP=$(LLVM_STRIP) go generate ./...

check-generated: need-go ## Prove that the generated files are what their sources give, in a copy
	@copy=$$(mktemp -d)
	trap 'rm -rf "$$copy"' EXIT
	tar --exclude=./.git -cf - . | tar --no-same-owner -xf - -C "$$copy"
	cd "$$copy"
	git init -q
	git add -A
	before=$$(git write-tree)
	rm -f $(GENERATED)
	$(MAKE) --no-print-directory generate
	git add -A
	git diff --cached --stat --exit-code "$$before" ||
		{ echo 'generated files are stale: run make generate' >&2; exit 1; }

format: need-go ## Format Go and C
	@tools/need $(FORMAT_NEEDS)
	$(GOLANGCI) fmt
	$(CLANG_FORMAT) -i $(C_FILES)

lint: need-go ## Check formats, arrows between packages and usual mistakes; at first builds the linter, for minutes
	@tools/need $(FORMAT_NEEDS)
	$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)
	for script in $(SCRIPTS); do bash -n "$$script"; done
	if command -v shellcheck >/dev/null; then $(SHELLCHECK) $(SCRIPTS); fi
	go mod tidy -diff
	go vet ./...
	go -C clients/programs/go vet ./...
	go -C clients/programs/go mod tidy -diff
	go -C deploy mod tidy -diff
	$(GOLANGCI) run

check: lint check-generated test ## All that must pass before a commit

packages: ## Install, as root, the Debian packages that the other targets need
	@tools/need --install $(GENERATE_NEEDS) $(FORMAT_NEEDS) $(KERNELS_NEEDS) $(ANALYSIS_NEEDS) $(PAGE_NEEDS) $(SCREENS_NEEDS) \
		$(MONITORING_NEEDS) $(PACKAGING_NEEDS) shellcheck:shellcheck

clean: ## Remove what the targets have built
	rm -rf $(BINARY) dist

need-go:
	@go list -m >/dev/null ||
		{ echo 'tcpstate needs Go 1.26 (from 1.21 on, Go fetches it by itself): https://go.dev/doc/install' >&2; exit 1; }
