// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package version

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

func TestTheTextNamesTheProgramTheVersionTheCommitAndGo(t *testing.T) {
	want := "small dev, commit unknown, " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	if got := Text("small"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAFlagOrAWordAsksForTheVersionAndNoOtherArgumentIsAllowed(t *testing.T) {
	for arguments, want := range map[string]string{
		"":                   "false <nil>",
		"--qps=2":            "false <nil>",
		"--version":          "true <nil>",
		"version":            "true <nil>",
		"--qps=2 version":    "true <nil>",
		"serve":              `false unexpected argument "serve": there are only flags, and the word version`,
		"--version serve":    `false unexpected argument "serve": there are only flags, and the word version`,
		"version of":         `false unexpected argument "of": there are only flags, and the word version`,
		"version --qps=2":    `false unexpected argument "--qps=2": there are only flags, and the word version`,
		"-- --version":       `false unexpected argument "--version": there are only flags, and the word version`,
		"--qps=2 -- version": "true <nil>",
	} {
		flags := flag.NewFlagSet("small", flag.ContinueOnError)
		flags.Int("qps", 1, "")
		asked := Flag(flags)
		if err := flags.Parse(strings.Fields(arguments)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(asked()); got != want {
			t.Errorf("%q: got %s, want %s", arguments, got, want)
		}
	}
}

// The linker says nothing if a variable does not exist.
func TestTheMakefileAndTheImageStampTheVersionAndTheCommit(t *testing.T) {
	for _, file := range []string{"../../Makefile", "../../Dockerfile", "../../hack/image/layers.go", "../../hack/release/plugin.go"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, variable := range []string{"version", "commit"} {
			if !strings.Contains(string(content), "-X github.com/jupico-operator/jupico-operator/internal/version."+variable+"=") {
				t.Errorf("%s stamps no %s", file, variable)
			}
		}
	}
}
