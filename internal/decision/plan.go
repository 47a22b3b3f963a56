// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"cmp"
	"slices"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// plannedCheck is a check to be made.
type plannedCheck struct {
	// entry is the index of the entry in spec.credentials, or deployedToken. A check of the deployed token is left out
	// when a candidate was accepted that takes its place.
	entry int
	form  v1alpha1.TokenForm // to be tried first; empty for an API key
	// bothForms: when that form is Rejected, try the other one in the same round.
	bothForms bool
	// notBefore is when the check must have begun at the earliest. Zero: one of another resource, made a moment ago,
	// will do.
	notBefore time.Time
	// forDelivery: an acceptance puts the token into a target that does not hold it.
	forDelivery bool
	// urgent: the token in the target was rejected, and this check may find another. It is not deferred.
	urgent bool
}

// newPlan lists the checks to make now, in order. When there is one, what is due within half an interval comes along,
// and from then on they are together.
func newPlan(f *facts) []plannedCheck {
	if f.Resource.Spec.Suspend {
		return nil
	}
	h := recall(f)
	p := f.dueChecks(&h, f.Now)
	if len(p) > 0 {
		p = f.dueChecks(&h, f.Now.Add(scheduleOf(f.Resource).interval/2))
	}
	return p
}

// dueChecks lists the checks that are due by a time. The active entry comes first, so that the others are checked after
// it was found rejected.
func (f *facts) dueChecks(h *history, by time.Time) []plannedCheck {
	var p []plannedCheck
	for i := range h.entries {
		switch {
		case !f.isCandidateDue(h, i, by):
		case i == h.active:
			p = slices.Insert(p, 0, f.checkOf(h, i))
		default:
			p = append(p, f.checkOf(h, i))
		}
	}
	if h.isDiverged() && f.isDeployedKnown() && f.isDue(&h.deployed.CheckRecord, f.next.deployed.checkedAt, by) {
		p = append(p, plannedCheck{entry: deployedToken, notBefore: f.notBefore(&h.deployed.CheckRecord)})
	}
	return p
}

func (f *facts) checkOf(h *history, i int) plannedCheck {
	entry := &h.entries[i]
	c := plannedCheck{entry: i, notBefore: f.notBefore(&entry.CheckRecord), forDelivery: f.isForDelivery(h, i)}
	if f.isLogin(i) {
		c.form = cmp.Or(entry.TokenForm, v1alpha1.TokenFormStandard)
		c.bothForms = f.isCheckRequested() || isUndecided(&entry.CheckRecord) && !f.candidates[i].bothRejected
	}
	return c
}

// notBefore is when a check must have begun that is requested, or that confirms a rejection. Where many wait for the
// same, one serves them all.
func (f *facts) notBefore(record *v1alpha1.CheckRecord) time.Time {
	at := f.requestedAt
	if isUnconfirmed(record) && at.Before(record.LastCheckTime.Add(leastConfirmation)) {
		at = record.LastCheckTime.Add(leastConfirmation) // no rejection confirms itself
	}
	return at
}

// isUndecided reports whether no form of these bytes was decided on. A form that never meets evidence is given up.
func isUndecided(record *v1alpha1.CheckRecord) bool {
	return record.NextCheckTime == nil ||
		record.Verdict == v1alpha1.VerdictUnknown && record.ConsecutiveRejected < maxOpenRounds
}

func (f *facts) isCandidateDue(h *history, i int, by time.Time) bool {
	if f.candidates[i].candidate == nil {
		return false
	}
	record := &h.entries[i].CheckRecord
	// A generation is proven anew, but a rejected token is tried at once only when it was edited itself, and a rejection
	// that is not confirmed yet has its own time. After a suspension, the schedule goes on, unless the target needs a
	// proof.
	isEdited := f.isSpecEdited() && (f.targetDrifted || !f.wasSuspended()) &&
		f.candidates[i].record.checkedFor != f.Resource.Generation &&
		record.Verdict == v1alpha1.VerdictAccepted && !isUnconfirmed(record)
	return isEdited || f.mustBeProven(h, i) || f.isDue(record, f.candidates[i].record.checkedAt, by)
}

// isForDelivery reports whether a candidate may be written into the target once it is accepted: it is preferred to the
// deployed token, the deployed token is rejected, or the target may have lost it.
func (f *facts) isForDelivery(h *history, i int) bool {
	switch {
	case h.deployed == nil, h.isDeployedRejected():
		return true
	case i == h.active:
		return !f.isDeployedKnown() && (f.mayDiffer() || f.lastWriteFailed() || len(f.FormerTargets) > 0)
	default:
		return i <= h.rank()
	}
}

// mustBeProven reports whether a candidate has to be checked at once: the target may need its token, and this process
// did not see it accepted within the last minute. A status is no proof, as anybody may edit it.
func (f *facts) mustBeProven(h *history, i int) bool {
	record := &h.entries[i].CheckRecord
	return f.isForDelivery(h, i) && !f.mayBeWritten(i) &&
		record.Verdict == v1alpha1.VerdictAccepted && lastCheckGaveEvidence(record)
}

// isDue reports whether a check is due: one that was never planned is. Only an accepted token is checked early,
// together with others, since the waits after rejections bound the number of requests.
func (f *facts) isDue(record *v1alpha1.CheckRecord, checkedAt, by time.Time) bool {
	if record.Verdict != v1alpha1.VerdictAccepted || isUnconfirmed(record) {
		by = f.Now
	}
	// A request is answered by a check that began after it. Of several checks, some may have been deferred. A check that
	// is said to begin later than now began before the clock went back.
	isRequested := f.isCheckRequested() && (checkedAt.Before(f.requestedAt) || checkedAt.After(f.Now))
	return isRequested || record.NextCheckTime == nil || !by.Before(record.NextCheckTime.Time)
}

// followUp plans the checks that may find a replacement for a rejected token: a standby must be accepted by a check
// that began after the rejection. When most credentials of the endpoint were rejected together, one behind the
// deployed token's entry waits, since such a thing mostly passes.
func followUp(f *facts, results []checkResult) []plannedCheck {
	wasRejected := f.status.Deployed != nil && f.status.Deployed.Verdict == v1alpha1.VerdictRejected
	if !wasRejected && !slices.ContainsFunc(results, func(r checkResult) bool { return r.isRejection() }) {
		return nil
	}
	v := enter(f, results)
	h := &v.history
	if f.Resource.Spec.Suspend || !h.isDeployedRejected() {
		return nil
	}
	var checks []plannedCheck
	for i := range h.entries {
		isReady := v.acceptedAfterRejection(i) && f.mayBeWritten(i)
		if f.isStandby(h, i) && !f.isHeld(h, i) && !isReady {
			form := h.entries[i].TokenForm
			check := plannedCheck{entry: i, form: form, notBefore: v.rejectedSince(), forDelivery: true, urgent: true}
			checks = append(checks, check)
		}
	}
	return checks
}

// isStandby reports whether an entry was accepted when it was checked last, and is not the active one.
func (f *facts) isStandby(h *history, i int) bool {
	record := &h.entries[i].CheckRecord
	return i != h.active && f.candidates[i].candidate != nil && record.Verdict == v1alpha1.VerdictAccepted &&
		record.ConsecutiveRejected == 0 && lastCheckGaveEvidence(record)
}
