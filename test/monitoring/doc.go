// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests the dashboard: a real Prometheus scrapes the real operator, and runs each query.
package monitoring
