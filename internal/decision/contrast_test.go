// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestATokenIsDeliveredOnlyShortlyAfterARandomTokenWasRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.answer("good", outcome.Accepted)
	w.controlAge = m + s
	w.writeSource("good")
	w.run(h)
	if w.target() != nil {
		t.Fatalf("it was delivered:\n%s", w.dump())
	}
	w.expectReady("False/WaitingForCredential")
	if got := w.message(v1alpha1.ConditionReady); !strings.Contains(got, "is yet to be written") {
		t.Errorf("Ready says %q", got)
	}
	w.controlAge = 0
	w.run(5 * m)
	w.expectReady("True/Accepted")

	w.answer("other", outcome.Accepted)
	w.controlAge = m + s
	w.writeSource("other")
	w.run(h)
	if w.target().token != "good" {
		t.Errorf("the target holds %q", w.target().token)
	}
}

func TestAWriteThatFailsForLongIsTriedOnlyWithATokenThatWasProvenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.answer("good", outcome.Accepted)
	w.refusal = decision.Target{Problem: "error"}
	w.writeSource("good")
	w.run(10 * m)
	if n := len(w.requests); n > 12 {
		t.Errorf("%d requests were made in ten minutes", n)
	}
	w.refusal = decision.Target{}
	w.run(m + s)
	w.expectReady("True/Accepted")
}

func TestACheckThatMayLeadToADeliverySaysSo(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence    string
		happens     func(w *world)
		token       string
		forDelivery bool
	}{
		{"of a new resource", delivered, "good", true},
		{"on schedule", func(w *world) { delivered(w); w.run(6 * m) }, "good", false},
		{"after a restart", func(w *world) { delivered(w); w.restart(); w.run(6 * m) }, "good", false},
		{"after an edit of the target's keys", func(w *world) { delivered(w); w.editTarget() }, "good", false},
		{"of an edited source", func(w *world) { delivered(w); w.writeSource("bad") }, "bad", true},
		{"of a target that was changed during a restart", func(w *world) { delivered(w); w.stop(); w.tamper("evil") }, "good", true},
		{"of a standby on schedule", func(w *world) { redundant(w); w.run(6 * m) }, "key", false},
		{"of a standby that is needed", failedOver, "key", true},
		{"of a preferred credential that may come back", func(w *world) { failedOver(w); w.run(h) }, "good", true},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox)
			row.happens(w)
			last := request{}
			for _, r := range w.requests {
				if r.token == row.token {
					last = r
				}
			}
			if last.ForDelivery != row.forDelivery {
				t.Errorf("the last check of %q, at %s, says %t", row.token, last.began, last.ForDelivery)
			}
		})
	}
}

func TestAStandbyThatIsCheckedBesideTheConfirmationTakesOverAtOnce(t *testing.T) {
	t.Parallel()
	for sentence, happens := range map[string]func(w *world){
		"since it met no evidence the first time": func(w *world) {
			tries := 0
			w.hook = func(p tokenAt) outcome.Outcome {
				if p.token != "key" {
					return ""
				}
				if tries++; tries == 1 {
					return outcome.Unavailable
				}
				return ""
			}
		},
		"since it waited for its slot": func(w *world) {
			begin := w.now
			w.putOff = func(p tokenAt) time.Duration {
				if p.token == "key" && w.now.Before(begin.Add(5*m)) {
					return 2 * s
				}
				return 0
			}
		},
		"since a check was requested": func(w *world) {
			w.run(5 * m)
			w.requestCheck("now")
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox)
			redundant(w)
			w.answer("good", outcome.Rejected)
			happens(w)
			w.run(6 * m)
			if w.target().token != "key" {
				t.Errorf("the target holds %q:\n%s", w.target().token, w.dump())
			}
		})
	}
}

func TestATokenThatIsReplacedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.latency = s
	delivered(w)
	w.run(4 * m) // so that its next check is near
	w.requests = nil
	w.answer("other", outcome.Accepted)
	w.writeSource("other")
	for _, r := range w.requests {
		if r.token == "good" {
			t.Errorf("it was sent at %s", r.began)
		}
	}
}

func TestATargetIsPutRightFromMemoryWithoutACheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.run(2 * m)
	w.requests = nil
	w.tamper("evil")
	if w.target().token != "good" || len(w.requests) != 0 {
		t.Errorf("it holds %q after %d requests", w.target().token, len(w.requests))
	}
}

func TestATokenIsProvenAgainWhenItsWriteIsDelayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.answer("new", outcome.Accepted)
	w.meanwhile = func() { w.now = w.now.Add(2 * m) }
	w.writeSource("new")
	w.run(m)
	if w.target().token != "new" || w.sent("new") != 2 {
		t.Errorf("the target holds %q after %d checks:\n%s", w.target().token, w.sent("new"), w.dump())
	}
}
