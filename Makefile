.PHONY: help demo test test-fast test-rounds fault-matrix oracle bench lint fuzz cover tidy

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the demo, on this machine alone
	go run ./cmd/buffkit demo

test: ## everything that must hold; installs what it needs (Debian, Ubuntu), or says what to install
	@ci/test.sh

test-fast: ## the root module's short tests, without the race detector
	go test -short -timeout 2m ./...

test-rounds: ## 64 runners at once, 50 rounds on each database; 6 minutes
	BUFFKIT_TEST_ROUNDS=50 go test -count=1 -timeout 60m -run TestSixtyFourRunners ./internal/migratedb

fault-matrix: ## every fault on every database, 64 runners in 50 rounds among them; writes docs/fault-matrix.md, 10 minutes
	BUFFKIT_TEST_ALL=1 BUFFKIT_TEST_ROUNDS=50 BUFFKIT_TEST_MATRIX=$(CURDIR)/docs/fault-matrix.md go test -count=1 -timeout 60m ./internal/migratedb

oracle: ## three nodes and 500 clients on Redis, then on PostgreSQL, and faults at random for 5 minutes each; no event is lost silently
	BUFFKIT_TEST_ORACLE=$${BUFFKIT_TEST_ORACLE:-5m} go test -count=1 -timeout 60m -v -parallel 1 -run TestNothingIsLostSilently ./internal/oracle

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
