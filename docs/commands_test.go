// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jupico-operator/jupico-operator/docs/console"
)

// typed says which test types the blocks of a page that begin with these words. The guides that it types are in the
// test of the demo.
var typed = map[string]string{
	"README.md: kubectl apply -f dist/install.yaml": "test/e2e/readme_test.go",
	"README.md: $ kubectl create namespace shop":    "test/e2e/readme_test.go",
	"docs/tutorial.md: $":                           guides,
	"docs/how-to/multi-tenancy.md: $":               "test/install/guard_rails_test.go",
	"docs/reference/plugin.md: $":                   "internal/controller/plugin_page_test.go",
}

const guides = "hack/demo/pages_test.go"

var guide = regexp.MustCompile(`\{"(docs/[^"]+)", "([^"]+)",`)

// untyped says why no test types a block.
var untyped = map[string]string{
	"README.md: make demo":                            "make test runs the steps of the demo in " + guides,
	"docs/tutorial.md: make demo":                     "the same",
	"docs/how-to/install.md: kubectl apply":           "it is the block of the README, which a test types",
	"docs/how-to/install.md: # The same manifests.":   "it needs a registry; the end-to-end tests install with Helm",
	"docs/how-to/several-namespaces.md: helm install": "it needs Helm; the tests of hack/chart set these values",
	"docs/how-to/gitops.md: kubectl -n argocd":        "it needs Argo CD",
	"docs/how-to/plugin.md:":                          "the tests of cmd/kubectl-jupico and internal/controller run the plugin",
	"docs/how-to/production.md: kubectl jupico prove": "it asks Jupico's production",
	"docs/how-to/rotate.md:":                          "it is a rotation by hand in Backoffice",
	"docs/how-to/sources.md: sops":                    "it needs SOPS",
	"docs/how-to/sources.md: kubeseal":                "it needs Sealed Secrets",
	"docs/runbooks.md: kubectl":                       "SHOP and PAYMENTS stand for names; logs need a node",
}

func TestEveryCommandIsTypedByATestOrSaysWhyNot(t *testing.T) {
	all, left, list := 0, 0, pages(t) // which changes the directory
	entries, used := map[string]bool{}, map[string]bool{}
	for entry, path := range typed {
		if page, _, _ := strings.Cut(entry, ":"); !strings.Contains(readAll(t, path), `"`+page+`"`) {
			t.Errorf("%s does not name %s, so it types nothing of it", path, page)
		}
		entries[entry] = true
	}
	for _, match := range guide.FindAllStringSubmatch(readAll(t, guides), -1) {
		entries[match[1]+": "+match[2]] = true
	}
	for entry := range untyped {
		entries[entry] = true
	}
	for _, page := range list {
		content := readAll(t, page)
		blocks := console.Blocks(content)
		if fences := strings.Count(content, "```"); fences != 2*len(blocks) {
			t.Errorf("%s has %d fences for %d blocks: begin each at the start of a line", page, fences, len(blocks))
		}
		for _, block := range blocks {
			if block.Language != "sh" && block.Language != "console" {
				continue
			}
			found, reason := false, ""
			for entry := range entries {
				if strings.HasPrefix(page+": "+block.Text, entry) {
					found, used[entry], reason = true, true, untyped[entry]
				}
			}
			all++
			if reason != "" {
				left++
				t.Logf("not typed, as %s: %s, %q", reason, page, strings.SplitN(block.Text, "\n", 2)[0])
			}
			if !found {
				t.Errorf("no test types these commands of %s. Have one do it, or say in untyped why not:\n%s", page, block.Text)
			}
		}
	}
	t.Logf("%d of %d blocks of commands are typed by tests", all-left, all)
	for entry := range entries {
		if !used[entry] {
			t.Errorf("no block is %q", entry)
		}
	}
}

func readAll(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
