// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func TestEveryCommandIsShownInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/plugin.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range newCommand(genericiooptions.NewTestIOStreamsDiscard()).Commands() {
		if !strings.Contains(string(page), "\n$ kubectl jupico "+command.Name()+" ") {
			t.Errorf("docs/reference/plugin.md runs no %q", command.Name())
		}
	}
}
