// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"fmt"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
)

const lateKind = "death, replaced late"

// dieBefore kills the operator before its k-th write is sent.
func dieBefore(k int) trouble {
	return func(o *operator, c *call, send send) (*http.Response, error) {
		if c.number == k {
			o.kill()
		}
		return send()
	}
}

// dieAfter kills the operator after its k-th write had its effect, and before it knows of that.
func dieAfter(k int) trouble {
	return func(o *operator, c *call, send send) (*http.Response, error) {
		answer, err := send()
		if c.number == k {
			discard(answer)
			o.kill()
			return nil, errDead
		}
		return answer, err
	}
}

func discard(answer *http.Response) {
	if answer != nil {
		_ = answer.Body.Close()
	}
}

// replaceLate replaces an operator that died after the step that follows.
func replaceLate(w *world, number int, do func(), settle func()) {
	if number == 0 {
		w.isVacancy = true
	}
	wasVacant := w.isVacant()
	do()
	if wasVacant {
		w.isVacancy = false
	}
	settle()
}

// deaths lists all deaths in all scenarios.
func deaths(kind string, during func(w *world, number int, do func(), settle func())) []planned {
	each(len(scenarios), func(i int) { scenarios[i].reference() })
	var runs []planned
	for i := range scenarios {
		for k := 1; k <= scenarios[i].reference().writes; k++ {
			for point, trouble := range []trouble{dieBefore(k), dieAfter(k)} {
				runs = append(runs, planned{&scenarios[i], disturbance{
					kind: kind, point: fmt.Sprintf("dead %s write %d", []string{"before", "after"}[point], k),
					trouble: trouble, during: during,
					finish: func(w *world) { w.isVacancy = false },
				}})
			}
		}
	}
	return runs
}

var _ = Describe("An operator that dies before or after any of its writes", func() {
	It("is replaced by one that comes to the same end", func() {
		runAll("death", sample(deaths("death", nil), 11))
	})

	It("may be replaced after more has happened", func() {
		runAll(lateKind, sample(deaths(lateKind, replaceLate), 13))
	})
})
