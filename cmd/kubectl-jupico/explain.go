// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jupico-operator/jupico-operator/docs"
)

func (c *cli) newExplainCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "explain [REASON]",
		Short:   "Say what the reason of a condition or an event means, and what to do",
		Example: "  kubectl jupico explain CandidateRejected",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return reasonNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				c.printf("%s\n", strings.Join(reasonNames(), "\n"))
				return nil
			}
			return c.explain(args[0])
		},
	}
}

func (c *cli) explain(name string) error {
	found := false
	for _, r := range reasons() {
		if !strings.EqualFold(r.name, name) {
			continue
		}
		found = true
		c.printf("%s\n", r.name)
		for _, part := range r.parts {
			c.printf("  %s: %s\n", part.heading, part.text)
		}
	}
	if !found {
		return fmt.Errorf("there is no reason %q: kubectl jupico explain lists all", name)
	}
	return nil
}

// reason is a row of a table in the docs.
type reason struct {
	name  string
	parts []part
}

// part is a cell of that row, and the heading of its column.
type part struct{ heading, text string }

var reasonCell = regexp.MustCompile("^`([A-Z][A-Za-z]+)`$")

// reasons reads the tables of the page about conditions and events.
func reasons() []reason {
	var found []reason
	var headings []string
	for line := range strings.Lines(docs.Conditions) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			headings = nil
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if headings == nil {
			headings = cells
			continue
		}
		r := reason{}
		for i, cell := range cells {
			if match := reasonCell.FindStringSubmatch(cell); match != nil && r.name == "" {
				r.name = match[1]
			} else if i < len(headings) {
				r.parts = append(r.parts, part{headings[i], strings.ReplaceAll(cell, "`", "")})
			}
		}
		if r.name != "" {
			found = append(found, r)
		}
	}
	return found
}

func reasonNames() []string {
	var names []string
	for _, r := range reasons() {
		names = append(names, r.name)
	}
	return names
}
