// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the operator where it lives: in a cluster, installed from its manifests, with pods that mount what
// it delivers. The tests need the build tag e2e, and `make e2e` runs them: against the cluster that KUBECONFIG points
// at, or else one that hack/cluster starts on this machine.
package e2e
