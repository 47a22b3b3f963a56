//go:build e2e

// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// document is a page for users. Its commands and manifests must work exactly as they are.
type document string

func readme() document {
	GinkgoHelper()
	content, err := os.ReadFile(filepath.Join(root, "README.md"))
	Expect(err).NotTo(HaveOccurred())
	return document(content)
}

// block returns the first code block in the given language below a heading.
func (d document) block(heading, language string) string {
	GinkgoHelper()
	_, section, found := strings.Cut(string(d), "\n"+heading+"\n")
	Expect(found).To(BeTrue(), "the heading %s", heading)
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, found := strings.Cut(section, "\n```"+language+"\n")
	Expect(found).To(BeTrue(), "a block of %s below %s", language, heading)
	block, _, found = strings.Cut(block, "\n```")
	Expect(found).To(BeTrue())
	return block + "\n"
}

// runConsole runs each command of a console block, and compares its output, except for ages and the widths of columns.
func runConsole(ctx context.Context, directory, block string) {
	GinkgoHelper()
	var command, want string
	runLast := func() {
		if command != "" {
			Expect(normal(runCommand(ctx, directory, command))).To(Equal(normal(want)), command)
		}
	}
	for line := range strings.Lines(block) {
		if next, isCommand := strings.CutPrefix(line, "$ "); isCommand {
			runLast()
			command, want = next, ""
			continue
		}
		want += line
	}
	runLast()
}

// runCommand runs a command in a shell, and returns its output.
func runCommand(ctx context.Context, directory, command string) string {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, "bash", "-ec", command)
	cmd.Dir = directory
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(kubectlBin)+":"+os.Getenv("PATH"))
	output, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s\n%s", command, output)
	return string(output)
}

var (
	age   = regexp.MustCompile(`\b([0-9]+[smh])+\b`)
	space = regexp.MustCompile(` +`)
)

// normal replaces ages, and runs of spaces, by a fixed text.
func normal(output string) string {
	return space.ReplaceAllString(age.ReplaceAllString(strings.TrimSpace(output), "AGE"), " ")
}
