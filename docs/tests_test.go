// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEveryTestThatAPageNamesExists(t *testing.T) {
	list := pages(t)
	functions := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (path == "bin" || path == ".git") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			for _, match := range function.FindAllStringSubmatch(readAll(t, path), -1) {
				functions[match[1]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, page := range list {
		for _, match := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllStringSubmatch(readAll(t, page), -1) {
			named++
			if !functions[match[1]] {
				t.Errorf("%s names %s, which does not exist", page, match[1])
			}
		}
	}
	if named < 100 {
		t.Errorf("the pages name only %d tests", named)
	}
}

func TestEveryBugThatIsToBePutBackStillCanBe(t *testing.T) {
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
