# jupico-operator. `make` alone lists the targets.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
# One target at a time: the long builds use every core anyway, and their output would mix.
.NOTPARALLEL:

# Builds do not depend on the user's shell: they use the modules in go.sum, and no version control system.
# They all have the same flags, so that nothing is compiled twice. Only the race detector needs cgo.
export GOFLAGS := -mod=readonly -buildvcs=false -trimpath
export GOWORK := off
export CGO_ENABLED := 0

BIN := $(CURDIR)/bin
KUBECTL ?= kubectl
IMAGE := jupico-operator
# The image tag in the manifests.
RELEASE := $(shell sed -n 's/^ *newTag: //p' config/manager/kustomization.yaml)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo $(RELEASE))
COMMIT := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -X github.com/jupico-operator/jupico-operator/internal/version.version=$(VERSION) \
	-X github.com/jupico-operator/jupico-operator/internal/version.commit=$(COMMIT)
# The image to build, push or deploy. When empty, the one in the manifests.
IMG ?=
IMAGES ?= $(BIN)/images
# Where make cluster-up keeps its cluster.
CLUSTER ?= $(BIN)/cluster

CONTROLLER_GEN := $(BIN)/controller-gen
KUSTOMIZE := $(BIN)/kustomize
CRD_REF_DOCS := $(BIN)/crd-ref-docs
GOLANGCI_LINT := $(BIN)/golangci-lint
PROMTOOL := $(BIN)/promtool
PROMETHEUS := $(BIN)/prometheus
FLUX := $(BIN)/source-controller $(BIN)/kustomize-controller
HELM := $(BIN)/helm
ACTIONLINT := $(BIN)/actionlint

# These are written by `make generate manifests build-installer` and compared by `make verify`.
GENERATED := api/v1alpha1/zz_generated.deepcopy.go config/crd/bases config/rbac/role.yaml docs/api.md dist

# `make -n` runs lines that contain MAKE, so this variable has another name.
SUBMAKE := $(MAKE)

heading = @printf '\n==> %s\n' "$(1)"

##@ General

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN { FS = ":.*## "; print "make <target>" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## See the operator at work, with its own control plane and an emulator. ONCE=1 exits after the last step.
	@go build -o $(BIN)/demo ./hack/demo
	@assets=$$(hack/controlplane/ensure.sh | tail -n 1); \
		KUBEBUILDER_ASSETS="$$assets" exec $(BIN)/demo $(if $(filter-out 0 no false,$(ONCE)),--once)

.PHONY: demo-picture
demo-picture: build ## Run the demo, and draw what it printed: docs/demo.svg, which opens the README.
	@go build -o $(BIN)/demo ./hack/demo
	@assets=$$(hack/controlplane/ensure.sh | tail -n 1); KUBEBUILDER_ASSETS="$$assets" \
		go run ./hack/picture -out=docs/demo.svg -title="make demo ONCE=1" $(BIN)/demo --once

.PHONY: bench
bench: build ## Measure the operator, and write bench.json: takes about 40 minutes, or 5 with QUICK=1.
	$(call heading,Control plane for the benchmark)
	@hack/controlplane/ensure.sh
	$(call heading,Benchmark)
	@go build -o $(BIN)/bench ./hack/bench
	@assets=$$(hack/controlplane/ensure.sh | tail -n 1); \
		KUBEBUILDER_ASSETS="$$assets" $(BIN)/bench $(if $(filter-out 0 no false,$(QUICK)),--quick,--plots=docs/performance)

.PHONY: bench-go
bench-go: ## Run the micro benchmarks, in the format that benchstat reads.
	go test -run='^$$' -bench=. -count=6 ./internal/credential ./internal/jupico/outcome ./internal/decision \
		./internal/render

.PHONY: test
test: verify vet lint lint-workflows test-rules test-dashboard test-image test-chart test-release test-go ## Run every check: generated files, vet, lint, alerts, dashboard, image, chart, release, tests, coverage.
	$(call heading,All is well)

##@ Development

.PHONY: generate
generate: $(CONTROLLER_GEN) $(CRD_REF_DOCS) ## Write the deepcopy methods and docs/api.md.
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...
	mkdir -p docs
	$(CRD_REF_DOCS) --source-path=api --config=hack/docs/config.yaml --templates-dir=hack/docs/templates \
		--renderer=markdown --output-path=docs/api.md --log-level=ERROR

.PHONY: manifests
manifests: $(CONTROLLER_GEN) ## Write the CRD and the operator's ClusterRole to config/.
	$(CONTROLLER_GEN) rbac:roleName=manager-role crd paths="./api/...;./internal/controller/..." \
		output:crd:artifacts:config=config/crd/bases output:rbac:artifacts:config=config/rbac

.PHONY: build-installer
build-installer: $(KUSTOMIZE) ## Write dist/: crds.yaml, operator.yaml, both in install.yaml, and the Helm chart.
	mkdir -p dist
	$(KUSTOMIZE) build config/crd >dist/crds.yaml
	$(KUSTOMIZE) build config/operator >dist/operator.yaml
	$(KUSTOMIZE) build config/default >dist/install.yaml
	rm -rf dist/chart
	cp -r config/chart dist/chart
	mkdir dist/chart/files
	cp dist/crds.yaml config/rbac/role.yaml config/rbac/leader_election_role.yaml config/rbac/jupicocredential_*_role.yaml \
		config/components/*/*_monitor.yaml config/components/*/*_rule.yaml config/components/*/*_policy.yaml \
		config/components/*/*.json config/chart/values.yaml dist/chart/files

.PHONY: fmt
fmt: ## Format the code.
	go fmt ./...

.PHONY: verify
verify: $(CONTROLLER_GEN) $(CRD_REF_DOCS) $(KUSTOMIZE) ## Generate in a copy, to check that the generated files are up to date.
	$(call heading,Generated files (half a minute))
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
		tar -cf - --exclude=./bin --exclude=./.git . | tar -xf - -C "$$copy"; \
		(cd "$$copy" && rm -rf $(GENERATED)); \
		MAKEFLAGS= $(SUBMAKE) --no-print-directory -C "$$copy" BIN=$(BIN) generate manifests build-installer >/dev/null; \
		stale=; \
		for path in $(GENERATED); do diff -ruN --exclude='release*' "$$path" "$$copy/$$path" || stale+=" $$path"; done; \
		if [ -n "$$stale" ]; then \
			echo "Not up to date:$$stale. Run make generate manifests build-installer" >&2; exit 1; \
		fi; \
		echo "up to date"

.PHONY: vet
vet: ## Run go vet.
	$(call heading,go vet (2 to 4 min on two cold cores))
	go vet ./...
	go vet -tags=e2e ./test/e2e/...

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run golangci-lint, with the Kubernetes API linter.
	$(call heading,golangci-lint (1 to 2 min cold))
	$(GOLANGCI_LINT) run

.PHONY: lint-fix
lint-fix: $(GOLANGCI_LINT) ## Let golangci-lint fix what it can.
	$(GOLANGCI_LINT) run --fix

.PHONY: lint-workflows
lint-workflows: $(ACTIONLINT) ## Lint the workflows of GitHub.
	$(call heading,actionlint (seconds))
	$(ACTIONLINT) -shellcheck= -pyflakes=

.PHONY: test-rules
test-rules: $(PROMTOOL) ## Test with promtool that every alert fires when it should, and only then.
	$(call heading,Alerts (seconds))
	cd hack/promtool; PROMTOOL=$(PROMTOOL) go test -count=1 ./...

.PHONY: test-dashboard
test-dashboard: build $(PROMETHEUS) ## Scrape the operator with Prometheus: an alert fires, and the dashboard shows what is true.
	$(call heading,Control plane for the dashboard)
	@hack/controlplane/ensure.sh
	$(call heading,Prometheus (a minute))
	assets=$$(hack/controlplane/ensure.sh | tail -n 1); \
		KUBEBUILDER_ASSETS="$$assets" PROMETHEUS=$(PROMETHEUS) go test -count=1 ./test/monitoring

.PHONY: test-gitops
test-gitops: build $(FLUX) ## Let Flux apply a JupicoCredential, wait for it, and fail when it is stalled.
	$(call heading,Control plane for Flux)
	@hack/controlplane/ensure.sh
	$(call heading,Flux (1 to 2 min))
	assets=$$(hack/controlplane/ensure.sh | tail -n 1); \
		KUBEBUILDER_ASSETS="$$assets" FLUX=$(BIN) go test -count=1 -v ./test/gitops

.PHONY: test-oldest
test-oldest: $(KUSTOMIZE) ## Install the manifests on the oldest kube-apiserver that is supported.
	$(call heading,The oldest kube-apiserver)
	@hack/controlplane/ensure.sh oldest
	$(call heading,Installation on the oldest kube-apiserver (a minute))
	assets=$$(hack/controlplane/ensure.sh oldest | tail -n 1); \
		KUBEBUILDER_ASSETS="$$assets" KUSTOMIZE=$(KUSTOMIZE) \
			go test -count=1 -skip=TestAnUpgradeFromTheFirstChart ./test/install # whose CRD needs Kubernetes 1.32

.PHONY: test-image
test-image: ## Test the image builder: two equal builds, the lists of contents, a push to a registry.
	$(call heading,Images (seconds))
	cd hack/image; go vet ./... && go test -count=1 ./...

.PHONY: test-chart
test-chart: $(KUSTOMIZE) ## Lint the Helm chart, test each value, and compare its output with that of kustomize.
	$(call heading,Helm chart (2 to 5 min on two cold cores))
	cd hack/chart; go vet ./... && KUSTOMIZE=$(KUSTOMIZE) go test -count=1 ./...

.PHONY: test-release
test-release: $(HELM) ## Make a release of small programs twice: equal bytes, right sums, and the image by its digest.
	$(call heading,Release (1 to 3 min on two cold cores))
	cd hack/release; go vet ./... && HELM=$(HELM) go test -count=1 ./...

.PHONY: test-go
test-go: $(KUSTOMIZE) $(HELM) ## Run all Go tests with the race detector and a real kube-apiserver, and check the coverage.
	$(call heading,Control plane for the tests)
	@hack/controlplane/ensure.sh
	$(call heading,Tests with the race detector (8 to 15 min on two cold cores))
	assets=$$(hack/controlplane/ensure.sh | tail -n 1); \
		KUBEBUILDER_ASSETS="$$assets" KUSTOMIZE=$(KUSTOMIZE) HELM=$(HELM) CGO_ENABLED=1 \
			go test -race -short -count=1 -timeout=30m \
				-covermode=atomic -coverpkg=./internal/... -coverprofile=cover.out $$(go list ./... | grep -v /test/resilience)
	$(call heading,All random walks and months (a minute))
	go test -count=1 ./internal/decision
	$(call heading,The operator in trouble (2 to 5 min on two cold cores))
	assets=$$(hack/controlplane/ensure.sh | tail -n 1); \
		KUBEBUILDER_ASSETS="$$assets" go test -count=1 -timeout=15m ./test/resilience
	$(call heading,Coverage)
	@hack/coverage.sh cover.out

.PHONY: unit
unit: ## Run the tests that need no control plane. Takes seconds.
	go test $$(go list ./... | grep -v -e /internal/controller -e /internal/objectwatch -e /test/)

.PHONY: simulate
simulate: ## Simulate 10,000 months of one resource, or SIMULATIONS=n. Takes half an hour of CPU time.
	SIMULATIONS=$(or $(SIMULATIONS),10000) go test -count=1 -timeout=60m -run='^TestASimulatedMonth$$' ./internal/decision

.PHONY: resilience
resilience: ## Let the operator die at each write, blind it and hinder it, in 26 scenarios.
	@hack/controlplane/ensure.sh
	assets=$$(hack/controlplane/ensure.sh | tail -n 1); \
		RESILIENCE=all KUBEBUILDER_ASSETS="$$assets" go test -count=1 -v -timeout=60m ./test/resilience

.PHONY: fuzz
fuzz: ## Run every fuzz target for 30 s, or FUZZTIME=1m.
	hack/fuzz.sh

.PHONY: soak
soak: build ## Let things go wrong for DURATION=20m with RESOURCES=2000: nothing is lost, and nothing grows.
	@hack/controlplane/ensure.sh
	@go build -o $(BIN)/soak ./hack/soak
	@assets=$$(hack/controlplane/ensure.sh | tail -n 1); KUBEBUILDER_ASSETS="$$assets" \
		$(BIN)/soak -duration=$(or $(DURATION),20m) -resources=$(or $(RESOURCES),2000)

.PHONY: mutation
mutation: ## Count which changed operators the unit tests of the pure packages notice. Takes long. PACKAGES="…".
	hack/mutation/run.sh $(PACKAGES)

.PHONY: controlplane
controlplane: ## Find or build etcd, kube-apiserver and kubectl. The last line of the output is their directory.
	@hack/controlplane/ensure.sh

.PHONY: clean
clean: ## Remove everything that was built. Building the control plane again takes 5 to 10 minutes.
	@[ ! -e $(CLUSTER)/state ] || $(SUBMAKE) --no-print-directory cluster-down
	[ ! -e $(BIN)/k8s ] || chmod -R u+w $(BIN)/k8s # setup-envtest lets nobody write there
	rm -rf $(BIN) cover.out

##@ Build

.PHONY: build
build: ## Build bin/manager, bin/jupico-emulator and bin/kubectl-jupico.
	$(call heading,Building the programs (1 to 2 min on two cold cores))
	go build -ldflags "$(LDFLAGS)" -o $(BIN)/manager ./cmd
	go build -ldflags "$(LDFLAGS)" -o $(BIN)/jupico-emulator ./cmd/jupico-emulator
	go build -ldflags "$(LDFLAGS)" -o $(BIN)/kubectl-jupico ./cmd/kubectl-jupico

build_image = cd hack/image && go run . -source=$(CURDIR) -version=$(VERSION) -commit=$(COMMIT) -output=$(IMAGES)

.PHONY: image
image: ## Build the operator's image: bin/images/jupico-operator.tar (OCI, for ctr images import), digest, SBOM.
	$(call heading,Image for amd64 and arm64 (3 to 8 min on two cold cores))
	@$(build_image) -package=./cmd -image=$(or $(IMG),$(IMAGE):$(RELEASE))

.PHONY: image-push
image-push: ## Build and push the operator's image and its SBOM, using your docker login. IMG=registry/image:tag.
	$(if $(IMG),,$(error Set IMG=registry/image:tag))
	@$(build_image) -package=./cmd -image=$(IMG) -push

.PHONY: image-emulator
image-emulator: ## Build the emulator's image: bin/images/jupico-emulator.tar.
	@$(build_image) -package=./cmd/jupico-emulator -image=jupico-emulator:$(RELEASE)

.PHONY: image-check
image-check: ## Build the image a second time, from a copy and without any cache, and compare the two.
	$(call heading,Building the image without any cache (4 to 15 min on two cores))
	@hack/image/check.sh $(VERSION)

.PHONY: run
run: build ## Run the operator here, against the cluster that kubectl points at. ARGS="--zap-log-level=debug".
	$(BIN)/manager $(ARGS)

##@ Release

# The name of the image in a release, unless the command line has IMAGE=.
release_image = $(if $(filter command line,$(origin IMAGE)),$(IMAGE),ghcr.io/jupico-operator/jupico-operator)
make_release = cd hack/release && go run . -source=$(CURDIR) -helm=$(HELM) -image=$(release_image)

.PHONY: release
release: $(HELM) ## Make dist/release for VERSION=v1.2.3, and publish nothing. IMAGE=registry/name, DIRTY=1 for uncommitted changes.
	$(call heading,Release (10 to 30 min on two cold cores))
	@$(make_release) -version=$(VERSION) $(if $(filter-out 0 no false,$(DIRTY)),-allow-dirty)

.PHONY: release-check
release-check: $(HELM) ## Make the release of VERSION=v1.2.3 twice, the second time from a clone and without any cache, and compare.
	$(call heading,Two releases (20 to 60 min on two cold cores))
	@hack/release/check.sh $(VERSION) $(release_image) $(HELM)

.PHONY: release-push
release-push: $(HELM) ## Push the image, its SBOM and the chart in dist/release, using your docker login. VERSION, IMAGE as for release.
	@cd dist/release; grep -qF '"version": "$(VERSION)"' provenance.json && grep -qF '"image": "$(release_image)"' provenance.json || \
		{ echo "dist/release does not hold $(VERSION) of $(release_image): run make release with both" >&2; exit 1; }
	cd dist/release; sha256sum --check --strict SHA256SUMS
	cd hack/image; go run . -from=$(CURDIR)/dist/release/$(notdir $(release_image)).tar -image=$(release_image):$(VERSION)
	$(HELM) push dist/release/jupico-operator-$(VERSION:v%=%).tgz oci://$(dir $(release_image))charts

##@ End to end

cluster = @go build -o $(CLUSTER)/cluster ./hack/cluster; $(CLUSTER)/cluster --dir=$(CLUSTER)

.PHONY: cluster-check
cluster-check: ## Check whether make cluster-up can work on this machine.
	$(cluster) check

.PHONY: cluster-up
cluster-up: ## Start a single-node cluster on this machine (root, Linux). The last line is its kubeconfig.
	$(cluster) up

.PHONY: cluster-build
cluster-build: ## Build the programs of that cluster.
	$(cluster) build

.PHONY: cluster-down
cluster-down: ## Stop that cluster.
	$(cluster) down

.PHONY: e2e-images
e2e-images: image image-emulator ## Build the images that make e2e loads: the operator, the emulator, and a client that runs in pods.
	@$(build_image) -package=./test/e2e/client -image=jupico-e2e:$(RELEASE)

.PHONY: e2e-build
e2e-build: e2e-images $(FLUX) cluster-build ## Build ahead what make e2e needs on this machine. Takes 10 to 15 min on two cold cores.

.PHONY: e2e
e2e: build $(HELM) e2e-images $(if $(FOCUS),,test-gitops) ## Run test-gitops, and the end-to-end tests in the cluster of KUBECONFIG, or else of cluster-up. FOCUS='part of a name'.
	@$(make_release) -version=$(RELEASE) -allow-dirty -platforms=$$(go env GOOS)/$$(go env GOARCH) -output=$(BIN)/release
	@IMAGES=$(IMAGES) E2E_RELEASE=$(BIN)/release E2E_RELEASE_IMAGE=$(release_image) CLUSTER=$(CLUSTER) E2E_KUBECTL=$(KUBECTL) HELM=$(HELM) MAKE=$(SUBMAKE) test/e2e/run.sh $(if $(FOCUS),-ginkgo.focus='$(FOCUS)')

##@ Cluster (the one that kubectl points at)

.PHONY: install
install: $(KUSTOMIZE) ## Install the CRDs.
	$(KUSTOMIZE) build config/crd | $(KUBECTL) apply -f -

.PHONY: uninstall
uninstall: $(KUSTOMIZE) ## Remove the CRDs, every JupicoCredential, and the Secrets that these own.
	$(KUSTOMIZE) build config/crd | $(KUBECTL) delete --ignore-not-found -f -

.PHONY: deploy
deploy: $(KUSTOMIZE) ## Install the CRDs and the operator. IMG=registry/image:tag to use your own image.
	$(KUSTOMIZE) build config/default $(if $(IMG),| sed 's|image: $(IMAGE):.*|image: $(IMG)|') | $(KUBECTL) apply -f -

.PHONY: undeploy
undeploy: $(KUSTOMIZE) ## Remove the operator. CRDs, resources and Secrets stay.
	$(KUSTOMIZE) build config/operator | $(KUBECTL) delete --ignore-not-found -f -

# Each tool is pinned in its own module, and is built again only when that module changes.

build_tool = @echo "Building $(notdir $@) ($(3) on two cold cores) ..."; \
	mkdir -p $(BIN); cd $(1); go build -o $@ $(2); touch $@

$(CONTROLLER_GEN): hack/tools/go.mod hack/tools/go.sum
	$(call build_tool,hack/tools,sigs.k8s.io/controller-tools/cmd/controller-gen,1 to 2 min)

$(ACTIONLINT): hack/tools/go.mod hack/tools/go.sum
	$(call build_tool,hack/tools,github.com/rhysd/actionlint/cmd/actionlint,half a minute)

$(CRD_REF_DOCS): hack/tools/go.mod hack/tools/go.sum
	$(call build_tool,hack/tools,github.com/elastic/crd-ref-docs,half a minute)

$(KUSTOMIZE): hack/tools/go.mod hack/tools/go.sum
	$(call build_tool,hack/tools,sigs.k8s.io/kustomize/kustomize/v5,half a minute)

$(GOLANGCI_LINT): hack/lint/go.mod hack/lint/go.sum
	$(call build_tool,hack/lint,sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter,1 to 3 min)

# Neither needs service discovery here, and without it they build in half the time.
$(PROMTOOL): hack/promtool/go.mod hack/promtool/go.sum
	$(call build_tool,hack/promtool,-tags=remove_all_sd github.com/prometheus/prometheus/cmd/promtool,2 to 4 min)

$(PROMETHEUS): hack/promtool/go.mod hack/promtool/go.sum
	$(call build_tool,hack/promtool,-tags=remove_all_sd github.com/prometheus/prometheus/cmd/prometheus,2 to 8 min)

$(FLUX): hack/flux/go.mod hack/flux/go.sum
	$(call build_tool,hack/flux,github.com/fluxcd/$(notdir $@),2 to 6 min)

$(HELM): hack/chart/go.mod hack/chart/go.sum
	$(call build_tool,hack/chart,helm.sh/helm/v4/cmd/helm,1 to 4 min)
