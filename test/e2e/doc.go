// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the operator in a real cluster, installed from its manifests, with pods that mount the Secrets that
// it delivers. The tests need the build tag e2e. `make e2e` runs them in the cluster that KUBECONFIG points at, or else
// in one that hack/cluster starts on this machine.
package e2e
