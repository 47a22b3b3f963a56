// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package decision is the operator's judgement, without any I/O: from what is known of a resource it plans the checks
// that are due, from their outcomes it decides what is to be held of the credential and of the target, and from all of
// that it concludes the status.
//
// It speaks of two tokens. The candidate is what the source's present bytes make at the spec's endpoint. The deployed
// token is what the target holds. Mostly they are one and the same; they part when the source or the endpoint is
// edited, and meet again when the candidate was accepted and written.
package decision

import (
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Facts are what is known before any check is made.
type Facts struct {
	// Resource as it was read, with the status of the last evaluation. It is not changed.
	Resource *v1alpha1.JupicoCredential
	// Now is the time of the evaluation.
	Now time.Time

	// Endpoint is the base URL that the candidate is checked at.
	Endpoint string
	Source   Source
	Deployed Deployed

	// TargetDrifted: the target exists no more, or is not as it was last written or seen to be right.
	TargetDrifted bool
	// CheckRequested: a check was asked for, and may be made now.
	CheckRequested bool
	// FirstContact: the endpoint was not asked for anything yet.
	FirstContact bool
}

// Source is what the entry of spec.credentials is read from.
type Source struct {
	// Status identifies the bytes. Nil when there are none.
	Status *v1alpha1.SourceStatus
	// Problem is the reason why there is no candidate: SourceNotFound, SourceKeyMissing, InvalidSource. Else empty.
	Problem string
	// Detail is a sentence about the problem, with no value of the source in it.
	Detail string
	// Login: the candidate is a username and a password, which make tokens in two forms.
	Login bool
	// OnRecord: the entry in status is about these very bytes at this very endpoint.
	OnRecord bool
	// Proven: this process saw the candidate accepted, so that it may be written.
	Proven bool
}

// Deployed is what is known of the token in the target.
type Deployed struct {
	// Known: the operator holds the token, and so can check it and write it again.
	Known bool
	// IsCandidate: it is, at its endpoint, a token that the source makes too.
	IsCandidate bool
	// Form in which the source makes it, if IsCandidate. Empty for an API key.
	Form v1alpha1.TokenForm
}

// Outcomes are the results of the checks that a Plan asked for. Nil where none was made.
type Outcomes struct {
	Candidate *CandidateOutcome
	Deployed  *outcome.Result
}

// CandidateOutcome is a result with the token form that it is about.
type CandidateOutcome struct {
	outcome.Result
	Form v1alpha1.TokenForm // empty for an API key
	// OtherRejected: the other form was Rejected before, in the same round.
	OtherRejected bool
}

// history is what the status says, brought in line with the facts.
type history struct {
	// candidate has the verdict Unknown and no times until it was checked.
	candidate v1alpha1.CredentialStatus
	// deployed is nil before the first delivery. Its record is the candidate's while the two have not parted.
	deployed *v1alpha1.DeployedStatus
	parted   bool
}

// recall reads the status in the light of the facts: when the source or the endpoint was edited, the record moves to
// the deployed token and the candidate begins anew; when the edit is taken back, they meet again.
func recall(f Facts) history {
	entry := f.Resource.Spec.Credentials[0]
	fresh := v1alpha1.CredentialStatus{Name: entry.Name}
	fresh.Verdict = v1alpha1.VerdictUnknown
	h := history{candidate: fresh}
	onRecord := false
	if recorded := f.Resource.Status.Credentials; len(recorded) > 0 {
		h.candidate = *recorded[0].DeepCopy()
		makeGood(&h.candidate.CheckRecord)
		onRecord = f.Source.OnRecord
	}
	if f.Resource.Status.Deployed != nil {
		h.deployed = f.Resource.Status.Deployed.DeepCopy()
		makeGood(&h.deployed.CheckRecord)
		h.parted = h.deployed.LastCheckTime != nil
		if !h.parted {
			h.deployed.CheckRecord = h.candidate.CheckRecord
		}
	}
	if f.Resource.Spec.Suspend {
		return h // nothing was looked at
	}
	if !onRecord {
		h.candidate = fresh
		h.parted = h.deployed != nil
	}
	if h.parted && !onRecord && f.Deployed.IsCandidate {
		h.candidate.CheckRecord = h.deployed.CheckRecord
		h.candidate.TokenForm = f.Deployed.Form
		if h.candidate.Verdict == v1alpha1.VerdictRejected { // the edit asks for another try at once
			h.candidate.NextCheckTime, h.candidate.ConsecutiveRejected = nil, 0
		}
		h.parted = false
	}
	h.candidate.Name = entry.Name // which is but a label, and may have been changed
	h.candidate.Source = f.Source.Status
	if f.Source.Problem != "" {
		h.candidate.Reason = f.Source.Problem
		h.candidate.NextCheckTime = nil
	}
	return h
}

// makeGood sees to it that a record holds together, whoever edited the status.
func makeGood(record *v1alpha1.CheckRecord) {
	isAccepted := record.Verdict == v1alpha1.VerdictAccepted && record.LastAcceptedTime != nil
	isRejected := record.Verdict == v1alpha1.VerdictRejected && record.Reason != ""
	if !isAccepted && !isRejected {
		record.Verdict = v1alpha1.VerdictUnknown
	}
	if isAccepted && record.Reason == "" {
		record.Reason = string(outcome.Accepted)
	}
}

// SpecEdited reports whether the spec was edited since the last evaluation.
func (f Facts) SpecEdited() bool {
	return f.Resource.Generation != f.Resource.Status.ObservedGeneration
}
