// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func TestMakeHelpListsEveryTarget(t *testing.T) {
	t.Chdir("..")
	help, err := exec.CommandContext(t.Context(), "make", "--no-print-directory", "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile(`(?m)^\.PHONY: (\S+)$`).FindAllStringSubmatch(readAll(t, "Makefile"), -1)
	if len(targets) < 30 {
		t.Fatalf("found only %d targets", len(targets))
	}
	for _, target := range targets {
		if !strings.Contains(string(help), "\n  "+target[1]+" ") {
			t.Errorf("make help does not list %s", target[1])
		}
	}
}
