.PHONY: help demo test test-fast bench lint fuzz cover tidy

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the demo, on this machine alone
	go run ./cmd/buffkit demo

test: ## everything that must hold; installs what it needs (Debian, Ubuntu), or says what to install
	@ci/test.sh

test-fast: ## the root module's short tests, without the race detector
	go test -short -timeout 2m ./...

bench: ## measure against the peers and the floor, 40 minutes; goes on where it was; writes bench/RESULTS.md
	@bench/needs.sh
	@go run ./bench run

lint: ## gofmt, go vet, staticcheck, tidy go.mod files
	@ci/lint.sh

fuzz: ## every fuzz target in turn, FUZZTIME=5m each
	@ci/fuzz.sh

cover: ## which lines the tests reach, for each package
	@ci/cover.sh

tidy: ## go mod tidy for every module
	@ci/tidy.sh
