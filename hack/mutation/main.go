// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command mutation reports what gremlins found in one package: how many mutants were killed, which survived, and the
// score. It fails if the score, without the survivors that mean nothing, is below 90 %.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// leastScore is the share of mutants that the tests of a package must kill, in percent.
const leastScore = 90

// What became of a mutant. The first two are words of gremlins.
const (
	killed      = "KILLED"
	lived       = "LIVED"
	notCovered  = "NOT COVERED" // it lived, and no test reaches it
	meaningless = "LISTED"      // it lived, and means nothing
	notViable   = "NOT VIABLE"  // it does not compile
)

// mutant is a change of one operator.
type mutant struct {
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Type   string `json:"type"`
	Status string `json:"status"`

	file string
	// function and expression tell where it is, however many lines are added above.
	function   string
	expression string
	isCovered  bool
}

// settings are the flags.
type settings struct {
	pkg       string // relative to the repository's root
	source    string // its directory
	result    string
	profile   string
	survivors string
	timeouts  string
}

func main() {
	var s settings
	flag.StringVar(&s.pkg, "package", "", "`name` of the package")
	flag.StringVar(&s.source, "source", "", "`directory` of the package")
	flag.StringVar(&s.result, "result", "", "`file` that gremlins wrote")
	flag.StringVar(&s.profile, "profile", "", "coverage `file` of the package's tests")
	flag.StringVar(&s.survivors, "survivors", "", "`file` with the survivors that mean nothing")
	flag.StringVar(&s.timeouts, "timeouts", "", "`file` with a line for each mutant whose tests did not end in time")
	flag.Parse()
	isGood, err := run(s)
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "mutation: %v\n", err)
	}
	if err != nil || !isGood {
		os.Exit(1)
	}
}

func run(s settings) (isGood bool, err error) {
	mutants, err := readResult(s.result)
	if err != nil {
		return false, err
	}
	coverage, err := readCoverage(s.profile)
	if err != nil {
		return false, err
	}
	if err := locate(s.source, mutants, coverage); err != nil {
		return false, err
	}
	listed, err := readListed(s.survivors, s.pkg)
	if err != nil {
		return false, err
	}
	timeouts, err := os.ReadFile(s.timeouts)
	if err != nil {
		return false, err
	}
	return report(s.pkg, mutants, listed, strings.Count(string(timeouts), "\n")), nil
}

func readResult(path string) ([]*mutant, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var result struct {
		Files []struct {
			Name      string    `json:"file_name"`
			Mutations []*mutant `json:"mutations"`
		} `json:"files"`
	}
	if err := json.Unmarshal(content, &result); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var mutants []*mutant
	for _, file := range result.Files {
		for _, m := range file.Mutations {
			m.file = filepath.Base(file.Name)
			mutants = append(mutants, m)
		}
	}
	slices.SortFunc(mutants, func(a, b *mutant) int {
		return strings.Compare(fmt.Sprintf("%s:%6d:%4d %s", a.file, a.Line, a.Column, a.Type),
			fmt.Sprintf("%s:%6d:%4d %s", b.file, b.Line, b.Column, b.Type))
	})
	return mutants, nil
}

// report prints what became of the mutants of a package, and returns whether that is good enough. Of those that were
// killed, timeouts were by tests that did not end in time.
func report(pkg string, mutants []*mutant, listed map[string]bool, timeouts int) bool {
	counts, survived := map[string]int{}, map[string]bool{}
	for _, m := range mutants {
		became := m.outcome(listed)
		counts[became]++
		survived[m.key()] = survived[m.key()] || m.Status == lived
		if became == lived || became == notCovered {
			fmt.Printf("%s: %s\n", strings.ToLower(became), m)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(listed)) {
		if !survived[key] {
			fmt.Printf("listed, but killed or gone: %s\n", key)
		}
	}
	score := 100 * float64(counts[killed]) / float64(max(1, counts[killed]+counts[lived]+counts[notCovered]))
	isGood := score >= leastScore
	verdict := ""
	if !isGood {
		verdict = fmt.Sprintf(", below %d %%", leastScore)
	}
	fmt.Printf("%s: %d killed (%d of them timed out), %d lived, %d not covered, %d listed as meaning nothing, "+
		"%d not viable: score %.1f %%%s\n", pkg, counts[killed], timeouts, counts[lived], counts[notCovered],
		counts[meaningless], counts[notViable], score, verdict)
	return isGood
}

// outcome returns what became of a mutant. All that gremlins has other words for could not be compiled.
func (m *mutant) outcome(listed map[string]bool) string {
	switch {
	case m.Status == killed:
		return killed
	case m.Status != lived:
		return notViable
	case listed[m.key()]:
		return meaningless
	case !m.isCovered:
		return notCovered
	default:
		return lived
	}
}

// String is where a mutant is, in a form that can be put into the list of survivors.
func (m *mutant) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.file, m.Line, m.Column, m.key())
}

// key identifies a mutant in the list of survivors.
func (m *mutant) key() string {
	return strings.Join([]string{m.function, m.Type, m.expression}, separator)
}
