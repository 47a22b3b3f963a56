// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package resilience tests the operator in trouble: it dies before or after any of its writes, its watches freeze, hang
// or end, a second one works beside it, and the API server answers with errors. Each scenario has to end in the state
// in which it ends without any of that. The operator is the real one, and so is the kube-apiserver.
//
// By default, a part of the disturbances is tried, which RESILIENCE_SEED selects. RESILIENCE=all tries all of them, and
// RESILIENCE_SCENARIO keeps to the scenarios whose name it is a part of.
package resilience
