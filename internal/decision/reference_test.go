// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestThePageOnConditionsSaysWhatToDoForEveryReason(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/conditions.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../../api/v1alpha1/condition_types.go")
	if err != nil {
		t.Fatal(err)
	}
	// These are reasons of other conditions than Ready, and go without saying.
	obvious := map[string]bool{"NotChecked": true, "Available": true, "Synced": true}
	var reasons []string
	for _, match := range regexp.MustCompile(`(?:Reason|Event)\w+\s+= "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		reasons = append(reasons, match[1])
	}
	if len(reasons) < 10 {
		t.Fatalf("found only %v", reasons)
	}
	for _, o := range outcome.All() {
		reasons = append(reasons, string(o))
	}
	for _, reason := range reasons {
		if !obvious[reason] && !strings.Contains(string(page), "| `"+reason+"` |") {
			t.Errorf("conditions.md has no row for %s", reason)
		}
	}
}
