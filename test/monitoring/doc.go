// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests what is made for Prometheus: a real one scrapes the real operator, runs each query of the
// dashboard, and fires an alert.
package monitoring
