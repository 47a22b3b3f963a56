// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/jupico-operator/jupico-operator/docs/console"
)

const tutorial = "docs/tutorial.md"

// directory is that of a demo, as the tutorial shows it.
var directory = regexp.MustCompile(`/tmp/jupico-demo-[0-9]+`)

// UPDATE_DOCS=1 writes the outputs that have changed into the page.
func TestTheTutorialShowsWhatItsCommandsPrint(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS must name the directory of etcd, kube-apiserver and kubectl: run make controlplane")
	}
	t.Chdir("../..")
	content, err := os.ReadFile(tutorial)
	if err != nil {
		t.Fatal(err)
	}
	var commands []console.Command
	for _, block := range console.Blocks(string(content)) {
		if block.Language == "console" {
			commands = append(commands, block.Commands()...)
		}
	}
	if len(commands) < 10 {
		t.Fatalf("%s has only %d commands", tutorial, len(commands))
	}
	shown := directory.FindString(commands[0].Typed)
	page, rest := "", string(content)
	for i, got := range typeAll(t, startDemo(t), commands) {
		want := commands[i]
		got.Output = directory.ReplaceAllLiteralString(got.Output, shown)
		if console.Normal(got.Output) == console.Normal(want.Output) {
			got = want
		} else if os.Getenv("UPDATE_DOCS") == "" {
			t.Errorf("$ %sprints\n%s\nand %s shows\n%s", want.Typed, got.Output, tutorial, want.Output)
		}
		before, after, _ := strings.Cut(rest, want.String())
		page, rest = page+before+got.String(), after
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		return
	}
	if err := os.WriteFile(tutorial, []byte(page+rest), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startDemo takes the demo to where the tutorial begins.
func startDemo(t *testing.T) *demo {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	programs := t.TempDir()
	for program, source := range map[string]string{
		"manager": "./cmd", "jupico-emulator": "./cmd/jupico-emulator", "kubectl-jupico": "./cmd/kubectl-jupico",
	} {
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", programs+"/"+program, source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	t.Setenv("TMPDIR", os.TempDir()) // newDemo sets another one
	d, err := newDemo(programs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	for _, step := range d.steps() {
		if err := step.do(t.Context()); err != nil {
			d.explain(t.Context())
			t.Fatalf("%s: %v", step.title, err)
		}
	}
	return d
}

// typeAll types the commands into one shell, and returns them with what they print.
func typeAll(t *testing.T, d *demo, commands []console.Command) []console.Command {
	t.Helper()
	const end = "\x1e\n"
	script := ""
	for _, command := range commands {
		script += directory.ReplaceAllLiteralString(command.Typed, d.dir) + "printf '\\036\\n'\n"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", script)
	output, err := shell.CombinedOutput()
	outputs := strings.Split(string(output), end)
	if err != nil || len(outputs) != len(commands)+1 {
		d.explain(t.Context())
		t.Fatalf("the commands printed %d outputs: %v\n%s", len(outputs)-1, err, output)
	}
	typed := make([]console.Command, 0, len(commands))
	for i, command := range commands {
		typed = append(typed, console.Command{Typed: command.Typed, Output: outputs[i]})
	}
	return typed
}
