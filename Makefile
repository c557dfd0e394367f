# Plain `make` lists the targets. Go and apt are all that a fresh Debian machine needs: each target installs the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSITYGW_VERSION := v1.8.0
NATS_SERVER_VERSION := v2.15.2
MAILPIT_VERSION := v1.33.1
STATICCHECK_VERSION := v0.8.2
NFPM_VERSION := v2.45.2
AXE_VERSION := 4.14.1

# Debian packages. The race detector is what needs a C compiler; the product itself is built without one.
OCR_PACKAGES := tesseract-ocr tesseract-ocr-eng tesseract-ocr-urd
RUN_PACKAGES := ca-certificates curl $(OCR_PACKAGES)
TEST_PACKAGES := ca-certificates curl python3 gcc libc6-dev systemd $(OCR_PACKAGES) libreoffice-writer libreoffice-calc libreoffice-impress \
	chromium fonts-noto-core $(if $(shell command -v npm),,npm)
EVAL_PACKAGES := $(TEST_PACKAGES) poppler-utils

TOOLS := $(CURDIR)/.tools
VERSITYGW := $(TOOLS)/versitygw
NATS_SERVER := $(TOOLS)/nats-server
MAILPIT := $(TOOLS)/mailpit
STATICCHECK := $(TOOLS)/staticcheck
NFPM := $(TOOLS)/nfpm
AXE := $(TOOLS)/axe.min.js
SCREENSHOTS := $(CURDIR)/bin/screenshots

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMITTED = $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
# In the order of Debian 1.2.0~rc.1 (v1.2.0-rc.1) comes before 1.2.0, 1.2.0+5.gabcdef (v1.2.0-5-gabcdef) behind it, and
# what has no version, by its time, before all that have.
DEB_VERSION = $(shell echo '$(VERSION)' | sed -E 's/^v?([0-9]+\.)/\1/; t version; s/^/0~$(shell date -u -d @$(COMMITTED) +%Y%m%d%H%M)./; \
	:version; s/-([0-9]+)-g/+\1.g/; s/-dirty$$/+dirty/; s/-/~/g')
DEB_ARCH = $(shell go env GOARCH)
DEB = bin/sealprint_$(DEB_VERSION)_$(DEB_ARCH).deb
GO_DIRS := $(wildcard cmd fingerprint ingest api storage examples)
FUZZTIME ?= 30s
TEST_TIMEOUT ?= 30m
COMPUTES := ^TestEval|Picture|^TestDrawnKinds$$|^TestFaults$$|^TestEvidenceLarge$$
TEST_ENV = CGO_ENABLED=1 SEALPRINT_TEST_VERSITYGW=$(VERSITYGW) SEALPRINT_TEST_NATS_SERVER=$(NATS_SERVER) SEALPRINT_TEST_MAILPIT=$(MAILPIT) SEALPRINT_TEST_DEB='$(CURDIR)/$(DEB)' SEALPRINT_TEST_AXE=$(AXE) SEALPRINT_TEST_SCREENSHOTS=$(SCREENSHOTS)
POSTINGS ?= 1000000,10000000,50000000
FAULTS ?= 100000
KILLS ?= 1000

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build bin/sealprint
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/sealprint ./cmd/sealprint

.PHONY: deb
deb: build $(NFPM) ## Build bin/sealprint_VERSION_ARCH.deb, for machines like this one
	@rm -f bin/sealprint_*.deb
	@mkdir -p bin/completion
	@for shell in bash zsh fish; do bin/sealprint completion $$shell >bin/completion/sealprint.$$shell; done
	SOURCE_DATE_EPOCH=$(COMMITTED) DEB_VERSION='$(DEB_VERSION)' DEB_ARCH=$(DEB_ARCH) $(NFPM) package --config deploy/nfpm.yaml --packager deb --target '$(DEB)'

.PHONY: run
run: run-packages build $(VERSITYGW) ## Start the server with sample documents on 127.0.0.1:8080
	@exec deploy/sample/run.sh

.PHONY: test
test: test-packages lint $(VERSITYGW) $(NATS_SERVER) $(MAILPIT) $(AXE) deb ## Lint, then run every test, those of concurrent code with the race detector
	@mkdir -p $(SCREENSHOTS)
	@# What only computes gains nothing from the race detector but ten times the time: package fingerprint starts no goroutine, evaluations and the look-ups of
	@# pictures wait for one computation after the other, as large reports do, readers are processes of their own, and of the thousands of lives in TestFaults each is like the other.
	go test -timeout $(TEST_TIMEOUT) ./fingerprint/...
	$(TEST_ENV) go test -timeout $(TEST_TIMEOUT) ./ingest/extract
	$(TEST_ENV) go test -timeout $(TEST_TIMEOUT) -run '$(COMPUTES)' ./api ./ingest ./cmd/sealprint ./storage/index
	$(TEST_ENV) go test -race -timeout $(TEST_TIMEOUT) -skip '$(COMPUTES)' $$(go list ./... | grep -v -e /fingerprint -e /ingest/extract)

.PHONY: lint
lint: $(STATICCHECK) ## Check formatting, vet, staticcheck, go.mod and generated code
	@unformatted=$$(gofmt -l $(GO_DIRS)); [ -z "$$unformatted" ] || { echo "gofmt -w is due on:" >&2; echo "$$unformatted" >&2; exit 1; }
	go vet ./...
	$(STATICCHECK) ./...
	go mod tidy -diff
	cd storage/index/bench && go vet ./... && $(STATICCHECK) ./... && go mod tidy -diff
	@# Compared with the tree and not with the last commit, so that it holds while a change is being written, too.
	@sums() { find api -name '*.gen.go' -exec sha256sum {} + | sort; }; \
	before=$$(sums); $(MAKE) --no-print-directory generate; \
	[ "$$before" = "$$(sums)" ] || { echo "The generated code was not up to date; it is now: commit it" >&2; exit 1; }

.PHONY: generate
generate: ## Generate the code that is made from api/openapi.yaml
	@if grep -qs '^//go:generate' api/*.go; then go generate ./api; fi

.PHONY: bench
bench: ## Run every benchmark, and the index beside Pebble and bbolt (POSTINGS says how large)
	@packages=$$(grep -rl --include='*_test.go' '^func Benchmark' $(GO_DIRS) | xargs -r -n 1 dirname | sort -u | sed 's|^|./|' || true); \
	[ -n "$$packages" ] || { echo "There are no benchmarks" >&2; exit 0; }; \
	SEALPRINT_TEST_VERSITYGW=$(VERSITYGW) go test -run '^$$' -bench . -benchmem -timeout $(TEST_TIMEOUT) $$packages
	cd storage/index/bench && go run . -postings $(POSTINGS)

# A minute of this is in `make test`.
.PHONY: torture
torture: ## Have 100,000 operations of the disk fail and kill 1,000 processes that write to an index
	go test -count=1 -timeout 2h -run 'TestFaults|TestCrash|TestModel' -v ./storage/index -args -faults $(FAULTS) -kills $(KILLS)

.PHONY: eval
eval: eval-packages ## Measure what is read and found (SEALPRINT_CORPUS=DIR writes docs/quality.md and docs/extraction.md)
	SEALPRINT_CORPUS=$(abspath $(SEALPRINT_CORPUS)) SEALPRINT_QUALITY=$(if $(SEALPRINT_CORPUS),$(CURDIR)/docs) \
		go test -count=1 -p 1 -timeout 90m -run TestEval -v ./fingerprint/match ./ingest/extract ./cmd/sealprint

.PHONY: screenshots
screenshots: ## Take the console's picture in the documents over from the last `make test`
	cp $(SCREENSHOTS)/evidence-1280-light.png docs/console-evidence.png

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s) each
	@targets=$$(go test -list '^Fuzz' ./... | awk '/^Fuzz/ { names[++n] = $$1 } /^ok/ { for (i = 1; i <= n; i++) print $$2, names[i]; n = 0 }'); \
	[ -n "$$targets" ] || { echo "There are no fuzz targets" >&2; exit 0; }; \
	failed=; \
	while read -r package name; do \
		echo "$$name in $$package"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null || failed="$$failed $$name"; \
	done <<<"$$targets"; \
	[ -z "$$failed" ] || { echo "Failed:$$failed" >&2; exit 1; }

.PHONY: clean
clean: ## Remove what was built; ./data and the tools stay
	rm -rf bin coverage.out
	find . -path ./.tools -prune -o \( -name '*.test' -o -name '*.prof' \) -type f -exec rm -f {} +

# The Debian packages come first, so that a machine that lacks one says so before anything is built.
.PHONY: run-packages
run-packages:
	@deploy/sample/apt.sh $(RUN_PACKAGES)

.PHONY: eval-packages
eval-packages:
	@deploy/sample/apt.sh $(EVAL_PACKAGES)

.PHONY: test-packages
test-packages:
	@deploy/sample/apt.sh $(TEST_PACKAGES)

# A tool depends on a stamp that carries its version: another version is another stamp, and the tool is built anew.
$(TOOLS)/.%:
	@mkdir -p $(TOOLS)
	@touch $@

$(VERSITYGW): $(TOOLS)/.versitygw-$(VERSITYGW_VERSION)
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath -ldflags '-s -w' github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)
	@touch $@

$(NATS_SERVER): $(TOOLS)/.nats-server-$(NATS_SERVER_VERSION)
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath -ldflags '-s -w' github.com/nats-io/nats-server/v2@$(NATS_SERVER_VERSION)
	@touch $@

$(MAILPIT): $(TOOLS)/.mailpit-$(MAILPIT_VERSION)
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath -ldflags '-s -w' github.com/axllent/mailpit@$(MAILPIT_VERSION)
	@touch $@

$(STATICCHECK): $(TOOLS)/.staticcheck-$(STATICCHECK_VERSION)
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath -ldflags '-s -w' honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	@touch $@

$(NFPM): $(TOOLS)/.nfpm-$(NFPM_VERSION)
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath -ldflags '-s -w' github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)
	@touch $@

# A checker of accessibility, which runs in the pages that tests look at.
$(AXE): $(TOOLS)/.axe-$(AXE_VERSION)
	cd $(TOOLS) && npm pack --silent axe-core@$(AXE_VERSION) && tar -xzf axe-core-$(AXE_VERSION).tgz --strip-components=1 package/axe.min.js && rm axe-core-$(AXE_VERSION).tgz
	@touch $@

.PRECIOUS: $(TOOLS)/.%
