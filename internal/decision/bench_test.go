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

// BenchmarkUnchangedCheck plans, decides and concludes about a token that is accepted once more.
func BenchmarkUnchangedCheck(b *testing.B) {
	facts, plan, accepted := deployed()
	b.ReportAllocs()
	for b.Loop() {
		if decision.NewPlan(facts).IsEmpty() {
			b.Fatal("nothing is due")
		}
		verdict := decision.Decide(facts, plan, accepted)
		if status, _ := decision.Conclude(verdict, decision.Target{Holds: true}); status.NextCheckTime == nil {
			b.Fatal("no next check")
		}
	}
}

// deployed is a resource whose token was delivered and is due, and what a check of it comes to.
func deployed() (decision.Facts, decision.Plan, []decision.Outcome) {
	resource := newWorld(&testing.T{}, v1alpha1.EnvironmentSandbox).resource
	facts := decision.Facts{Resource: resource, Now: start, Endpoint: sandboxURL}
	facts.Sources[0].Login = true
	facts.Sources[0].Status = &v1alpha1.SourceStatus{UID: "source", ResourceVersion: "1"}
	outcomes := []decision.Outcome{{
		Result: outcome.Result{Outcome: outcome.Accepted}, Form: v1alpha1.TokenFormStandard, Began: start, Ended: start,
	}}
	verdict := decision.Decide(facts, decision.NewPlan(facts), outcomes)
	target := decision.Target{Holds: true, Status: &v1alpha1.TargetStatus{
		Name: targetName, UID: "target", ResourceVersion: "2", Keys: []string{"authorization", "token", "url"},
		ObservedGeneration: 1,
	}}
	resource.Status, _ = decision.Conclude(verdict, target)

	facts.Now = start.Add(5 * time.Minute)
	source := &facts.Sources[0]
	source.Record, source.Proven, source.MakesDeployed, source.DeployedForm = "main", true, true, v1alpha1.TokenFormStandard
	facts.DeployedKnown = true
	outcomes[0].Began, outcomes[0].Ended = facts.Now, facts.Now
	return facts, decision.NewPlan(facts), outcomes
}
