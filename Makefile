# Everything a developer or CI runs. `make test` is all of it, in the order that
# fails fastest; each suite is a target of its own. Tools are installed into
# .tools once. Where something cannot be had a suite says so and is skipped; with
# CI=true nothing is skipped. `go test ./...` alone needs only Go.

GOLANGCI_LINT := v2.15.0
PKGS          ?= ./...
RACE_TIMEOUT  ?= 30m

# count defeats Go's cache of test results where a fresh verdict is wanted.
count := $(if $(filter true,$(CI)),-count=1)

.DEFAULT_GOAL := build
.PHONY: help build test lint floors quick model mutants fuzz demo npm console conformance operator cluster race leaks bench generate tools clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 14

# Nothing here vets, and tests are compiled with -vet=off: the linter does it once.
build: ## compile everything
	go build ./...

# In one lane are suites that compute, in the other those that wait for what real
# servers, browsers and clusters do. The first ones are nice: they give way to the
# others, which have deadlines. leaks is last: it reads what all the others left.
test: ## every suite; the last lines are go test's
	@go run ./test/suites build floors quick \
		'lint model mutants fuzz | demo npm console conformance operator cluster' race leaks

lint: ## golangci-lint with .golangci.yml, built on first use
	@nice test/lint $(GOLANGCI_LINT)

# Its tests read the sources, so the race detector would find nothing.
floors: ## imports only point down, and the other rules of the house
	go test -vet=off $(count) .

quick: ## formatting, scripts, generated pages
	@test/quick

# The race detector makes these tests fifty times slower, or changes what they
# count. Packages that have such tests say so with a build constraint.
model: ## the guard's exhaustive model, and allocation counts: tests without the race detector
	RECLOSER_EXHAUSTIVE=1 nice go test -vet=off $(count) -timeout 20m $(sort ./guard/ $(addprefix ./,$(dir $(shell git grep --untracked -lE '^//go:build !race' -- '*/*_test.go' ':!operator'))))

mutants: ## each patch of testdata/mutants must turn a test red
	nice go run ./test/mutants

fuzz: ## every Fuzz function: 5 s each with CI=true, else 3 s; two at a time
	@nice test/fuzz

demo: ## the demo as an end-to-end test
	@test/demo

npm: ## real npm servers and clients against the gateway
	@test/npm-suite

console: ## the console in a real browser, against a fake of the admin API
	@test/console-suite

conformance: ## the official conformance suite with and without the gateway
	@test/conformance-suite

operator: ## what is generated of the operator, and its chart
	@test/operator-suite

cluster: ## the operator's tests, against a real control plane; built on first use
	@test/cluster-suite

# A program that ends waits for reports of its other threads, a second when nothing
# else is said, and some tests start hundreds of programs.
race: ## all Go tests with the race detector; those of test/faults leave what they showed
	GORACE=atexit_sleep_ms=50 RECLOSER_ARTIFACTS=$(CURDIR)/test-artifacts go test -race -vet=off $(count) -timeout $(RACE_TIMEOUT) $(PKGS)

leaks: ## no credential in anything that the suites before it left in test-artifacts
	@test/leaks

bench: ## benchmarks of every package that has some
	go test -run '^$$' -bench . -benchmem $(sort $(addprefix ./,$(dir $(shell git grep --untracked -lE '^func Benchmark' -- '*_test.go' ':!operator'))))

generate: ## pages and files that are made from code
	go generate ./...
	go test ./status -run TestErrorsPage -update
	test/generate-operator

tools: ## install the linter and the npm packages
	@test/install-lint $(GOLANGCI_LINT)
	@test/install-npm
	@test/install-console

clean: ## remove what suites wrote, but not .tools
	rm -rf test-artifacts coverage.out recloser
