// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A page names tests, and after them their file in parentheses.
var (
	testOrFile = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`|\\(`([^` ]+_test\\.go)`\\)")
	function   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

func TestEveryTestThatAPageNamesExists(t *testing.T) {
	checked := 0
	for _, page := range pages(t) {
		for line := range strings.Lines(readAll(t, page)) {
			var names []string
			for _, match := range testOrFile.FindAllStringSubmatch(line, -1) {
				name, path := match[1], match[2]
				if path == "" {
					names = append(names, name)
					continue
				}
				var functions []string
				for _, match := range function.FindAllStringSubmatch(readAll(t, path), -1) {
					functions = append(functions, match[1])
				}
				for _, name := range names {
					if checked++; !slices.Contains(functions, name) {
						t.Errorf("%s has no %s, which %s names", path, name, page)
					}
				}
				names = nil
			}
			if len(names) > 0 && page != "CONTRIBUTING.md" {
				t.Errorf("%s does not say in which file %q are", page, names)
			}
		}
	}
	if checked < 100 {
		t.Errorf("the pages name only %d tests", checked)
	}
}

func TestEveryBugThatIsToBePutBackStillHasItsPlace(t *testing.T) {
	t.Chdir("..")
	commands := regexp.MustCompile(`sed -i '([^']+)' (\S+\.go)`).FindAllStringSubmatch(readAll(t, "docs/reliability.md"), -1)
	if len(commands) < 4 {
		t.Fatalf("found only %d commands", len(commands))
	}
	for _, command := range commands {
		script, path := command[1], command[2]
		changed, err := exec.CommandContext(t.Context(), "sed", script, path).Output()
		if err != nil || string(changed) == readAll(t, path) {
			t.Errorf("sed '%s' changes nothing in %s (error: %v)", script, path, err)
		}
	}
}
