# What people and CI run. `make test` is all that has to pass before a change is merged; it needs Go, and says what else
# it would like.

GO ?= go
SHELL := /bin/bash

# Tools are built from source at these versions by `go run`, so that nobody has to install them.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
BENCHSTAT   := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# The race detector needs a C compiler. Without one the checked buffers still find most of what it would.
HAVE_CC := $(shell command -v $$($(GO) env CC) >/dev/null 2>&1 && echo yes)
ifeq ($(HAVE_CC),yes)
RACE := -race
else
RACE := -tags bufcheck
endif

# All packages of the module but the end-to-end suite, which has a target of its own.
PACKAGES = $$($(GO) list ./... | grep -v '/e2e$$')
# Those which pass pooled buffers around.
BUFFERED = $$($(GO) list -f '{{.ImportPath}} {{join .Deps " "}}' ./... | grep -v '^scraper/e2e ' | awk '/scraper\/bufpool/ {print $$1}')

FUZZ_RUNS   ?= 200000
BENCH_TIME  ?= 1s
BENCH_COUNT ?= 6

.PHONY: build
build: ## one static binary, ./scraper
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o scraper ./cmd/scraper

.PHONY: test
test: format vet unit checked conformance bench-test e2e staticcheck ## everything that must pass

.PHONY: format
format:
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "run gofmt -w on:"; echo "$$bad"; exit 1; fi

.PHONY: vet
vet:
	$(GO) vet ./...
	$(GO) vet -tags 'bufcheck purego' ./...

.PHONY: unit
unit: ## unit tests with the race detector
ifneq ($(HAVE_CC),yes)
	@echo "there is no C compiler: testing with -tags bufcheck, without the race detector"
endif
	$(GO) test $(RACE) -timeout 4m $(PACKAGES)

.PHONY: checked
checked: ## packages with pooled buffers, checked, at full speed
	$(GO) test -short -tags bufcheck -timeout 3m $(BUFFERED)

.PHONY: conformance
conformance: ## against the code of others, in a module of its own
	@if [ -f conformance/go.mod ]; then cd conformance && $(GO) vet ./... && $(GO) test -timeout 3m ./...; fi

.PHONY: e2e
e2e: ## end to end, with programs of others
	@e2e/install.sh
	@if ls e2e/*.go >/dev/null 2>&1; then $(GO) test -count=1 -timeout 6m ./e2e; fi

.PHONY: figures
figures: ## what the end-to-end tests measure in their long form, which takes some twenty minutes
	@e2e/install.sh
	@set -o pipefail; $(GO) test -count=1 -v -timeout 40m -parallel 1 ./e2e -long | grep -E 'figure: |FAIL|SKIP|^ok'

.PHONY: staticcheck
staticcheck: ## skipped where the network does not give it
	@if timeout 300 $(GO) run $(STATICCHECK) -version >/dev/null 2>&1; then \
		echo "staticcheck ./..." && \
		$(GO) run $(STATICCHECK) ./... && $(GO) run $(STATICCHECK) -tags bufcheck ./...; \
	else \
		echo "$(STATICCHECK) cannot be had here: skipped"; \
	fi

.PHONY: lint
lint: format vet staticcheck ## all linters; needs a network
	$(GO) mod tidy -diff
	$(GO) run $(GOLANGCI) run
	$(GO) run $(GOVULNCHECK) ./...

.PHONY: fuzz
fuzz: ## each fuzz target, FUZZ_RUNS inputs
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' . | sort); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "$$file $$target"; \
			(cd $$(dirname $$file) && $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZ_RUNS)x .); \
		done; \
	done

.PHONY: bench-unit
bench-unit: ## benchmarks of the packages; compare two runs with benchstat
	@set -o pipefail; $(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCH_TIME) -count $(BENCH_COUNT) $(PACKAGES) | tee bench-unit.out
	$(GO) run $(BENCHSTAT) bench-unit.out

# Flags of the benchmark: BENCH_FLAGS='-scenario steady -floor'. `cd bench && go run . -help` tells all. Peers which
# bench-peers-latest has built take part.
BENCH_FLAGS ?=
BENCH_PEERS = $(foreach p,$(notdir $(wildcard bench/peers/vmagent* bench/peers/prometheus*)),-peer $(p)=peers/$(p))

.PHONY: bench
bench: ## whole agents beside their peers, three quarters of an hour: bench/RESULTS.md
	cd bench && $(GO) run . -results RESULTS.md $(BENCH_PEERS) $(BENCH_FLAGS)

# What is in BENCH_RAW is not measured again, so this goes on where it was interrupted; another version begins anew.
BENCH_RAW ?= raw/$(VERSION)
BENCH_ALL = steady,node60-a,node60-b,small,small-tls,huge,blackholes,idle,idle-100,burst,churn,gzip,shuffle
BENCH_LATEST = steady,node60-a,node60-b

.PHONY: bench-all
bench-all: ## all scenarios without faults in short windows, at most 35 minutes, beside Debian's peers; some beside current ones, 10 minutes
	cd bench && $(GO) run . -quick -scenario $(BENCH_ALL) -raw $(BENCH_RAW) -resume -stop-after 35m -results RESULTS.md $(BENCH_FLAGS)
	cd bench && $(GO) run . -quick -scenario $(BENCH_LATEST) -raw $(BENCH_RAW) -resume -results RESULTS.md $(BENCH_PEERS) $(BENCH_FLAGS)

.PHONY: bench-render
bench-render: ## bench/RESULTS.md from what bench-all has measured so far
	cd bench && $(GO) run . -render -raw $(BENCH_RAW) -results RESULTS.md $(BENCH_FLAGS)

.PHONY: bench-peers
bench-peers: ## installs Debian's vmagent and prometheus
	@e2e/install.sh
	@for p in vmagent prometheus; do command -v $$p >/dev/null || echo "there is no $$p: make bench goes without it"; done

.PHONY: bench-peers-latest
bench-peers-latest: ## builds current versions of both from source; needs a network
	@bench/peers.sh

.PHONY: bench-test
bench-test: ## tests of the benchmark, in a module of its own
	cd bench && $(GO) vet ./... && $(GO) test -count=1 -timeout 10m ./...

# Flags of the soak: SOAK_FLAGS='-case churn,limit -long'. `cd bench && go run ./soak -help` tells all. SOAK.md is written by a
# run of all cases, not by one with -case.
SOAK_FLAGS ?=

.PHONY: soak
soak: ## that memory is bounded and goes back, 50 minutes: bench/soak/SOAK.md
	cd bench && $(GO) run ./soak -results soak/SOAK.md $(SOAK_FLAGS)

.PHONY: clean
clean:
	rm -f scraper bench-unit.out
	rm -rf scraper-remotewrite-data data-agent

.PHONY: help
help:
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /\1\t/p' Makefile | expand -t 14
