// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// verdict is what is held of all tokens after the checks, and what may be done to the target.
type verdict struct {
	// deploy: the candidate of entry was accepted, and is to take its place in the target.
	deploy bool
	// keep: the deployed token may be written again where the target drifted. It is the candidate of entry, or
	// deployedToken.
	keep  bool
	entry int
	// acceptedNow: the token that these are about was accepted by a check of this very round.
	acceptedNow bool

	facts   *facts
	history history
	results []checkResult
	// checked: at least one check was made.
	checked bool
	// last is the result of this round that is about the spec's endpoint. Nil when there is none.
	last *checkResult
	// rejection is the result of this round that rejected the deployed token. Nil when there is none.
	rejection *checkResult
	// retryAt is when a check that was deferred is to be tried again. Zero when all were made.
	retryAt time.Time
}

// decide enters the results of the checks, and decides what is to become of the target.
func decide(f *facts, results []checkResult) *verdict {
	v := enter(f, results)
	if f.Resource.Spec.Suspend {
		return v
	}
	v.entry = v.choose()
	v.deploy = v.entry != deployedToken
	if !v.deploy {
		v.keep, v.entry = v.mayKeep(), v.history.active
	}
	v.acceptedNow = v.isAcceptedNow(v.entry)
	return v
}

// briefWait is how long a new resource may wait for its first check before its status says so: many resources that come
// together would each cost one write more.
const briefWait = 2 * time.Second

// silentUntil returns when to come back where the first round came to nothing but a short wait. Else it is zero.
func (v *verdict) silentUntil() time.Time {
	isFirst := v.facts.status.ObservedGeneration < 0
	if !isFirst || v.checked || v.retryAt.Sub(v.facts.Now) > briefWait {
		return time.Time{}
	}
	return v.retryAt
}

// replacesDeployed reports whether one of the results is an acceptance of what takes the deployed token's place, so
// that nothing more need be known of that.
func replacesDeployed(f *facts, results []checkResult) bool {
	v := decide(f, results)
	return v.deploy && v.acceptedNow
}

// enter advances the records by the results of the checks.
func enter(f *facts, results []checkResult) *verdict {
	v := &verdict{facts: f, history: recall(f), results: results, entry: deployedToken}
	h := &v.history
	for i := range results {
		r := &results[i]
		if r.isDeferred() {
			v.retryAt = earliest(v.retryAt, r.RetryAt)
			continue
		}
		v.checked = true
		if r.entry == h.active && r.isRejection() {
			v.rejection = r
		}
		if r.entry == deployedToken {
			v.applyDeployed(r)
		} else {
			v.applyCandidate(r)
		}
	}
	return v
}

func (v *verdict) applyDeployed(r *checkResult) {
	if v.isDeployedAtEndpoint() {
		v.noteEndpoint(r)
	}
	f := v.facts
	scheduleOf(f.Resource).enter(&v.history.deployed.CheckRecord, &r.Answer, f.isCheckRequested(), f.Now)
}

func (v *verdict) applyCandidate(r *checkResult) {
	f, h := v.facts, &v.history
	v.noteEndpoint(r)
	record := &h.entries[r.entry].CheckRecord
	scheduleOf(f.Resource).applyForms(record, r, f.isCheckRequested(), f.Now)
	v.settleForm(r)
	if r.entry == h.active {
		h.deployed.CheckRecord = *record
	}
}

// noteEndpoint records what a result says about the endpoint. Among several, evidence outweighs the lack of it.
func (v *verdict) noteEndpoint(r *checkResult) {
	if v.last == nil || r.Outcome.IsEvidence() {
		v.last = r
	}
}

// isDeployedAtEndpoint reports whether a check of the deployed token, once it diverged, is about the spec's endpoint
// too: not at another URL, nor where a candidate met no evidence, since that may be due to its TLS settings.
func (v *verdict) isDeployedAtEndpoint() bool {
	for i := range v.history.entries {
		candidate := &v.history.entries[i]
		if candidate.Verdict == v1alpha1.VerdictUnknown && candidate.LastCheckTime != nil {
			return false
		}
	}
	return v.history.deployed.Endpoint == v.facts.Endpoint.URL
}

// settleForm records the form that was accepted or, before there was one, recognised. When the deployed token is of the
// other form, the two have diverged.
func (v *verdict) settleForm(r *checkResult) {
	h := &v.history
	entry := &h.entries[r.entry]
	isDeployed := r.entry == h.active
	if r.isAcceptance() && isDeployed && entry.TokenForm != r.form {
		h.active = deployedToken
	}
	if r.isAcceptance() || r.isRejection() && r.otherRejected && !isDeployed {
		entry.TokenForm = r.form
	}
}

// choose returns the entry whose candidate is to be deployed, or deployedToken when the target is to stay as it is.
func (v *verdict) choose() int {
	h := &v.history
	for i := range h.entries {
		var isChosen bool
		switch {
		case i == h.active:
			if !h.isDeployedRejected() {
				return deployedToken // the first is preferred
			}
		case v.isDeferred(i):
			return deployedToken
		case !v.isDeployable(i):
		case h.deployed == nil:
			isChosen = true
		case h.isDeployedRejected():
			isChosen = !v.facts.isHeld(h, i) && v.acceptedAfterRejection(i)
		default:
			isChosen = v.facts.isPreferred(h, i)
		}
		if isChosen {
			return i
		}
	}
	return deployedToken
}

// isDeferred reports whether a check of the entry could not be made yet. What comes after it then waits, unless the
// deployed token is rejected.
func (v *verdict) isDeferred(i int) bool {
	if v.history.isDeployedRejected() {
		return false
	}
	return slices.ContainsFunc(v.results, func(r checkResult) bool { return r.entry == i && r.isDeferred() })
}

// isDeployable reports whether a candidate is accepted beyond doubt, and may be written.
func (v *verdict) isDeployable(i int) bool {
	record := &v.history.entries[i].CheckRecord
	return record.Verdict == v1alpha1.VerdictAccepted && record.ConsecutiveRejected == 0 && v.facts.mayBeWritten(i)
}

// isPreferred reports whether a candidate goes before a deployed token that is not rejected. An edit acts at once, and
// the way back after a rejection takes two acceptances in a row.
func (f *facts) isPreferred(h *history, i int) bool {
	entry := &h.entries[i]
	switch rank := h.rank(); {
	case i > rank, i == h.active:
		return false
	case i == rank, rank == len(h.entries): // its source, or one that is no longer asked for, made the deployed token
		return true
	default:
		return f.isSpecEdited() || f.targetLagsSpec() || entry.LastRejected == nil || entry.ConsecutiveAccepted > 1
	}
}

// acceptedAfterRejection reports whether a candidate was accepted, in this round, by a check that began after the
// deployed token was rejected; or in an earlier one, when it could not be written then.
func (v *verdict) acceptedAfterRejection(i int) bool {
	rejected := v.history.deployed.LastRejected
	if rejected == nil {
		return true // in a status that somebody edited
	}
	since, accepted := v.rejectedSince(), v.history.entries[i].LastAcceptedTime
	beganAfter := func(r checkResult) bool { return r.entry == i && r.isAcceptance() && !r.Began.Before(since) }
	return slices.ContainsFunc(v.results, beganAfter) ||
		v.facts.lastWriteFailed() && accepted != nil && !accepted.Before(&rejected.Time)
}

// rejectedSince is when the deployed token was rejected last. In this round, that is known to a fraction of a second.
func (v *verdict) rejectedSince() time.Time {
	switch rejected := v.history.deployed.LastRejected; {
	case v.rejection != nil:
		return v.rejection.Ended
	case rejected == nil:
		return time.Time{} // in a status that somebody edited
	default:
		return rejected.Time.Time
	}
}

// isHeld reports whether an entry has to wait before it takes over. Only one behind the deployed token's has to.
func (f *facts) isHeld(h *history, i int) bool {
	return i > h.rank() && !f.failoverHeldUntil(h).IsZero()
}

// failoverHeldUntil is until when a standby waits, because the deployed token was rejected together with most
// credentials of the endpoint. Zero when it does not wait.
func (f *facts) failoverHeldUntil(h *history) time.Time {
	if !h.isDeployedRejected() || h.deployed.LastRejected == nil || !h.deployed.LastRejected.MassRejection {
		return time.Time{}
	}
	since := f.Now
	// In f.status, a time ahead of the clock has been corrected. Here it has to be seen.
	accepted := meta.FindStatusCondition(f.Resource.Status.Conditions, v1alpha1.ConditionCredentialAccepted)
	switch {
	case accepted == nil || accepted.Status != metav1.ConditionFalse:
	case f.isAhead(&accepted.LastTransitionTime):
		return time.Time{} // nobody knows how long it has waited
	default:
		since = accepted.LastTransitionTime.Time
	}
	if until := since.Add(min(scheduleOf(f.Resource).interval, longestMassHold)); f.Now.Before(until) {
		return until
	}
	return time.Time{}
}

func (v *verdict) isAcceptedNow(i int) bool {
	return slices.ContainsFunc(v.results, func(r checkResult) bool { return r.entry == i && r.isAcceptance() })
}

func (v *verdict) mayKeep() bool {
	h := &v.history
	if h.deployed == nil || h.deployed.Verdict != v1alpha1.VerdictAccepted {
		return false // a rejected token is left where it is, but never written again
	}
	f := v.facts
	switch {
	case f.isDeployedKnown():
		return true
	case h.active == deployedToken:
		return false
	case f.mayDiffer(), f.lastWriteFailed():
		return f.mayBeWritten(h.active)
	default: // the target holds it, as far as is known
		return f.provenOf(h.active) != nil
	}
}

// moreSpecific chooses between the results of a login's two forms, when the first was Rejected: an acceptance of the
// second, a more telling rejection, or no evidence, since the check then is not finished.
func moreSpecific(first, second checkResult) checkResult {
	if !second.isDeferred() && second.Outcome == outcome.Rejected {
		first.bothRejected = true
		return first
	}
	second.otherRejected = true
	return second
}
