# The local cluster: see docs/kind.md for kind, and e2e/cluster for what this one is.

# nodes of the cluster, 1-9
NODES ?= 1
# registry that `make images` pushes to; the local cluster's by default
REGISTRY ?= 198.18.16.1:5000

.PHONY: deps tools cluster cluster-down cluster-status images charts cluster-test

deps: ## list the Debian packages that Hotbay uses, and install those that are missing
	@scripts/deps --list | fmt -w 110
	@scripts/deps

tools: ## build the cluster's tools, once a machine: cluster, kube, coredns, helm, kubectl
	@scripts/tools

cluster: ## a local Kubernetes with Hotbay in it, or that one brought up to date (NODES=1)
	@scripts/cluster $(NODES)

cluster-down: ## end the local cluster and leave nothing behind
	@"$$(scripts/tools cluster)/cluster" down

cluster-status: ## nodes, memory and CPU time of the local cluster
	@"$$(scripts/tools cluster)/cluster" status

images: ## build the images and push them to REGISTRY
	@REGISTRY=$(REGISTRY) scripts/images

charts: ## lint the charts, and test the values that they take and what they render
	@"$$(scripts/tools helm)/helm" lint --strict charts/hotbay-crds charts/hotbay charts/hotbay-runtime
	@PATH="$$(scripts/tools helm):$$PATH" cargo test --locked --package hotbay-e2e --test charts

cluster-test: ## the tests of the local cluster's supervisor
	@cd e2e/cluster/supervisor && test -z "$$(gofmt -l .)" && CGO_ENABLED=0 go vet . && go test .
