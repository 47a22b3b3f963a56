// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package decision is the operator's judgement, without any I/O: from what is known of a resource it plans the checks
// that are due, from their outcomes it decides what is to be held of each token and of the target, and from all of that
// it concludes the status.
//
// Each entry of spec.credentials has a candidate: what its source's present bytes make at the spec's endpoint. The
// deployed token is what the target holds. Mostly it is one of the candidates, whose entry is then called active; it
// parts from them when the source or the endpoint is edited, and they meet again when a candidate was accepted and
// written.
package decision

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Facts are what is known before any check is made.
type Facts struct {
	// Resource as it was read, with the status of the last evaluation. It is not changed.
	Resource *v1alpha1.JupicoCredential
	// Now is the time of the evaluation.
	Now time.Time

	// Endpoint is the base URL that candidates are checked at.
	Endpoint string
	// Sources are those of the entries of spec.credentials, in order.
	Sources [v1alpha1.MaxCredentials]Source
	// DeployedKnown: the operator holds the deployed token, and so can check it and write it again.
	DeployedKnown bool

	// TargetDrifted: the target exists no more, or is not as it was last written or seen to be right.
	TargetDrifted bool
	// RequestedAt is when a check was asked for that may be made now. Zero when none was.
	RequestedAt time.Time
	// FirstContact: the endpoint was not asked for anything yet.
	FirstContact bool
	// ContactedAt, when not zero, says that another resource just set out to ask the endpoint for the first time, and when
	// to come back and see.
	ContactedAt time.Time
}

// Source is what an entry of spec.credentials is read from.
type Source struct {
	// Status identifies the bytes. Nil when there are none.
	Status *v1alpha1.SourceStatus
	// Problem is the reason why there is no candidate: SourceNotFound, SourceKeyMissing, InvalidSource. Else empty.
	Problem string
	// Detail is a sentence about the problem, with no value of the source in it.
	Detail string
	// Login: the candidate is a username and a password, which make tokens in two forms.
	Login bool
	// Record is the name under which status.credentials tells of these very bytes at this very endpoint, which may be a
	// former name of the entry. Empty when it tells nothing.
	Record string
	// Proven: this process saw the candidate accepted, so that it may be written.
	Proven bool
	// Checked: the candidate was checked since the spec was edited, by a check that the status tells of.
	Checked bool
	// MakesDeployed: the deployed token is, at its endpoint, one that this source makes too, in the form DeployedForm
	// (empty for an API key).
	MakesDeployed bool
	DeployedForm  v1alpha1.TokenForm
	// Repeats: the entry before it holds the same credential.
	Repeats bool
}

// Deployed stands, in place of an entry's index, for the deployed token that has parted from all candidates.
const Deployed = -1

// Outcome is what came of a planned check.
type Outcome struct {
	// Entry is the index of the entry in spec.credentials, or Deployed.
	Entry int
	outcome.Result
	Form v1alpha1.TokenForm // empty for an API key
	// OtherRejected: the other form was Rejected before, in the same round.
	OtherRejected bool
	// Began and Ended are the times of the request, which may have been another resource's.
	Began, Ended time.Time
	// LatchedUntil is how long a rejection of a moment ago, when it stands for a check, goes on doing so.
	LatchedUntil time.Time
	// Mass: most credentials of the endpoint were rejected together.
	Mass bool
	// RetryAt, when not zero, says that the check could not be made yet, and when to come back for it. There is no Result
	// then.
	RetryAt time.Time
}

func (o Outcome) isAcceptance() bool {
	return o.RetryAt.IsZero() && o.Outcome.Class() == outcome.Acceptance
}

func (o Outcome) isRejection() bool {
	return o.RetryAt.IsZero() && o.Outcome.Class() == outcome.Rejection
}

// checkRequested reports whether a check was asked for.
func (f Facts) checkRequested() bool { return !f.RequestedAt.IsZero() }

// SpecEdited reports whether the spec was edited since the last evaluation.
func (f Facts) SpecEdited() bool {
	return f.Resource.Generation != f.Resource.Status.ObservedGeneration
}

// Unwritten reports whether the target could not be written the last time, or the write did not last. The target then
// may be as the status left it, and yet not as it should be.
func (f Facts) Unwritten() bool {
	synced := meta.FindStatusCondition(f.Resource.Status.Conditions, v1alpha1.ConditionSecretSynced)
	return synced != nil && slices.Contains([]string{
		v1alpha1.ReasonTargetWriteFailed, v1alpha1.ReasonTargetContested, v1alpha1.ReasonTargetConflict,
		v1alpha1.ReasonTemplateError,
	}, synced.Reason)
}
