// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// Plan says which checks to make now, and in which order.
type Plan struct {
	// Announce: make no check yet, but report that the first one is under way and come back at once. The first contact
	// with an endpoint may take long, and a user must not look at an empty status meanwhile.
	Announce bool
	// RetryAt, when not zero, says that another resource is just making that contact, and when to come back.
	RetryAt time.Time
	Checks  []Check
}

// Check is one to be made.
type Check struct {
	// Entry is the index of the entry in spec.credentials, or Deployed. A check of the deployed token is left out when a
	// candidate was accepted that takes its place.
	Entry int
	Form  v1alpha1.TokenForm // to be tried first; empty for an API key
	// BothForms: when that form is Rejected, try the other one in the same round.
	BothForms bool
	// NotBefore is when the check must have begun at the earliest. Zero: another resource's of a moment ago will do.
	NotBefore time.Time
	// Urgent: the token in the target was rejected, and this check may find another. It is not put off.
	Urgent bool
}

// IsEmpty reports whether there is nothing to do.
func (p Plan) IsEmpty() bool { return !p.Announce && len(p.Checks) == 0 }

// NewPlan plans the checks that are due. The active entry comes first, so that the others are checked after it was
// found rejected.
func NewPlan(f Facts) Plan {
	if f.Resource.Spec.Suspend {
		return Plan{}
	}
	h := recall(f)
	by := f.Now
	if h.anyDue(f, by) {
		by = by.Add(scheduleOf(f.Resource).interval / 2) // what is due next comes along, and from then on they are together
	}
	var p Plan
	for _, i := range h.order() {
		if f.candidateIsDue(&h, i, by) {
			p.Checks = append(p.Checks, f.checkOf(&h, i))
		}
	}
	if IsFirst(f.Resource) && len(p.Checks) > 0 && (f.FirstContact || !f.ContactedAt.IsZero()) {
		return Plan{Announce: f.FirstContact, RetryAt: f.ContactedAt}
	}
	if h.parted() && f.DeployedKnown && f.isDue(&h.deployed.CheckRecord, by) {
		p.Checks = append(p.Checks, Check{Entry: Deployed, NotBefore: f.notBefore(&h.deployed.CheckRecord)})
	}
	return p
}

// order lists the entries, the active one first.
func (h *history) order() []int {
	var order []int
	if h.active != Deployed {
		order = append(order, h.active)
	}
	for i := range h.entries {
		if i != h.active {
			order = append(order, i)
		}
	}
	return order
}

func (h *history) anyDue(f Facts, now time.Time) bool {
	for i := range h.entries {
		if f.candidateIsDue(h, i, now) {
			return true
		}
	}
	return h.parted() && f.DeployedKnown && f.isDue(&h.deployed.CheckRecord, now)
}

func (f Facts) checkOf(h *history, i int) Check {
	entry := &h.entries[i]
	check := Check{Entry: i, NotBefore: f.notBefore(&entry.CheckRecord)}
	if f.Sources[i].Login {
		check.Form = cmp.Or(entry.TokenForm, v1alpha1.TokenFormStandard)
		check.BothForms = f.checkRequested() || f.SpecEdited() || isUndecided(&entry.CheckRecord)
	}
	return check
}

// notBefore is when a check must have begun that is asked for, or that confirms a rejection. Where many wait for the
// same, one serves them all.
func (f Facts) notBefore(record *v1alpha1.CheckRecord) time.Time {
	switch {
	case f.checkRequested():
		return f.RequestedAt
	case unconfirmed(record):
		return record.LastCheckTime.Add(leastConfirmation)
	default:
		return time.Time{}
	}
}

// isUndecided reports whether no form of these bytes was decided on. A form that never meets evidence is given up.
func isUndecided(record *v1alpha1.CheckRecord) bool {
	return record.NextCheckTime == nil ||
		record.Verdict == v1alpha1.VerdictUnknown && record.ConsecutiveRejected < maxOpenRounds
}

func (f Facts) candidateIsDue(h *history, i int, by time.Time) bool {
	source := &f.Sources[i]
	if source.Problem != "" {
		return false
	}
	isEdited := f.SpecEdited() && !source.Checked
	return isEdited || f.mustBeProven(h, i) || f.isDue(&h.entries[i].CheckRecord, by)
}

// mustBeProven reports whether a candidate may be written that this process did not see accepted: what a status says
// alone, anybody may have put there. That is tried at once, and then on schedule.
func (f Facts) mustBeProven(h *history, i int) bool {
	source, record := &f.Sources[i], &h.entries[i].CheckRecord
	mayBeWritten := h.deployed == nil || h.parted() || h.deployed.Verdict == v1alpha1.VerdictRejected ||
		(f.TargetDrifted || f.Unwritten()) && i == h.active
	return mayBeWritten && !source.Proven && record.Verdict == v1alpha1.VerdictAccepted && lastCheckGaveEvidence(record)
}

// isDue reports whether a check is due: one that was never planned is. Only an accepted token comes along before its
// time, since the waits after rejections bound the number of requests.
func (f Facts) isDue(record *v1alpha1.CheckRecord, by time.Time) bool {
	if record.Verdict != v1alpha1.VerdictAccepted || unconfirmed(record) {
		by = f.Now
	}
	return f.isAskedFor(record) || due(record.NextCheckTime, by)
}

// isAskedFor reports whether a check that was asked for is yet to be made: of several, some may have been put off.
func (f Facts) isAskedFor(record *v1alpha1.CheckRecord) bool {
	return f.checkRequested() && (f.RequestedAt.Equal(f.Now) || record.LastCheckTime == nil ||
		record.LastCheckTime.Time.Before(f.RequestedAt.Truncate(time.Second)))
}

func due(next *metav1.Time, now time.Time) bool {
	return next == nil || !now.Before(next.Time)
}

// FollowUp plans what the outcomes of a plan ask for in the same round: when the deployed token was found rejected, the
// one that stands by is to be accepted by a check that began after that, so that it may take its place. When most
// credentials of the endpoint were rejected together, that waits for the next round, since such a thing mostly passes.
func FollowUp(f Facts, outcomes []Outcome) []Check {
	if !slices.ContainsFunc(outcomes, Outcome.isRejection) {
		return nil
	}
	v := enter(f, outcomes)
	h := &v.history
	if v.rejection == nil || v.waits || h.deployed.Verdict != v1alpha1.VerdictRejected {
		return nil
	}
	var checks []Check
	for i := range h.entries {
		entry := &h.entries[i]
		isStandby := i != h.active && f.Sources[i].Problem == "" &&
			entry.Verdict == v1alpha1.VerdictAccepted && entry.ConsecutiveRejected == 0
		if isStandby && !v.acceptedAfterRejection(i) {
			checks = append(checks, Check{Entry: i, Form: entry.TokenForm, NotBefore: v.rejection.Ended, Urgent: true})
		}
	}
	return checks
}
