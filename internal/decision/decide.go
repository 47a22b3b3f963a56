// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Verdict is what is held of both tokens after the checks, and what may be done to the target.
type Verdict struct {
	// Deploy: the candidate was accepted, and is to take its place in the target.
	Deploy bool
	// Keep: the deployed token may be written again where the target drifted.
	Keep bool
	// Accepted: the token that these are about was accepted by a check of this very evaluation.
	Accepted bool

	facts     Facts
	history   history
	announced bool
	checked   bool
	// last is the result of this evaluation that speaks of the spec's endpoint. Nil when there is none.
	last *outcome.Result
}

// Decide enters the outcomes of the planned checks.
func Decide(f Facts, plan Plan, outcomes Outcomes) Verdict {
	v := Verdict{facts: f, history: recall(f), announced: plan.Announce}
	v.enter(outcomes)
	h := v.history
	if plan.Announce || f.Resource.Spec.Suspend {
		return v
	}
	accepted := h.candidate.Verdict == v1alpha1.VerdictAccepted
	v.Deploy = accepted && f.proven(outcomes) && (h.deployed == nil || h.parted)
	v.Keep = !v.Deploy && v.mayKeep(outcomes)
	v.Accepted = outcomes.accepted(v.Keep && h.parted)
	return v
}

// accepted reports whether a check was an acceptance of the candidate or, once they have parted, of the deployed token.
func (o Outcomes) accepted(deployed bool) bool {
	if deployed {
		return o.Deployed != nil && o.Deployed.Outcome.Class() == outcome.Acceptance
	}
	return o.Candidate != nil && o.Candidate.Outcome.Class() == outcome.Acceptance
}

// enter advances the records by what came of the checks.
func (v *Verdict) enter(outcomes Outcomes) {
	f, h := v.facts, &v.history
	now := f.Now.Truncate(time.Second)
	schedule := scheduleOf(f.Resource)
	v.checked = outcomes.Deployed != nil || outcomes.Candidate != nil
	if result := outcomes.Deployed; result != nil {
		if v.deployedSpeaksOfEndpoint() {
			v.last = result
		}
		schedule.enter(&h.deployed.CheckRecord, *result, f.CheckRequested, now)
	}
	if result := outcomes.Candidate; result != nil {
		v.last = &result.Result
		schedule.enterRound(&h.candidate.CheckRecord, *result, f.CheckRequested || f.SpecEdited(), now)
		v.settleForm(result)
	}
	if !h.parted && h.deployed != nil {
		h.deployed.CheckRecord = h.candidate.CheckRecord
	}
}

// deployedSpeaksOfEndpoint reports whether a check of the deployed token, once parted, is one of the spec's endpoint
// too: not at another URL, nor where the candidate met no evidence, since that may be for its TLS settings.
func (v *Verdict) deployedSpeaksOfEndpoint() bool {
	candidate := v.history.candidate
	metNoEvidence := candidate.Verdict == v1alpha1.VerdictUnknown && candidate.LastCheckTime != nil
	return v.history.deployed.Endpoint == v.facts.Endpoint && !metNoEvidence
}

// settleForm notes the form that was accepted or, before there was one, recognised. When the deployed token is of the
// other form, the two have parted.
func (v *Verdict) settleForm(result *CandidateOutcome) {
	h := &v.history
	isDeployed := h.deployed != nil && !h.parted
	switch {
	case result.Outcome.Class() == outcome.Acceptance:
		h.parted = h.parted || isDeployed && h.candidate.TokenForm != result.Form
	case result.Outcome.Class() == outcome.Rejection && result.OtherRejected && !isDeployed:
	default:
		return
	}
	h.candidate.TokenForm = result.Form
}

// proven reports whether this process saw the candidate accepted, be it just now.
func (f Facts) proven(outcomes Outcomes) bool {
	return f.Source.Proven || outcomes.accepted(false)
}

func (v *Verdict) mayKeep(outcomes Outcomes) bool {
	h := v.history
	if h.deployed == nil || h.deployed.Verdict != v1alpha1.VerdictAccepted {
		return false // a rejected token is left where it is, but never written again
	}
	return v.facts.Deployed.Known || !h.parted && v.facts.proven(outcomes)
}

// enter advances a record. Whoever asks for a check, or edits the spec, starts the waits after rejections anew.
func (s schedule) enter(record *v1alpha1.CheckRecord, result outcome.Result, anew bool, now time.Time) {
	if anew && record.Verdict != v1alpha1.VerdictAccepted {
		record.ConsecutiveRejected = 0
	}
	s.advance(record, result.Outcome, now)
	if asked := min(result.RetryAfter, longestRetry); asked > record.NextCheckTime.Sub(now) {
		record.NextCheckTime = timestamp(now.Add(asked))
	}
}

// enterRound enters a round of up to two forms. One form was Rejected, and the other met no evidence: then there is no
// verdict yet, but a rejection that counts, so that the round is repeated soon, and then less and less often.
func (s schedule) enterRound(record *v1alpha1.CheckRecord, round CandidateOutcome, anew bool, now time.Time) {
	s.enter(record, round.Result, anew, now)
	if round.OtherRejected && !round.Outcome.IsEvidence() && record.Verdict != v1alpha1.VerdictAccepted {
		record.ConsecutiveRejected++
		if record.ConsecutiveRejected > 1 {
			record.NextCheckTime = timestamp(now.Add(s.latch(record)))
		}
	}
}

// MoreSpecific chooses between the results of a login's two forms, when the first was Rejected: an acceptance of the
// second, a more telling rejection, or no evidence, since the round then is not finished.
func MoreSpecific(first, second CandidateOutcome) CandidateOutcome {
	if second.Outcome == outcome.Rejected {
		return first
	}
	second.OtherRejected = true
	return second
}
