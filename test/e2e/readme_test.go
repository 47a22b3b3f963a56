//go:build e2e

// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/jupico-operator/jupico-operator/docs/console"
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
	for _, command := range (console.Block{Text: block}).Commands() {
		output := runCommand(ctx, directory, command.Typed)
		Expect(console.Normal(output)).To(Equal(console.Normal(command.Output)), command.Typed)
	}
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
