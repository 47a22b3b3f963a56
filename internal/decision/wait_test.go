// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestNothingIsSaidOfAShortWaitBeforeTheFirstCheck(t *testing.T) {
	accepted := outcome.Result{Outcome: outcome.Accepted}
	for _, tc := range []struct {
		sentence   string
		generation int64 // observed
		outcome    decision.Outcome
		brief      bool
		expected   bool
	}{
		{"a short wait of a new resource", -1, decision.Outcome{RetryAt: start.Add(3 * time.Second)}, true, true},
		{"a longer wait is said", -1, decision.Outcome{RetryAt: start.Add(3001 * time.Millisecond)}, false, true},
		{"a resource that has a status keeps it up to date", 1, decision.Outcome{RetryAt: start.Add(time.Second)}, false, true},
		{"a check that was made is said", -1, decision.Outcome{Result: accepted, Began: start, Ended: start}, false, false},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			resource := &v1alpha1.JupicoCredential{}
			resource.Generation, resource.Status.ObservedGeneration = 1, tc.generation
			resource.Spec.Credentials = []v1alpha1.Credential{{Name: "main"}}
			verdict := decision.Decide(decision.Facts{Resource: resource, Now: start}, decision.Plan{},
				[]decision.Outcome{tc.outcome})
			want := time.Time{}
			if tc.brief {
				want = tc.outcome.RetryAt
			}
			if got := verdict.BriefWait(); !got.Equal(want) {
				t.Errorf("it waits in silence until %v, want %v", got, want)
			}
			if got := verdict.IsExpected(); got != tc.expected {
				t.Errorf("it is expected: %t, want %t", got, tc.expected)
			}
		})
	}
}

func TestWhoWaitsForTheContactOfAnotherHasNoSlotToLose(t *testing.T) {
	resource := &v1alpha1.JupicoCredential{}
	resource.Generation, resource.Status.ObservedGeneration = 1, -1
	plan := decision.Plan{RetryAt: start.Add(100 * time.Millisecond)}
	verdict := decision.Decide(decision.Facts{Resource: resource, Now: start}, plan, nil)
	if got := verdict.BriefWait(); !got.Equal(plan.RetryAt) {
		t.Errorf("it waits in silence until %v", got)
	}
	if verdict.IsExpected() {
		t.Error("it goes before the one that makes the contact")
	}
}
