// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// check makes the checks of a plan. The only error is that of a context that ended, whose outcomes say nothing.
func (r *Reconciler) check(
	ctx context.Context, s *sight, known *memory, plan decision.Plan,
) (decision.Outcomes, error) {
	var outcomes decision.Outcomes
	if plan.Candidate {
		result := r.checkCandidate(ctx, s, plan)
		outcomes.Candidate = &result
		known.remember(s.candidate, result)
	}
	isReplaced := outcomes.Candidate != nil && outcomes.Candidate.Outcome.Class() == outcome.Acceptance
	if plan.Deployed && !isReplaced {
		result := r.ask(ctx, s, known.deployed.endpoint, known.deployed.token)
		outcomes.Deployed = &result
	}
	return outcomes, ctx.Err()
}

// checkCandidate tries one form of a login's token or, when the plan says so and that is Rejected, the other one too.
func (r *Reconciler) checkCandidate(ctx context.Context, s *sight, plan decision.Plan) decision.CandidateOutcome {
	try := func(form v1alpha1.TokenForm) decision.CandidateOutcome {
		if s.caProblem != nil {
			r.metrics.checked(s.resource, *s.caProblem)
			return decision.CandidateOutcome{Result: *s.caProblem, Form: form}
		}
		token := s.candidate.credential.Token(credential.Form(form))
		return decision.CandidateOutcome{Result: r.ask(ctx, s, s.candidate.endpoint, token), Form: form}
	}
	result := try(plan.Form)
	if result.Outcome == outcome.Rejected && plan.BothForms {
		return decision.MoreSpecific(result, try(otherForm(plan.Form)))
	}
	return result
}

func (r *Reconciler) ask(
	ctx context.Context, s *sight, where checker.Endpoint, token credential.Token,
) outcome.Result {
	result := r.checker.Check(ctx, where, token)
	r.metrics.checked(s.resource, result)
	log.FromContext(ctx).V(1).Info("Checked token", "endpoint", where.URL, "outcome", result.Outcome,
		"detail", result.Detail, "duration", result.Duration)
	return result
}

// remember keeps what may be written: a token that was just accepted.
func (m *memory) remember(c *candidate, result decision.CandidateOutcome) {
	if result.Outcome.Class() == outcome.Acceptance {
		m.proven = &proof{c.origin, c.credential.Token(credential.Form(result.Form)), c.endpoint}
	}
}

func otherForm(form v1alpha1.TokenForm) v1alpha1.TokenForm {
	if form == v1alpha1.TokenFormTrailingNewline {
		return v1alpha1.TokenFormStandard
	}
	return v1alpha1.TokenFormTrailingNewline
}

func apiForm(form credential.Form) v1alpha1.TokenForm { return v1alpha1.TokenForm(form) }
