// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package specs runs suites of Ginkgo under go test.
package specs

import (
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// slow is how long a spec may take before Ginkgo prints where it is. After that, it prints so each time.
const slow = 2 * time.Minute

// Run runs all specs. It ends before go test would kill it, so that a spec that hangs is named, with the line.
func Run(t *testing.T, name string) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	suite, reporter := ginkgo.GinkgoConfiguration()
	suite.PollProgressAfter, suite.PollProgressInterval = slow, slow
	if deadline, isSet := t.Deadline(); isSet {
		suite.Timeout = min(suite.Timeout, time.Until(deadline)*9/10)
	}
	ginkgo.RunSpecs(t, name, suite, reporter)
}
