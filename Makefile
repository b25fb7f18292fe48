# The dozen things people do here. `make help` lists them.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export CGO_ENABLED ?= 0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
RUN     ?= .
FUZZTIME ?= 30s
GO_BUILD := go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
# Sidecar and issuer speak HTTP/1.1 alone: half a megabyte of net/http stays out of them.
SIDECAR_TAGS := nethttpomithttp2

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## sidecar, controller, issuer and gatepost into bin/
	@mkdir -p bin
	$(GO_BUILD) -o bin/ ./cmd/controller ./cmd/gatepost
	$(GO_BUILD) -tags $(SIDECAR_TAGS) -o bin/ ./cmd/sidecar ./cmd/issuer

.PHONY: test
test: ## everything CI runs: units, race, control-plane tests, a real node
	go vet -tags cluster,e2e ./...
	go test -timeout 20m $$(go list ./... | grep -v '/test/')
	go test -timeout 20m -p 1 ./test/...
	CGO_ENABLED=1 go test -timeout 20m -race ./policy/... ./token/... ./sidecar/... ./internal/filewatch/... ./internal/keyring/... ./internal/throttle ./internal/crowd ./issuer/... ./controller/... ./cmd/gatepost/internal/kube ./cmd/gatepost/internal/output
	CGO_ENABLED=1 go test -race -run 'Bounded|GivesUp|Turns' ./internal/password
	test/cluster/build
	go -C test/cluster/image test ./...
	go -C test/cluster/kube test -vet=off ./internal/pki/
	go test -tags cluster -p 1 -count 1 -timeout 20m ./controller/... ./cmd/controller/... ./cmd/gatepost ./charts/... ./test/cluster
	go test -tags cluster -count 1 -run InACluster ./test/docs
	go test -tags cluster -count 1 -run NeverRestarts ./test/alerts
	go test -tags cluster -count 1 -timeout 20m -skip AThousand -v ./test/fleet
	CGO_ENABLED=1 go test -race -tags cluster -count 1 -timeout 20m -run AThousand -v ./test/fleet
	go test -tags e2e -p 1 -count 1 -timeout 60m -v -run '$(RUN)' ./test/cluster ./test/e2e

.PHONY: lint
lint: ## golangci-lint, built from its own module
	go build -C internal/tools/lint -o ../../../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run

.PHONY: generate
generate: ## CRDs, deep copies, config/ and the reference pages
	go generate ./...

.PHONY: verify
verify: lint generate ## lint, and fail when something generated was not checked in
	git diff --exit-code

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (30s)
	@for target in $$(grep -rlE '^func Fuzz' --include='*_test.go' --exclude-dir=node_modules .); do \
	  for name in $$(grep -oE '^func Fuzz[A-Za-z0-9]+' $$target | cut -d' ' -f2); do \
	    echo "== $$name ($$(dirname $$target))"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s ./$$(dirname $$target); \
	  done; done

.PHONY: e2e
e2e: ## end-to-end tests on a real node (RUN=regex chooses)
	go test -tags e2e -p 1 -count 1 -timeout 60m -v -run '$(RUN)' ./test/e2e

.PHONY: soak
soak: ## the long figures: twenty times what CI runs
	GATEPOST_SOAK=20 go test -count 1 -timeout 6h -v ./...
	GATEPOST_SOAK=20 go test -tags cluster -p 1 -count 1 -timeout 2h -skip AThousand -v ./controller/... ./test/fleet
	GATEPOST_SOAK=20 CGO_ENABLED=1 go test -race -tags cluster -count 1 -timeout 2h -run AThousand -v ./test/fleet
	GATEPOST_SOAK=20 go test -tags e2e -p 1 -count 1 -timeout 6h -v ./test/e2e

.PHONY: bench
bench: ## what authentication costs, as ratios within one run
	go run ./test/bench

.PHONY: demo
demo: ## the main job on a real Kubernetes (DEMO_CLUSTER=current: on yours)
	@test/demo/run

.PHONY: cluster-up
cluster-up: ## a one-node Kubernetes of this checkout (root on Linux)
	@test/cluster/build
	@test/cluster/up

.PHONY: cluster-down
cluster-down: ## end it
	@test/cluster/down

.PHONY: image
image: build ## container images as tarballs in dist/, without a container engine
	@$(GO_BUILD) -o bin/ ./test/e2e/remote/caller
	@test/cluster/images

.PHONY: chart
chart: ## package the Helm chart into dist/
	@mkdir -p dist
	$$(test/cluster/build --print)/helm package charts/gatepost -d dist
