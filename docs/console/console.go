// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package console reads the commands in the pages for users, so that tests can type them.
package console

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Block is a block of code of a page.
type Block struct {
	Language string
	Text     string
}

var fenced = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// Blocks returns the blocks of a page, in their order.
func Blocks(page string) []Block {
	var blocks []Block
	for _, match := range fenced.FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, Block{Language: match[1], Text: match[2]})
	}
	return blocks
}

// Command is what somebody types, and what is printed then.
type Command struct {
	Typed  string
	Output string
}

// Commands returns the commands of a block with prompts. A line that ends with a backslash goes on in the next one.
func (b Block) Commands() []Command {
	var commands []Command
	continued := false
	for line := range strings.Lines(b.Text) {
		typed, isPrompt := strings.CutPrefix(line, "$ ")
		switch {
		case continued:
			commands[len(commands)-1].Typed += line
		case isPrompt:
			commands = append(commands, Command{Typed: typed})
		case len(commands) > 0:
			commands[len(commands)-1].Output += line
		}
		continued = (continued || isPrompt) && strings.HasSuffix(line, "\\\n")
	}
	return commands
}

// String is the command with its prompt, and its output.
func (c Command) String() string { return "$ " + c.Typed + c.Output }

var (
	changes = regexp.MustCompile(`\b([0-9]+(ms|[smhd]))+\b|\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+Z|127\.0\.0\.1:[0-9]+`)
	spaces  = regexp.MustCompile(` +`)
)

// Normal replaces what is different each time (ages, times, ports, widths of columns) by something that is the same.
func Normal(output string) string {
	return spaces.ReplaceAllString(changes.ReplaceAllString(strings.TrimSpace(output), "…"), " ")
}

// CheckPage has the commands in the console blocks of a page typed, one after the other, and compares what they print
// with what the page shows. With UPDATE_DOCS=1 in the environment, it writes what differs into the page instead. A
// command such as "# You revoke the key." is a step that whoever types has to do.
func CheckPage(path string, typeCommand func(command string) (output string, err error)) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	page, rest, wrong := "", string(content), ""
	for _, block := range Blocks(rest) {
		if block.Language != "console" {
			continue
		}
		for _, command := range block.Commands() {
			before, after, _ := strings.Cut(rest, command.String())
			output, err := typeCommand(strings.TrimSuffix(command.Typed, "\n"))
			if err != nil {
				return fmt.Errorf("%s: %w", command.Typed, err)
			}
			if Normal(output) != Normal(command.Output) {
				command.Output = strings.TrimRight(output, "\n") + "\n"
				wrong += command.String()
			}
			page, rest = page+before+command.String(), after
		}
	}
	switch {
	case wrong == "":
		return nil
	case os.Getenv("UPDATE_DOCS") == "1":
		return os.WriteFile(path, []byte(page+rest), 0o644) //nolint:gosec // a page is for everybody
	default:
		return fmt.Errorf("%s differs from what its commands print; UPDATE_DOCS=1 corrects it. They print:\n%s", path, wrong)
	}
}
