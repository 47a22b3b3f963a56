// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"flag"
	"os"
	"strings"
	"testing"
)

func TestTheReadmeListsEveryFlag(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	(&Options{}).BindFlags(flags)
	flags.VisitAll(func(f *flag.Flag) {
		if !strings.Contains(string(readme), "`--"+f.Name+"`") {
			t.Errorf("README.md does not mention --%s", f.Name)
		}
		if f.DefValue != "" && f.DefValue != "-1" && f.Name != "kube-api-burst" {
			if !strings.Contains(string(readme), "| `--"+f.Name+"` | `"+f.DefValue+"`") {
				t.Errorf("README.md does not give %s as the default of --%s", f.DefValue, f.Name)
			}
		}
	})
}
