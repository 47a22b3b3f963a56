// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
)

const program = `package p

var limit = 1 << 3

type t struct{ n int }

func (x *t) isSmall(least int) bool {
	return x.n >
		least &&
		x.n < limit
}
`

// profile says that no test reaches the function.
const profile = "mode: set\nexample.com/p/p.go:7.37,11.2 1 0\n"

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAMutantIsNamedByItsFunctionAndExpression(t *testing.T) {
	missed, err := readCoverage(write(t, "profile", profile))
	if err != nil {
		t.Fatal(err)
	}
	for want, m := range map[string]*mutant{
		"declaration | INVERT_BITWISE | 1 << 3":                   {Line: 3, Column: 15, Type: "INVERT_BITWISE"},
		"t.isSmall | CONDITIONALS_BOUNDARY | x.n > least":         {Line: 8, Column: 13, Type: "CONDITIONALS_BOUNDARY"},
		"t.isSmall | INVERT_LOGICAL | x.n > least && x.n < limit": {Line: 9, Column: 9, Type: "INVERT_LOGICAL"},
		"t.isSmall | CONDITIONALS_NEGATION | x.n < limit":         {Line: 10, Column: 7, Type: "CONDITIONALS_NEGATION"},
	} {
		m.file = "p.go"
		if err := locate(filepath.Dir(write(t, "p.go", program)), []*mutant{m}, missed); err != nil {
			t.Fatal(err)
		}
		if m.key() != want || m.isCovered != (m.Line == 3) {
			t.Errorf("got %s, covered %t, want %s", m.key(), m.isCovered, want)
		}
	}
}

func TestAPackageNeedsMostOfItsMutantsKilledButThoseThatAreListed(t *testing.T) {
	listed, err := readListed(write(t, "survivors.txt", "# a comment\n\n"+
		"p | f | CONDITIONALS_BOUNDARY | a < b | both are the same here\n"+
		"q | f | CONDITIONALS_BOUNDARY | c < d | of another package\n"), "p")
	if err != nil {
		t.Fatal(err)
	}
	mutants := func(killed int, expressions ...string) []*mutant {
		made := []*mutant{{Status: "NOT VIABLE"}}
		for range killed {
			made = append(made, &mutant{Status: "KILLED"})
		}
		for _, expression := range expressions {
			made = append(made, &mutant{
				Status: "LIVED", Type: "CONDITIONALS_BOUNDARY", function: "f", expression: expression, isCovered: true,
			})
		}
		return made
	}
	for sentence, row := range map[string]struct {
		mutants []*mutant
		want    bool
	}{
		"nine of ten":                   {mutants(9, "x < y"), true},
		"eight of nine":                 {mutants(8, "x < y"), false},
		"all but a listed one":          {mutants(1, "a < b"), true},
		"listed for another package":    {mutants(1, "c < d"), false},
		"a listed one and another":      {mutants(8, "a < b", "x < y"), false},
		"two that are alike and listed": {mutants(1, "a < b", "a < b"), true},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got := report("p", row.mutants, listed, 0); got != row.want {
				t.Errorf("it is good enough: %t", got)
			}
		})
	}
	if _, err := readListed(write(t, "survivors.txt", "p | f | a < b | three fields are missing"), "p"); err == nil {
		t.Error("a line with too few fields is no error")
	}
}
