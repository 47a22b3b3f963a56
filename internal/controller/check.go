// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
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
		return r.ask(ctx, s, check, known.deployed, time.Time{})
	}
	entry := known.entry(s.resource.Spec.Credentials[check.Entry].Name)
	try := func(form v1alpha1.TokenForm) decision.Outcome {
		if s.caProblem != nil {
			r.metrics.checked(s.resource, *s.caProblem)
			return decision.Outcome{Entry: check.Entry, Result: *s.caProblem, Form: form}
		}
		token := entry.token(s.candidates[check.Entry], credential.Form(form))
		result := r.ask(ctx, s, check, token, entry.editedAt)
		result.Form = form
		if result.RetryAt.IsZero() && result.Outcome.Class() == outcome.Acceptance {
			entry.proven = token // and so may be written
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

// ask has a token checked, by a request or by another resource's that serves as well. It may be put off.
func (r *Reconciler) ask(
	ctx context.Context, s *sight, check decision.Check, what *proof, edited time.Time,
) decision.Outcome {
	answer := r.checker.Check(ctx, checker.Request{
		Endpoint: what.endpoint, Token: what.token, Lane: laneOf(s.resource),
		NotBefore: check.NotBefore, Known: what.began, Edited: edited, Latch: decision.LongestLatch(s.resource),
		Urgent: check.Urgent,
	})
	log := log.FromContext(ctx).V(1)
	if !answer.RetryAt.IsZero() {
		log.Info("Put check off", "endpoint", what.endpoint.URL, "until", answer.RetryAt)
		return decision.Outcome{Entry: check.Entry, RetryAt: answer.RetryAt}
	}
	s.asked = append(s.asked, asked{check.Entry, what, answer.Began})
	ended := answer.Began
	if !answer.Shared {
		ended = r.clock.Now()
		r.metrics.checked(s.resource, answer.Result)
	}
	log.Info("Checked token", "endpoint", what.endpoint.URL, "outcome", answer.Outcome, "detail", answer.Detail,
		"duration", answer.Duration, "shared", answer.Shared)
	return decision.Outcome{
		Entry: check.Entry, Result: answer.Result, Began: answer.Began, Ended: ended,
		LatchedUntil: answer.LatchedUntil, Mass: answer.MassRejection,
	}
}

// laneOf shares the slots fairly between namespaces. What was never delivered does not queue behind what was.
func laneOf(resource *v1alpha1.JupicoCredential) string {
	if isNew(resource) {
		return resource.Namespace + "/new"
	}
	return resource.Namespace
}

func otherForm(form v1alpha1.TokenForm) v1alpha1.TokenForm {
	if form == v1alpha1.TokenFormTrailingNewline {
		return v1alpha1.TokenFormStandard
	}
	return v1alpha1.TokenFormTrailingNewline
}

func apiForm(form credential.Form) v1alpha1.TokenForm { return v1alpha1.TokenForm(form) }
