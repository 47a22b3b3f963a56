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

// check makes the checks of a plan. The error is that of a context that ended, whose outcomes say nothing,
// or a putOffError.
func (r *Reconciler) check(
	ctx context.Context, s *sight, known *memory, plan decision.Plan,
) (decision.Outcomes, error) {
	var outcomes decision.Outcomes
	if plan.Candidate {
		result, err := r.checkCandidate(ctx, s, plan)
		if err != nil {
			return outcomes, err
		}
		outcomes.Candidate = &result
		known.remember(s.candidate, result)
	}
	isReplaced := outcomes.Candidate != nil && outcomes.Candidate.Outcome.Class() == outcome.Acceptance
	if plan.Deployed && !isReplaced {
		result, err := r.ask(ctx, s, known.deployed.endpoint, known.deployed.token)
		if err != nil {
			return outcomes, err
		}
		outcomes.Deployed = &result
	}
	return outcomes, ctx.Err()
}

// checkCandidate tries one form of a login's token or, when the plan says so and that is Rejected, the other one too.
func (r *Reconciler) checkCandidate(ctx context.Context, s *sight, plan decision.Plan,
) (decision.CandidateOutcome, error) {
	try := func(form v1alpha1.TokenForm) (decision.CandidateOutcome, error) {
		if s.caProblem != nil {
			r.metrics.checked(s.resource, *s.caProblem)
			return decision.CandidateOutcome{Result: *s.caProblem, Form: form}, nil
		}
		token := s.candidate.credential.Token(credential.Form(form))
		result, err := r.ask(ctx, s, s.candidate.endpoint, token)
		return decision.CandidateOutcome{Result: result, Form: form}, err
	}
	result, err := try(plan.Form)
	if err == nil && result.Outcome == outcome.Rejected && plan.BothForms {
		var other decision.CandidateOutcome
		other, err = try(otherForm(plan.Form))
		result = decision.MoreSpecific(result, other)
	}
	return result, err
}

// ask makes a check that begins now, so that no older answer serves. When it is put off, the reconcile begins anew
// then.
func (r *Reconciler) ask(
	ctx context.Context, s *sight, where checker.Endpoint, token credential.Token,
) (outcome.Result, error) {
	answer := r.checker.Check(ctx, checker.Request{
		Endpoint: where, Token: token, Namespace: s.resource.Namespace, NotBefore: r.clock.Now(),
	})
	if !answer.RetryAt.IsZero() {
		return outcome.Result{}, &putOffError{until: answer.RetryAt}
	}
	r.metrics.checked(s.resource, answer.Result)
	log.FromContext(ctx).V(1).Info("Checked token", "endpoint", where.URL, "outcome", answer.Outcome,
		"detail", answer.Detail, "duration", answer.Duration, "shared", answer.Shared)
	return answer.Result, nil
}

// putOffError says that a check was not made, and when to ask for it again.
type putOffError struct{ until time.Time }

func (p *putOffError) Error() string { return "the check was put off until " + p.until.String() }

// remember keeps what may be written: a token that was just accepted.
func (m *memory) remember(c *candidate, result decision.CandidateOutcome) {
	if result.Outcome.Class() == outcome.Acceptance {
		m.proven = &proof{token: c.credential.Token(credential.Form(result.Form)), endpoint: c.endpoint}
	}
}

func otherForm(form v1alpha1.TokenForm) v1alpha1.TokenForm {
	if form == v1alpha1.TokenFormTrailingNewline {
		return v1alpha1.TokenFormStandard
	}
	return v1alpha1.TokenFormTrailingNewline
}

func apiForm(form credential.Form) v1alpha1.TokenForm { return v1alpha1.TokenForm(form) }
