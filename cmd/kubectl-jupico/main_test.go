// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/jupico-operator/jupico-operator/internal/version"
)

func TestThePluginPrintsItsVersionAndRefusesAnUnknownCommand(t *testing.T) {
	for argument, want := range map[string]string{
		"version":   version.Text("kubectl-jupico") + "\n",
		"--version": version.Text("kubectl-jupico") + "\n",
		"revoke":    `unknown command "revoke" for "kubectl jupico"`,
	} {
		streams, _, output, _ := genericiooptions.NewTestIOStreams()
		command := newCommand(streams)
		command.SetArgs([]string{argument})
		if err := command.Execute(); err != nil {
			output.WriteString(err.Error())
		}
		if output.String() != want {
			t.Errorf("%s: got %q, want %q", argument, output, want)
		}
	}
}

func TestEveryCommandIsShownInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/plugin.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range newCommand(genericiooptions.NewTestIOStreamsDiscard()).Commands() {
		if command.Name() == "version" {
			continue // each build prints something else
		}
		if !strings.Contains(string(page), "\n$ kubectl jupico "+command.Name()+" ") {
			t.Errorf("docs/reference/plugin.md runs no %q", command.Name())
		}
	}
}
