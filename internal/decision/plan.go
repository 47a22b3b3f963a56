// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"cmp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// Plan says which checks to make now.
type Plan struct {
	// Announce: make no check yet, but report that the first one is under way and come back at once. The first contact
	// with an endpoint may take long, and a user must not look at an empty status meanwhile.
	Announce bool
	// Candidate: check the candidate, in the form of Form first.
	Candidate bool
	Form      v1alpha1.TokenForm // empty for an API key
	// BothForms: when that form is Rejected, try the other one in the same round.
	BothForms bool
	// Deployed: check the deployed token too, unless the candidate is accepted and takes its place.
	Deployed bool
}

// NewPlan plans the checks that are due.
func NewPlan(f Facts) Plan {
	if f.Resource.Spec.Suspend {
		return Plan{}
	}
	h := recall(f)
	p := Plan{
		Candidate: f.candidateIsDue(h),
		Deployed:  h.parted && f.Deployed.Known && (f.CheckRequested || due(h.deployed.NextCheckTime, f.Now)),
	}
	if p.Candidate && f.FirstContact && f.Resource.Status.ObservedGeneration < 0 {
		return Plan{Announce: true}
	}
	if p.Candidate && f.Source.Login {
		p.Form = cmp.Or(h.candidate.TokenForm, v1alpha1.TokenFormStandard)
		p.BothForms = f.CheckRequested || f.SpecEdited() || h.isUndecided()
	}
	return p
}

// isUndecided reports whether no form of these bytes was decided on. A form that never meets evidence is given up.
func (h history) isUndecided() bool {
	return h.candidate.NextCheckTime == nil ||
		h.candidate.Verdict == v1alpha1.VerdictUnknown && h.candidate.ConsecutiveRejected < maxOpenRounds
}

func (f Facts) candidateIsDue(h history) bool {
	if f.Source.Problem != "" {
		return false
	}
	// What is written must have been accepted by this process, not only according to a status that anybody may edit. That
	// is tried at once, and then on schedule.
	mustBeProven := !f.Source.Proven && h.candidate.Verdict == v1alpha1.VerdictAccepted &&
		lastCheckGaveEvidence(&h.candidate.CheckRecord) && (h.deployed == nil || h.parted || f.TargetDrifted)
	return f.CheckRequested || f.SpecEdited() || mustBeProven || due(h.candidate.NextCheckTime, f.Now)
}

// due reports whether a check is due: one that was never planned is.
func due(next *metav1.Time, now time.Time) bool {
	return next == nil || !now.Before(next.Time)
}
