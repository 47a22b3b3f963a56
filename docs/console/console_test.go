// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPageSaysWhatItsCommandsPrint(t *testing.T) {
	const page = "# Title\n\n```console\n$ age\nSINCE   NAME\n5s      a\n# b\n$ # You wait.\n$ name\na\n```\n\n" +
		"```sh\n$ other\n```\n"
	broken := errors.New("broken")
	answers := map[string]string{"age": "SINCE NAME\n12m3s a\n# b\n", "# You wait.": "", "name": "a\n"}
	for _, row := range []struct {
		sentence, name string
		update         bool
		err            error
		isWrong        bool
		want           string
	}{
		{"the same but for an age", "a\n", false, nil, false, page},
		{"an age is no reason to rewrite a page", "a\n", true, nil, false, page},
		{"another output", "b\n", false, nil, true, page},
		{"another output, to be corrected", "b\n", true, nil, false, strings.Replace(page, "\na\n", "\nb\n", 1)},
		{"a command that fails", "b\n", true, broken, true, page},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			if row.update {
				t.Setenv("UPDATE_DOCS", "1")
			}
			path := filepath.Join(t.TempDir(), "page.md")
			if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
				t.Fatal(err)
			}
			answers["name"] = row.name
			err := CheckPage(path, func(line string) (string, error) {
				answer, isKnown := answers[line]
				if !isKnown {
					t.Errorf("%q was run", line)
				}
				return answer, row.err
			})
			if (err != nil) != row.isWrong {
				t.Errorf("got %v", err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != row.want {
				t.Errorf("got %v and\n%s", err, got)
			}
		})
	}
}
