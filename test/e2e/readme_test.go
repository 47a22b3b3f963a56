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

// document is a page for users, whose commands and manifests are to be typed as they stand.
type document string

func readme() document {
	GinkgoHelper()
	content, err := os.ReadFile(filepath.Join(root, "README.md"))
	Expect(err).NotTo(HaveOccurred())
	return document(content)
}

// block is the first block of a language below a heading.
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

// typeAll types each command of a console block, and compares what it answers, ages and widths of columns apart.
func typeAll(ctx context.Context, directory, block string) {
	GinkgoHelper()
	var command, want string
	check := func() {
		if command != "" {
			Expect(normal(typed(ctx, directory, command))).To(Equal(normal(want)), command)
		}
	}
	for line := range strings.Lines(block) {
		if next, isCommand := strings.CutPrefix(line, "$ "); isCommand {
			check()
			command, want = next, ""
			continue
		}
		want += line
	}
	check()
}

// typed types a command into a shell.
func typed(ctx context.Context, directory, command string) string {
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

func normal(output string) string {
	return space.ReplaceAllString(age.ReplaceAllString(strings.TrimSpace(output), "AGE"), " ")
}
