// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestThePageOnFlagsListsEachOfThem(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/flags.md")
	if err != nil {
		t.Fatal(err)
	}
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	(&Options{}).BindFlags(flags)
	flags.VisitAll(func(f *flag.Flag) {
		if !strings.Contains(string(page), "`--"+f.Name+"`") {
			t.Errorf("docs/reference/flags.md does not mention --%s", f.Name)
		}
		if f.DefValue != "" && f.DefValue != "-1" && f.Name != "kube-api-burst" {
			if !strings.Contains(string(page), "| `--"+f.Name+"` | `"+f.DefValue+"`") {
				t.Errorf("docs/reference/flags.md does not give %s as the default of --%s", f.DefValue, f.Name)
			}
		}
	})
}

func TestThePagesOnReliabilityAndSecurityNameTestsThatExist(t *testing.T) {
	var pages strings.Builder
	for _, name := range []string{"reliability.md", "security.md"} {
		page, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		pages.Write(page)
	}
	named := 0
	for line := range strings.Lines(pages.String()) {
		var sources strings.Builder
		for _, file := range regexp.MustCompile("`((?:internal|cmd)/[a-z_/]+[.]go)`").FindAllStringSubmatch(line, -1) {
			source, err := os.ReadFile("../../" + file[1])
			if err != nil {
				t.Error(err)
			}
			sources.Write(source)
		}
		for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`).FindAllString(line, -1) {
			if named++; !strings.Contains(sources.String(), "func "+name+"(") {
				t.Errorf("%s is in none of the files that its line names", name)
			}
		}
	}
	if named < 50 {
		t.Errorf("the pages name %d tests", named)
	}
}
