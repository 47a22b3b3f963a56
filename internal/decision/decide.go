// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"slices"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Verdict is what is held of all tokens after the checks, and what may be done to the target.
type Verdict struct {
	// Deploy: the candidate of Entry was accepted, and is to take its place in the target.
	Deploy bool
	// Keep: the deployed token may be written again where the target drifted. It is the candidate of Entry, or Deployed.
	Keep  bool
	Entry int
	// Accepted: the token that these are about was accepted by a check of this very evaluation.
	Accepted bool

	facts     Facts
	history   history
	outcomes  []Outcome
	announced bool
	checked   bool
	// last is the result of this evaluation that speaks of the spec's endpoint. Nil when there is none.
	last *Outcome
	// rejection is the outcome of this evaluation that rejected the deployed token. Nil when there is none.
	rejection *Outcome
	// waits: that rejection was just confirmed, and most credentials of the endpoint were rejected with it.
	waits bool
	// retryAt is when a check that could not be made is to be tried again. Zero when all were made.
	retryAt time.Time
}

// Decide enters the outcomes of the planned checks, and decides what is to become of the target.
func Decide(f Facts, plan Plan, outcomes []Outcome) Verdict {
	v := enter(f, outcomes)
	v.announced, v.retryAt = plan.Announce, Earliest(v.retryAt, plan.RetryAt)
	if plan.Announce || f.Resource.Spec.Suspend {
		return v
	}
	v.Entry = v.choose()
	v.Deploy = v.Entry != Deployed
	if !v.Deploy {
		v.Keep, v.Entry = v.mayKeep(), v.history.active
	}
	v.Accepted = v.acceptedNow(v.Entry)
	return v
}

// briefWait is how long a new resource may wait for its first check without a word.
const briefWait = 3 * time.Second

// BriefWait returns when to come back where a first look came to nothing but a short wait for a slot, of which nothing
// need be said: many resources that come together would each cost a write more. Else it is zero.
func (v *Verdict) BriefWait() time.Time {
	if !IsFirst(v.facts.Resource) || v.announced || v.checked || v.retryAt.Sub(v.facts.Now) > briefWait {
		return time.Time{}
	}
	return v.retryAt
}

// IsFirst reports whether nothing was ever said of a resource.
func IsFirst(resource *v1alpha1.JupicoCredential) bool { return resource.Status.ObservedGeneration < 0 }

// IsExpected reports whether a check is yet to be made that was announced, or that waits for its slot.
func (v *Verdict) IsExpected() bool {
	return v.announced || slices.ContainsFunc(v.outcomes, func(o Outcome) bool { return !o.RetryAt.IsZero() })
}

// IsReplaced reports whether one of the outcomes is an acceptance of what takes the deployed token's place, so that
// nothing more need be known of that.
func IsReplaced(f Facts, plan Plan, outcomes []Outcome) bool {
	v := Decide(f, plan, outcomes)
	return v.Deploy && v.acceptedNow(v.Entry)
}

// enter advances the records by what came of the checks.
func enter(f Facts, outcomes []Outcome) Verdict {
	v := Verdict{facts: f, history: recall(f), outcomes: outcomes, Entry: Deployed}
	h := &v.history
	wasRejected := h.deployed != nil && h.deployed.Verdict == v1alpha1.VerdictRejected
	for i := range outcomes {
		o := &outcomes[i]
		if !o.RetryAt.IsZero() {
			v.retryAt = Earliest(v.retryAt, o.RetryAt)
			continue
		}
		v.checked = true
		if o.Entry == h.active && h.deployed != nil && o.isRejection() {
			v.rejection = o
		}
		if o.Entry == Deployed {
			v.enterDeployed(o)
		} else {
			v.enterCandidate(o)
		}
	}
	isRejected := h.deployed != nil && h.deployed.Verdict == v1alpha1.VerdictRejected
	v.waits = v.rejection != nil && v.rejection.Mass && isRejected && !wasRejected
	return v
}

func (v *Verdict) enterDeployed(o *Outcome) {
	if v.deployedSpeaksOfEndpoint() {
		v.speaks(o)
	}
	scheduleOf(v.facts.Resource).enter(&v.history.deployed.CheckRecord, o, v.facts.checkRequested(), v.facts.Now)
}

func (v *Verdict) enterCandidate(o *Outcome) {
	f, h := v.facts, &v.history
	v.speaks(o)
	record := &h.entries[o.Entry].CheckRecord
	scheduleOf(f.Resource).enterRound(record, o, f.checkRequested() || f.SpecEdited(), f.Now)
	v.settleForm(o)
	if o.Entry == h.active {
		h.deployed.CheckRecord = *record
	}
}

// speaks notes what an outcome says of the endpoint. In a round of several, evidence outweighs the lack of it.
func (v *Verdict) speaks(o *Outcome) {
	if v.last == nil || o.Outcome.IsEvidence() {
		v.last = o
	}
}

// deployedSpeaksOfEndpoint reports whether a check of the deployed token, once parted, is one of the spec's endpoint
// too: not at another URL, nor where a candidate met no evidence, since that may be for its TLS settings.
func (v *Verdict) deployedSpeaksOfEndpoint() bool {
	for i := range v.history.entries {
		candidate := &v.history.entries[i]
		if candidate.Verdict == v1alpha1.VerdictUnknown && candidate.LastCheckTime != nil {
			return false
		}
	}
	return v.history.deployed.Endpoint == v.facts.Endpoint
}

// settleForm notes the form that was accepted or, before there was one, recognised. When the deployed token is of the
// other form, the two have parted.
func (v *Verdict) settleForm(o *Outcome) {
	h := &v.history
	entry := &h.entries[o.Entry]
	isDeployed := h.deployed != nil && o.Entry == h.active
	switch {
	case o.isAcceptance() && isDeployed && entry.TokenForm != o.Form:
		h.active = Deployed
	case o.isAcceptance():
	case o.isRejection() && o.OtherRejected && !isDeployed:
	default:
		return
	}
	entry.TokenForm = o.Form
}

// choose returns the entry whose candidate is to be deployed, or Deployed when the target is to stay as it is.
func (v *Verdict) choose() int {
	h := &v.history
	for i := range h.entries {
		var chosen bool
		switch {
		case i == h.active:
			if h.deployed.Verdict != v1alpha1.VerdictRejected {
				return Deployed // the first is preferred
			}
		case v.isPutOff(i):
			return Deployed
		case !v.isDeployable(i):
		case h.deployed == nil:
			chosen = true
		case h.deployed.Verdict == v1alpha1.VerdictRejected:
			chosen = !v.waits && v.acceptedAfterRejection(i)
		default:
			chosen = v.isPreferred(i)
		}
		if chosen {
			return i
		}
	}
	return Deployed
}

// isPutOff reports whether a check of the entry could not be made yet. What comes after it then waits, unless the
// deployed token is rejected.
func (v *Verdict) isPutOff(i int) bool {
	if d := v.history.deployed; d != nil && d.Verdict == v1alpha1.VerdictRejected {
		return false
	}
	return slices.ContainsFunc(v.outcomes, func(o Outcome) bool { return o.Entry == i && !o.RetryAt.IsZero() })
}

// isDeployable reports whether a candidate is accepted beyond doubt, and this process saw it.
func (v *Verdict) isDeployable(i int) bool {
	record := &v.history.entries[i].CheckRecord
	return v.facts.Sources[i].Problem == "" && record.Verdict == v1alpha1.VerdictAccepted &&
		record.ConsecutiveRejected == 0 && v.proven(i)
}

// isPreferred reports whether a candidate goes before a deployed token that is not rejected. An edit acts at once, also
// when its write has to be tried again, and the way back after a rejection takes two acceptances in a row.
func (v *Verdict) isPreferred(i int) bool {
	entry := &v.history.entries[i]
	switch rank := v.history.rank(); {
	case i > rank:
		return false
	case i == rank, rank == len(v.history.entries): // what this source, or one that is not asked for any more, held before
		return true
	default:
		return v.facts.SpecEdited() || v.facts.Unwritten() || entry.LastRejected == nil || entry.ConsecutiveAccepted > 1
	}
}

// acceptedAfterRejection reports whether a candidate was accepted, in this round, by a check that began after the
// deployed token was rejected; or in an earlier one, when it could not be written then.
func (v *Verdict) acceptedAfterRejection(i int) bool {
	rejected := v.history.deployed.LastRejected
	if rejected == nil {
		return true // a status that somebody edited
	}
	since := rejected.Time.Time
	if v.rejection != nil {
		since = v.rejection.Ended
	}
	begunAfter := func(o Outcome) bool { return o.Entry == i && o.isAcceptance() && !o.Began.Before(since) }
	accepted := v.history.entries[i].LastAcceptedTime
	return slices.ContainsFunc(v.outcomes, begunAfter) ||
		v.facts.Unwritten() && accepted != nil && !accepted.Before(&rejected.Time)
}

// proven reports whether this process saw a candidate accepted, be it just now.
func (v *Verdict) proven(i int) bool { return v.facts.Sources[i].Proven || v.acceptedNow(i) }

func (v *Verdict) acceptedNow(i int) bool {
	return slices.ContainsFunc(v.outcomes, func(o Outcome) bool { return o.Entry == i && o.isAcceptance() })
}

func (v *Verdict) mayKeep() bool {
	h := &v.history
	if h.deployed == nil || h.deployed.Verdict != v1alpha1.VerdictAccepted {
		return false // a rejected token is left where it is, but never written again
	}
	return v.facts.DeployedKnown || h.active != Deployed && v.proven(h.active)
}

// enter advances a record. Whoever asks for a check, or edits the spec, starts the waits after rejections anew.
func (s schedule) enter(record *v1alpha1.CheckRecord, o *Outcome, anew bool, now time.Time) {
	if anew && record.Verdict != v1alpha1.VerdictAccepted {
		record.ConsecutiveRejected = 0
	}
	at := now
	if o.Outcome.IsEvidence() && !o.Ended.IsZero() {
		at = o.Ended // whose ever request it was: what falls together is checked together the next time too
	}
	s.advance(record, o.Outcome, at.Truncate(time.Second))
	earliest := now.Add(max(min(o.RetryAfter, longestRetry), shortestWait))
	if o.LatchedUntil.After(earliest) && record.Verdict == v1alpha1.VerdictRejected { // and so confirmed
		earliest = o.LatchedUntil
	}
	if record.NextCheckTime.Time.Before(earliest) {
		record.NextCheckTime = timestamp(earliest.Add(time.Second - 1)) // not a moment too early
	}
}

// enterRound enters a round of up to two forms. One form was Rejected, and the other met no evidence: then there is no
// verdict yet, but a rejection that counts, so that the round is repeated soon, and then less and less often.
func (s schedule) enterRound(record *v1alpha1.CheckRecord, round *Outcome, anew bool, now time.Time) {
	s.enter(record, round, anew, now)
	if round.OtherRejected && !round.Outcome.IsEvidence() && record.Verdict != v1alpha1.VerdictAccepted {
		record.ConsecutiveRejected++
		if record.ConsecutiveRejected > 1 {
			record.NextCheckTime = timestamp(now.Truncate(time.Second).Add(s.latch(record)))
		}
	}
}

// MoreSpecific chooses between the outcomes of a login's two forms, when the first was Rejected: an acceptance of the
// second, a more telling rejection, or no evidence, since the round then is not finished.
func MoreSpecific(first, second Outcome) Outcome {
	if second.RetryAt.IsZero() && second.Outcome == outcome.Rejected {
		return first
	}
	second.OtherRejected = true
	return second
}
