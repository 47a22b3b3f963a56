// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.+)$`)
	// dropped from a heading are the characters that its anchor does not have.
	dropped = regexp.MustCompile("[^a-z0-9 _-]")
)

// pages are all pages of the repository. The working directory is then its root.
func pages(t *testing.T) []string {
	t.Helper()
	t.Chdir("..")
	found, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) < 10 {
		t.Fatalf("found only %q: %v", found, err)
	}
	return found
}

// read leaves out the code.
func read(t *testing.T, path string) string {
	t.Helper()
	return codeBlock.ReplaceAllString(readAll(t, path), "")
}

// anchors are those of the headings of a page.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(page, -1) {
		plain := dropped.ReplaceAllString(strings.ToLower(match[1]), "")
		found[strings.ReplaceAll(plain, " ", "-")] = true
	}
	return found
}

func TestEveryLinkBetweenPagesLeadsSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s: %v", page, match[1], err)
				continue
			}
			if anchor != "" && !anchors(read(t, path))[anchor] {
				t.Errorf("%s links to %s, and there is no such heading", page, match[1])
			}
		}
	}
}

func TestEveryPageIsReachedFromTheReadme(t *testing.T) {
	all, reached := pages(t), map[string]bool{}
	var follow func(page string)
	follow = func(page string) {
		if reached[page] || filepath.Ext(page) != ".md" {
			return
		}
		reached[page] = true
		for _, match := range link.FindAllStringSubmatch(read(t, page), -1) {
			if target, _, _ := strings.Cut(match[1], "#"); target != "" && !strings.Contains(target, "://") {
				follow(filepath.Join(filepath.Dir(page), target))
			}
		}
	}
	follow("README.md")
	for _, page := range all {
		if !reached[page] {
			t.Errorf("no link leads to %s", page)
		}
	}
}
