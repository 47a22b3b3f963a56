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

const (
	// slow is after how long a spec shows where it is.
	slow = 2 * time.Minute
	// toReport is the time that Ginkgo has to stop and to report, before go test kills it.
	toReport = 2 * time.Minute
)

// Run runs all specs. One that hangs is named, with the line that it hangs at: go test alone would show goroutines.
func Run(t *testing.T, name string) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	suite, reporter := ginkgo.GinkgoConfiguration()
	suite.PollProgressAfter = slow
	if deadline, isSet := t.Deadline(); isSet {
		suite.Timeout = time.Until(deadline) - toReport
	}
	ginkgo.RunSpecs(t, name, suite, reporter)
}
