// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestWorkflowsPinActionsByCommitAndHaveNoRightsByDefault(t *testing.T) {
	workflows, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yml"))
	if err != nil || len(workflows) < 4 {
		t.Fatalf("found %q, %v", workflows, err)
	}
	uses := regexp.MustCompile(`(?m)^.*\buses:.*$`)
	pinned := regexp.MustCompile(`^ +- uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	versions := map[string]string{}
	for _, path := range workflows {
		workflow := readFile(t, path)
		if !strings.Contains(workflow, "\npermissions: {}\n") {
			t.Errorf("%s does not begin without rights", path)
		}
		for _, line := range uses.FindAllString(workflow, -1) {
			if !pinned.MatchString(line) {
				t.Errorf("%s does not pin an action by its commit and say the version: %s", path, line)
				continue
			}
			action, version, _ := strings.Cut(strings.TrimSpace(line), "@")
			if other, exists := versions[action]; exists && other != version {
				t.Errorf("%s has %s, and another workflow %s", path, version, other)
			}
			versions[action] = version
		}
	}
}
