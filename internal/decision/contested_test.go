// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestWhatAnAdmissionPolicyChangesIsSaidAndPutRightOnceAMinute(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"token", "label"} {
		for sentence, begin := range map[string]func(*world){
			"of the first delivery": accepted,
			"of a rotation": func(w *world) {
				w.alters = ""
				delivered(w)
				w.alters = part
				w.answer("next", outcome.Accepted)
				w.writeSource("next")
			},
			"of a repair": func(w *world) {
				w.alters = ""
				delivered(w)
				w.alters = part
				w.tamper("evil")
			},
		} {
			t.Run(part+" "+sentence, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, sandbox)
				w.alters = part
				begin(w)
				const contested = "False/" + v1alpha1.ReasonTargetContested
				w.expectConditions(conditions{contested, "True/Accepted", contested, "True/Available", stalled})
				said := w.message(v1alpha1.ConditionSecretSynced)
				if !strings.Contains(said, "An admission policy changed "+part) || strings.Contains(said, "rival") {
					t.Errorf("SecretSynced says %q", said)
				}
				writes := w.writes
				w.run(10 * time.Minute)
				w.touchSource()
				w.touchSource()
				if got := w.writes - writes; got < 9 || got > 13 {
					t.Errorf("it was written %d times in ten minutes", got)
				}
				w.expectReady(contested)
				if got := w.message(v1alpha1.ConditionSecretSynced); got != said {
					t.Errorf("SecretSynced says %q, and before %q", got, said)
				}

				w.alters = ""
				w.run(time.Minute)
				w.expectReady("True/Accepted")
				w.expectTarget(w.source.value)
			})
		}
	}
}

func TestATokenThatOnlyALabelWasChangedOfIsTheDeployedOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, production)
	delivered(w)
	w.alters = "label"
	w.answer("next", outcome.Accepted)
	w.writeSource("next")
	w.writeSource("bad")
	w.run(time.Hour)
	w.expectTarget("next")
	w.alters = ""
	w.run(time.Minute)
	w.expectTarget("next")
	w.expectReady("True/CandidateRejected")
}

func TestWhatAnAdmissionPolicyChangesIsNotWrittenAgainAtOnce(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"token", "label"} {
		w := newWorld(t, sandbox)
		w.alters = part
		accepted(w)
		writes := w.writes
		for range 30 {
			w.touchSource()
		}
		if got := w.writes - writes; got > 0 {
			t.Errorf("the %s was put right %d times in a row", part, got)
		}
		w.expectReady("False/TargetContested")
	}
}

func TestAPolicyThatRemovesTheAnnotationIsNotTakenForAnOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.target().owner = "" // in the very version that was written
	w.run(time.Hour)
	w.expectReady("False/TargetContested")
	if got := w.message(v1alpha1.ConditionReady); !strings.Contains(got, "An admission policy removed the annotation") {
		t.Errorf("Ready says %q", got)
	}
	writes := w.writes
	w.run(time.Hour)
	if w.writes != writes {
		t.Error("a Secret without the annotation was written")
	}

	w.target().version = w.nextVersion() // now somebody else wrote it
	w.happens()
	w.expectReady("False/TargetConflict")
}

func TestOnceAPolicyHasGoneATargetIsPutRightAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.alters = "label"
	accepted(w)
	w.expectReady("False/TargetContested")
	w.alters = ""
	w.target().generation, w.target().version = w.resource.Generation, w.nextVersion() // by hand
	w.happens()
	w.tamper("evil")
	w.expectTarget("good")
}
