// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// check makes the checks of a plan, and those that their outcomes ask for. The only error is that of a context that
// ended, whose outcomes say nothing.
func (r *Reconciler) check(
	ctx context.Context, s *sight, known *memory, plan decision.Plan,
) ([]decision.Outcome, error) {
	var outcomes []decision.Outcome
	for _, check := range plan.Checks {
		if check.Entry == decision.Deployed && decision.IsReplaced(s.facts, plan, outcomes) {
			continue
		}
		outcomes = append(outcomes, r.make(ctx, s, known, check))
	}
	for _, check := range decision.FollowUp(s.facts, outcomes) {
		outcomes = append(outcomes, r.make(ctx, s, known, check))
	}
	return outcomes, ctx.Err()
}

// make checks one form of a login's token or, when the check says so and that is Rejected, the other one too.
func (r *Reconciler) make(ctx context.Context, s *sight, known *memory, check decision.Check) decision.Outcome {
	if check.Entry == decision.Deployed {
		return r.ask(ctx, s, check, *known.deployed)
	}
	c := s.candidates[check.Entry]
	try := func(form v1alpha1.TokenForm) decision.Outcome {
		if s.caProblem != nil {
			r.metrics.checked(s.resource, *s.caProblem)
			return decision.Outcome{Entry: check.Entry, Result: *s.caProblem, Form: form}
		}
		token := proof{token: c.credential.Token(credential.Form(form)), endpoint: c.endpoint}
		result := r.ask(ctx, s, check, token)
		result.Form = form
		if result.RetryAt.IsZero() && result.Outcome.Class() == outcome.Acceptance {
			known.entry(s.resource.Spec.Credentials[check.Entry].Name).proven = &token // and so may be written
		}
		return result
	}
	result := try(check.Form)
	if result.RetryAt.IsZero() && result.Outcome == outcome.Rejected && check.BothForms {
		check.Urgent = true // a round of two forms is not broken up
		return decision.MoreSpecific(result, try(otherForm(check.Form)))
	}
	return result
}

func (r *Reconciler) ask(ctx context.Context, s *sight, check decision.Check, what proof) decision.Outcome {
	began := r.clock.Now()
	result := r.checker.Check(ctx, what.endpoint, what.token)
	r.metrics.checked(s.resource, result)
	log.FromContext(ctx).V(1).Info("Checked token", "endpoint", what.endpoint.URL, "outcome", result.Outcome,
		"detail", result.Detail, "duration", result.Duration)
	return decision.Outcome{Entry: check.Entry, Result: result, Began: began, Ended: r.clock.Now()}
}

func otherForm(form v1alpha1.TokenForm) v1alpha1.TokenForm {
	if form == v1alpha1.TokenFormTrailingNewline {
		return v1alpha1.TokenFormStandard
	}
	return v1alpha1.TokenFormTrailingNewline
}

func apiForm(form credential.Form) v1alpha1.TokenForm { return v1alpha1.TokenForm(form) }
