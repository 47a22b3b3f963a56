// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
)

// parallel is how many runs there are at a time.
const parallel = 8

// disturbance is what is done to the operator in a run.
type disturbance struct {
	kind, point string
	// trouble with the API server that the first operator has.
	trouble trouble
	// isLasting: its successors have it too.
	isLasting bool
	// during is called around a step and the time after it. Nil: nothing else happens.
	during func(w *world, number int, do func(), settle func())
	// finish is called after the last step. It may be nil.
	finish func(w *world)
}

// result is what came of a run.
type result struct {
	state         string
	violations    []string
	log           string
	calls, checks int
	writes        int // of the first operator
}

// run runs a scenario in a world of its own. It is to end in a state, or in any when that is empty.
func (s *scenario) run(d disturbance, want string) (r result) {
	var w *world
	defer func() {
		if problem := recover(); problem != nil {
			stopped, isStopped := problem.(stop)
			if !isStopped || w == nil {
				panic(problem)
			}
			w.violated("%s", stopped.why)
		}
		w.close()
		w.report(&r)
	}()
	w = newWorld()
	w.isUndisturbed = d.kind == ""
	if d.isLasting {
		w.successorTrouble = d.trouble
	}
	w.write("bystander", map[string][]byte{"password": []byte("untouched")})
	w.startOperator(d.trouble)
	for i, step := range s.steps {
		if d.during == nil {
			step.do(w)
			w.settle()
		} else {
			d.during(w, i, func() { step.do(w) }, w.settle)
		}
		w.finishStep(step)
	}
	if d.finish != nil {
		d.finish(w)
	}
	w.rest()
	r.state = w.state()
	w.consumer.catchUp()
	if want != "" && r.state != want && (d.kind != lateKind || !slices.ContainsFunc(s.late, isEnd(r.state))) {
		w.violated("the state in the end is another one:%s", difference(r.state, want))
	}
	return r
}

// finishStep looks at what a step led to. A run that is disturbed may be late.
func (w *world) finishStep(s step) {
	if w.isUndisturbed && s.ready != "" {
		if state := w.state(); !strings.Contains(state, readyLine(s.ready)) {
			w.violated("a step did not lead to %s, but to\n%s", s.ready, state)
		}
	}
}

func readyLine(ready string) string { return "payments Ready=" + ready + "\n" }

// report adds to a result what was counted and noted in a world.
func (w *world) report(r *result) {
	for _, a := range []*api{w.api, w.otherAPI} {
		for _, often := range a.tooOften() {
			w.violated("%s", often)
		}
		a.mu.Lock()
		r.checks += a.requests
		a.mu.Unlock()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.violations = w.violations
	for i, o := range w.operators {
		o.line.mu.Lock()
		r.calls += o.line.calls
		if i == 0 {
			r.writes = o.line.writes
		}
		o.line.mu.Unlock()
	}
	if len(r.violations) > 0 {
		r.log = w.log.last(25)
	}
}

// references are the results of the scenarios without any disturbance.
var references = func() map[string]func() result {
	made := map[string]func() result{}
	for i := range scenarios {
		made[scenarios[i].name] = sync.OnceValue(func() result { return scenarios[i].run(disturbance{}, "") })
	}
	return made
}()

func (s *scenario) reference() result { return references[s.name]() }

// figures are what is printed of a kind of disturbance, or of one scenario under it.
type figures struct {
	name                        string
	runs, converged, violations int
	calls, checks               int
	// usualCalls and usualChecks are those of as many runs without a disturbance.
	usualCalls, usualChecks int
}

func (f *figures) add(r, reference *result) {
	f.runs++
	f.calls, f.checks = f.calls+r.calls, f.checks+r.checks
	f.usualCalls, f.usualChecks = f.usualCalls+reference.calls, f.usualChecks+reference.checks
	f.violations += len(r.violations)
	if len(r.violations) == 0 {
		f.converged++
	}
}

func (f *figures) String() string {
	return fmt.Sprintf("%-46s %4d runs, %4d converged, %d violations, calls %d (usually %d), checks %d (usually %d)\n",
		f.name, f.runs, f.converged, f.violations, f.calls, f.usualCalls, f.checks, f.usualChecks)
}

var (
	printedMu sync.Mutex
	printed   strings.Builder
)

// summary is what the suite prints in the end.
func summary() string {
	printedMu.Lock()
	defer printedMu.Unlock()
	return printed.String()
}

// record notes the figures of a kind of disturbance, and of each scenario if there are enough runs.
func record(kind string, runs []planned, results []result) {
	total := &figures{name: kind}
	byScenario := map[string]*figures{}
	for i := range runs {
		s := runs[i].scenario
		reference := s.reference()
		if byScenario[s.name] == nil {
			byScenario[s.name] = &figures{name: "  " + s.name}
		}
		total.add(&results[i], &reference)
		byScenario[s.name].add(&results[i], &reference)
	}
	printedMu.Lock()
	defer printedMu.Unlock()
	total.name = fmt.Sprintf("%s, %d scenarios", kind, len(byScenario))
	printed.WriteString(total.String())
	if kind == hostileKind {
		for _, name := range slices.Sorted(maps.Keys(byScenario)) {
			printed.WriteString(byScenario[name].String())
		}
	}
}

// planned is a run to be made.
type planned struct {
	scenario    *scenario
	disturbance disturbance
}

// sample selects every n-th run, beginning with one that the seed selects, or all.
func sample(runs []planned, n int) []planned {
	if isFull {
		return runs
	}
	random := rand.New(rand.NewPCG(seed, uint64(len(runs))))
	var chosen []planned
	for i := random.IntN(n); i < len(runs); i += n {
		chosen = append(chosen, runs[i])
	}
	return chosen
}

// each calls a function for all indexes, a few at a time.
func each(n int, do func(i int)) {
	indexes := make(chan int)
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for i := range indexes {
				func() {
					defer GinkgoRecover()
					do(i)
				}()
			}
		})
	}
	for i := range n {
		indexes <- i
	}
	close(indexes)
	workers.Wait()
}

// The most that a disturbance may cost, in calls of the API server and in checks.
const (
	mostTimes = 4
	mostMore  = 80
)

// runAll makes runs, and fails when one of them did not end as it would have undisturbed.
func runAll(kind string, runs []planned) {
	GinkgoHelper()
	results := make([]result, len(runs))
	each(len(runs), func(i int) {
		s := runs[i].scenario
		results[i] = s.run(runs[i].disturbance, s.reference().state)
	})
	var failures strings.Builder
	for i := range runs {
		s, r, reference := runs[i].scenario, &results[i], runs[i].scenario.reference()
		if r.calls > mostTimes*reference.calls+mostMore || r.checks > mostTimes*reference.checks+mostMore {
			r.violations = append(r.violations, fmt.Sprintf("%d calls and %d checks, and %d and %d without a disturbance",
				r.calls, r.checks, reference.calls, reference.checks))
		}
		if len(r.violations) > 0 {
			fmt.Fprintf(&failures, "\n%s, %s:\n    %s\n%s\n", s.name, runs[i].disturbance.point,
				strings.Join(r.violations, "\n    "), r.log)
		}
	}
	record(kind, runs, results)
	if failures.Len() > 0 {
		Fail(failures.String())
	}
}

var _ = Describe("The operator", func() {
	It("brings each scenario to its end when nothing disturbs it", func() {
		each(len(scenarios), func(i int) { scenarios[i].reference() })
		var failures strings.Builder
		runs, results := make([]planned, len(scenarios)), make([]result, len(scenarios))
		for i := range scenarios {
			s, r := &scenarios[i], scenarios[i].reference()
			runs[i].scenario, results[i] = s, r
			results[i].violations = append(slices.Clone(r.violations), s.end.compare(r.state)...)
			if len(results[i].violations) > 0 {
				fmt.Fprintf(&failures, "\n%s:\n    %s\n%s\n%s\n", s.name, strings.Join(results[i].violations, "\n    "),
					r.state, r.log)
			}
		}
		record("no disturbance", runs, results)
		if failures.Len() > 0 {
			Fail(failures.String())
		}
	})
})

// compare says in what a state is not this end.
func (e end) compare(state string) []string {
	var problems []string
	if !strings.Contains(state, readyLine(e.ready)) {
		problems = append(problems, "Ready is not "+e.ready)
	}
	isTold := strings.Contains(state, "payments observed=true\npayments told=true\n")
	if strings.HasPrefix(e.ready, "True/") && !isTold {
		problems = append(problems, "the status does not tell of the target as it is")
	}
	names := map[string]bool{}
	for line := range strings.Lines(state) {
		if words := strings.Fields(line); words[0] == "Secret" {
			names[words[1]] = true
		}
	}
	var sorted []string
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	if got := strings.Join(sorted, " "); got != e.secrets {
		problems = append(problems, fmt.Sprintf("the Secrets are %q, want %q", got, e.secrets))
	}
	return problems
}

func isEnd(state string) func(end) bool {
	return func(e end) bool { return len(e.compare(state)) == 0 }
}
