# What a user and a developer of Hotbay type. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What cargo builds on the way lies beside the other caches, so that a clone that is made anew in the same place is warm. Clones in different places
# share nothing: cargo tells a file by its time, so the one would take the other's program for its own, with the other's paths in it.
export CARGO_BUILD_BUILD_DIR ?= $(or $(HOTBAY_CACHE),$(HOME)/.cache/hotbay)/build/{workspace-path-hash}

# Where `make run` serves, and its state.
LISTEN ?= 127.0.0.1:8880
LAYOUT := target/hotbay/modules

include mk/cluster.mk

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: hello ## serve the hello module on the embedded control plane: curl http://127.0.0.1:8880/hello
	@exec target/release/hotbay run plugins/examples/hello/hello-module.yaml \
		--listen $(LISTEN) --mirror registry.example.com=oci:$(LAYOUT)

.PHONY: hello
hello: ## build the hello module and push it to where `make run` looks; a running one swaps it in
	@echo "building hotbay and the hello module ..." >&2
	@scripts/deps build
	@cargo build --release --locked --package hotbay --package hello
	@target/release/hotbay push target/release/libhello.so oci:$(LAYOUT):hello:1.0

.PHONY: check
check: ## formatting, lints, generated files, dependency rules
	cargo fmt --check
	cargo clippy --workspace --all-targets --features hotbay-api/crdgen --locked -- --deny warnings
	cargo test --locked --package hotbay-api --features crdgen --lib --test manifests
	scripts/cargo-deny check bans licenses sources

.PHONY: unit
unit: ## every test that needs no cluster
	rustup target add aarch64-unknown-linux-gnu # `hotbay build --platform` is tried for real
	@echo "building hotbay as it is shipped: that is what the load tests measure ..." >&2
	cargo build --release --locked --package hotbay
	cargo test --workspace --locked --exclude hotbay-e2e
	cargo test --locked --package hotbay-e2e --lib

.PHONY: e2e
e2e: ## the tests against the cluster of KUBECONFIG, or against a local one made for them
	scripts/e2e

.PHONY: bench
bench: ## measure what is shipped, beside an axum server and nginx, into bench/RESULTS.md; fails if a gate is missed
	@scripts/bench

.PHONY: test
test: deps check unit charts cluster-test e2e ## everything: what CI runs; needs root for the local cluster

.PHONY: fuzz
fuzz: ## have libFuzzer look for what breaks the claims of e2e/fuzz, a minute each; needs rustup for a nightly compiler
	@scripts/deps build
	@scripts/fuzz

.PHONY: miri
miri: ## run the unsafe code that loads no module under Miri; needs rustup, as fuzz
	@scripts/miri

.PHONY: sanitize
sanitize: ## run what loads modules or has threads under AddressSanitizer and ThreadSanitizer; needs rustup, as fuzz
	@scripts/deps build
	@scripts/sanitize address
	@scripts/sanitize thread

.PHONY: screenshot
screenshot: ## take the picture of the admin page in docs/ anew
	@scripts/deps browser
	HOTBAY_SCREENSHOT=$(CURDIR)/docs/images/admin.png cargo test --locked --package hotbay --test laptop -- \
		--exact admin::the_page_shows_a_module_live_a_swap_and_a_failure

.PHONY: generate
generate: ## write the generated files anew
	cargo run --locked --quiet --package hotbay-api --features crdgen --bin crdgen
