// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestReasonsAreThoseOfTheDocs(t *testing.T) {
	names := reasonNames()
	for _, o := range outcome.All() {
		if !slices.Contains(names, string(o)) {
			t.Errorf("%s is not explained", o)
		}
	}
	for _, name := range []string{v1alpha1.ReasonSandboxReset, v1alpha1.ReasonBothAccepted, v1alpha1.EventDelivered} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not explained", name)
		}
	}
	for _, r := range reasons() {
		if len(r.parts) == 0 || r.parts[0].text == "" {
			t.Errorf("%s is explained by nothing", r.name)
		}
	}
}
