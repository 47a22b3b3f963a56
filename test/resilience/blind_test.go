// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"fmt"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// blind is a way in which watches may fail for the time of a step.
type blind struct {
	name   string
	before func(l *line)
	// isTicking: the operator still sees changes of resources.
	isTicking bool
	after     func(l *line)
}

var blindness = []blind{
	{"all watches are frozen", freezeAll, false, (*line).thaw},
	{"the watch of Secrets is frozen", freezeSecrets, true, (*line).thaw},
	{"all watches are silent, then cut", freezeAll, false, (*line).cut},
	{"the watch of Secrets is silent, then cut", freezeSecrets, true, (*line).cut},
	{"all watches are cut", (*line).cut, false, func(*line) {}},
}

func freezeAll(l *line)     { l.freeze("secrets", "configmaps", "jupicocredentials") }
func freezeSecrets(l *line) { l.freeze("secrets") }

// during disturbs the step of that number.
func (b blind) during(number int) func(w *world, n int, do func(), settle func()) {
	return func(w *world, n int, do func(), settle func()) {
		if n != number {
			do()
			settle()
			return
		}
		b.before(w.current().line)
		do()
		if b.isTicking {
			w.pass(brief, 3)
		} else {
			w.await("the operator comes to rest", (*operator).isIdle)
		}
		b.after(w.current().line)
		settle()
	}
}

// stopBefore stops the operator before its k-th write, as if its machine were suspended.
func stopBefore(k int) trouble {
	return func(o *operator, c *call, send send) (*http.Response, error) {
		if c.number == k {
			o.line.hold()
			o.line.waitForRelease()
		}
		return send()
	}
}

// wakeFirst lets the first operator go on that was stopped. For a moment, two of them work. Then it notices that it is
// no longer the leader, and ends.
func wakeFirst(w *world) {
	w.mu.Lock()
	first := w.operators[0]
	w.mu.Unlock()
	if !first.line.isHeld() {
		return
	}
	w.current() // so that there is another one
	first.line.release()
	w.g.Eventually(first.isIdle, soon, "3ms").Should(BeTrue(), "the former leader comes to rest")
	first.kill()
}

// wakesUp is the disturbance by an operator that was stopped before its k-th write, and goes on in the end, or at the
// end of the same step.
func wakesUp(k int, inTheEnd bool) disturbance {
	d := disturbance{
		kind: "two operators", point: fmt.Sprintf("stopped before write %d, until the end of the step", k),
		trouble: stopBefore(k),
		during: func(w *world, _ int, do func(), settle func()) {
			do()
			settle()
			wakeFirst(w)
			settle()
		},
	}
	if inTheEnd {
		d.point = fmt.Sprintf("stopped before write %d, until the end", k)
		d.during = nil
		d.finish = func(w *world) {
			w.rest()
			wakeFirst(w)
		}
	}
	return d
}

var _ = Describe("An operator", func() {
	It("whose watches freeze, hang or end comes to the same end", func() {
		each(len(scenarios), func(i int) { scenarios[i].reference() })
		var runs []planned
		for i := range scenarios {
			for number := range scenarios[i].steps {
				for _, b := range blindness {
					if b.isTicking && number == 0 {
						continue // without a first list of Secrets, the operator does not begin to work
					}
					point := fmt.Sprintf("%s in step %d", b.name, number+1)
					runs = append(runs, planned{&scenarios[i], disturbance{kind: "watches", point: point, during: b.during(number)}})
				}
			}
		}
		runAll("watches", sample(runs, 17))
	})

	It("that was the leader, and wakes up late, changes nothing", func() {
		each(len(scenarios), func(i int) { scenarios[i].reference() })
		var runs []planned
		for i := range scenarios {
			for k := 1; k <= scenarios[i].reference().writes; k++ {
				runs = append(runs, planned{&scenarios[i], wakesUp(k, k%2 == 0)})
			}
		}
		runAll("two operators", sample(runs, 11))
	})
})
