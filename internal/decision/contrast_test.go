// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"testing"

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
