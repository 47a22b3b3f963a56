// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// state is one condition to be.
type state struct {
	status   metav1.ConditionStatus
	reason   string
	message  string
	progress progress // of Ready only
}

// progress tells kstatus whether anything will move by itself.
type progress int

const (
	settled     progress = iota
	reconciling          // a generation is not proven yet, and the operator goes on trying
	stalled              // nothing moves before a user mends something
)

// view is what conditions are computed from. Each condition is one switch over it, in the order of precedence:
// suspension, target, rejection, source, endpoint, staleness, and what is good to know.
type view struct {
	resource *v1alpha1.JupicoCredential
	now      time.Time
	schedule schedule

	suspended bool
	target    Target
	endpoint  string
	entries   []v1alpha1.CredentialStatus
	sources   *[v1alpha1.MaxCredentials]Source

	// focus is the entry that the conditions speak of, candidate its record, and source where it is read from.
	focus     int
	candidate *v1alpha1.CheckRecord
	source    *Source
	// subject is the record that Ready and CredentialAccepted are about: the deployed token's or, before there is one, the
	// candidate's.
	subject *v1alpha1.CheckRecord
	// delivered: a token was written into the target.
	delivered bool
	// inForce: the target still holds it, as far as is known.
	inForce bool
	// parted: the candidate is another token than the deployed one.
	parted bool
	// failedOver: the deployed token is that of an entry that is not the preferred one.
	failedOver bool
	// behind: the target is yet to get what an edit asks for.
	behind bool
	// stale: the subject was accepted, too long ago.
	stale bool
	// unverifiable: the deployed token is not known, and so cannot be checked.
	unverifiable bool
	last         *Outcome
	// rejection of the subject in this evaluation. Nil when there is none.
	rejection *Outcome
}

func newView(v Verdict, target Target) view {
	h := v.history
	s := view{
		resource: v.facts.Resource, now: v.facts.Now, schedule: scheduleOf(v.facts.Resource),
		suspended: v.facts.Resource.Spec.Suspend,
		target:    target, endpoint: v.facts.Endpoint, entries: h.entries, sources: &v.facts.Sources,
		focus:     h.focus(&v.facts.Sources),
		delivered: h.deployed != nil, parted: h.parted(), failedOver: h.active > 0,
		inForce: h.deployed != nil && (target.Holds || !v.facts.TargetDrifted),
		last:    v.last, rejection: v.rejection,
	}
	s.candidate, s.source = &h.entries[s.focus].CheckRecord, &s.sources[s.focus]
	s.subject = s.candidate
	if s.delivered {
		s.subject = &h.deployed.CheckRecord
	}
	left := s.resource.Status.Target
	s.behind = left != nil && left.ObservedGeneration != s.resource.Generation && !target.Holds
	s.stale = s.isStale(s.subject)
	s.unverifiable = s.parted && !v.facts.DeployedKnown
	if s.suspended { // and nothing was looked at
		said := s.previous(v1alpha1.ConditionCredentialAccepted)
		s.unverifiable = said != nil && said.Reason == v1alpha1.ReasonDeployedUnverifiable
	}
	return s
}

func (s view) isStale(record *v1alpha1.CheckRecord) bool {
	return record.Verdict == v1alpha1.VerdictAccepted && !s.now.Before(s.schedule.trustEnds(record))
}

func (s view) ready() state {
	switch {
	case s.suspended:
		return s.suspendedReady()
	case s.target.Problem != "":
		return s.targetProblem()
	case s.subject.Verdict == v1alpha1.VerdictRejected:
		return s.rejected()
	case s.parted && s.candidate.Verdict == v1alpha1.VerdictRejected:
		return s.lastKnownGood(v1alpha1.ReasonCandidateRejected, s.candidateRejectedMessage(), stalled)
	case s.source.Problem != "":
		return s.lastKnownGood(s.source.Problem, s.sourceMessage(), s.sourceProgress())
	case s.candidate.Verdict == v1alpha1.VerdictUnknown:
		return s.unproven()
	case s.inForce:
		return s.delivery()
	default: // accepted, and to be written once it is accepted again
		return state{metav1.ConditionFalse, v1alpha1.ReasonWaitingForCredential, s.waitingMessage(), reconciling}
	}
}

// delivery is about an accepted token in the target.
func (s view) delivery() state {
	switch {
	case s.stale:
		return state{metav1.ConditionTrue, v1alpha1.ReasonStale, s.staleMessage(), settled}
	case s.failedOver:
		return state{metav1.ConditionTrue, v1alpha1.ReasonFailedOver, s.failedOverMessage(), settled}
	default:
		return state{metav1.ConditionTrue, s.subject.Reason, s.acceptedMessage(), settled}
	}
}

func (s view) suspendedReady() state {
	status := metav1.ConditionUnknown
	if last := s.previous(v1alpha1.ConditionReady); last != nil {
		status = last.Status
	}
	return state{status, v1alpha1.ReasonSuspended, s.suspendedMessage(), settled}
}

func (s view) targetProblem() state {
	// A template that can't be rendered says nothing against the target that stands.
	if s.target.Problem == v1alpha1.ReasonTemplateError && s.inForce && s.subject.Verdict == v1alpha1.VerdictAccepted {
		message := s.target.Detail + s.lastKnownGoodMessage()
		return state{metav1.ConditionTrue, v1alpha1.ReasonTemplateError, message, stalled}
	}
	progress := stalled
	if s.target.Problem == v1alpha1.ReasonTargetWriteFailed {
		progress = reconciling
	}
	return state{metav1.ConditionFalse, s.target.Problem, s.target.Detail, progress}
}

// rejected is about a token that the API refuses, and no other can stand in for.
func (s view) rejected() state {
	progress := stalled
	reason := s.rejectionReason()
	if reason == v1alpha1.ReasonSandboxReset {
		progress = reconciling
	}
	return state{metav1.ConditionFalse, reason, s.rejectedMessage(), progress}
}

func (s view) rejectionReason() string {
	acceptedBefore := s.subject.LastAcceptedTime != nil
	switch {
	case acceptedBefore && s.resource.Spec.Environment == v1alpha1.EnvironmentSharedSandbox:
		return v1alpha1.ReasonSandboxReset
	case acceptedBefore && s.subject.Reason == string(outcome.Rejected):
		return v1alpha1.ReasonRevoked
	default:
		return s.subject.Reason
	}
}

// lastKnownGood is about a source that cannot be followed: a token in force stays so, and nothing is amiss with it.
// Without one, progress says who must move.
func (s view) lastKnownGood(reason, message string, progress progress) state {
	if s.inForce {
		return state{metav1.ConditionTrue, reason, message, settled}
	}
	return state{metav1.ConditionFalse, reason, message, progress}
}

func (s view) sourceProgress() progress {
	if s.source.Problem == v1alpha1.ReasonSourceNotFound {
		return reconciling
	}
	return stalled
}

// unproven is about a candidate that met no evidence yet.
func (s view) unproven() state {
	result := outcome.Outcome(s.candidate.Reason)
	if result == "" {
		result = v1alpha1.ReasonChecking
	}
	progress := reconciling
	if onlyAUserCanMend(result) {
		progress = stalled
	}
	status := metav1.ConditionFalse
	switch {
	case s.inForce:
		status = metav1.ConditionTrue
	case result == v1alpha1.ReasonChecking:
		status = metav1.ConditionUnknown
	}
	return state{status, string(result), s.unprovenMessage(result), progress}
}

func onlyAUserCanMend(o outcome.Outcome) bool {
	return o == outcome.EndpointDenied || o == outcome.CAInvalid || o == outcome.EndpointDoesNotAuthenticate
}

func (s view) credentialAccepted() state {
	switch {
	case s.stale && s.unverifiable:
		return state{metav1.ConditionUnknown, v1alpha1.ReasonDeployedUnverifiable, s.unverifiableMessage(), settled}
	case s.stale:
		return state{metav1.ConditionUnknown, v1alpha1.ReasonStale, s.staleMessage(), settled}
	case s.subject.Verdict == v1alpha1.VerdictAccepted:
		return state{metav1.ConditionTrue, s.subject.Reason, s.acceptedAtMessage(), settled}
	case s.subject.Verdict == v1alpha1.VerdictRejected:
		return state{metav1.ConditionFalse, s.rejectionReason(), s.rejectedMessage(), settled}
	case s.suspended:
		return state{metav1.ConditionUnknown, v1alpha1.ReasonSuspended, s.suspendedMessage(), settled}
	case s.source.Problem != "":
		return state{metav1.ConditionUnknown, s.source.Problem, s.sourceMessage(), settled}
	default:
		unproven := s.unproven()
		return state{metav1.ConditionUnknown, unproven.reason, unproven.message, settled}
	}
}

func (s view) secretSynced() state {
	no := func(reason, message string) state { return state{metav1.ConditionFalse, reason, message, settled} }
	switch {
	case s.suspended:
		return s.asKnown(v1alpha1.ConditionSecretSynced)
	case s.target.Problem != "":
		return no(s.target.Problem, s.target.Detail)
	case !s.delivered:
		return no(v1alpha1.ReasonWaitingForCredential, s.waitingMessage())
	case s.source.Problem != "":
		return no(s.source.Problem, s.sourceMessage())
	case s.parted && s.candidate.Verdict == v1alpha1.VerdictRejected:
		return no(v1alpha1.ReasonCandidateRejected, s.candidateRejectedMessage())
	case s.parted && s.candidate.Verdict == v1alpha1.VerdictUnknown:
		unproven := s.unproven()
		return no(unproven.reason, unproven.message)
	case !s.inForce, s.parted, s.behind:
		return no(v1alpha1.ReasonWaitingForCredential, s.waitingMessage())
	default:
		return state{metav1.ConditionTrue, v1alpha1.ReasonSynced, s.syncedMessage(), settled}
	}
}

func (s view) endpointAvailable() state {
	switch {
	case s.suspended, s.last == nil && s.isKnown(v1alpha1.ConditionEndpointAvailable):
		return s.asKnown(v1alpha1.ConditionEndpointAvailable)
	case s.last == nil && s.source.Problem != "":
		return state{metav1.ConditionUnknown, v1alpha1.ReasonNotChecked, s.notCheckedMessage(), settled}
	case s.last == nil:
		return state{metav1.ConditionUnknown, v1alpha1.ReasonChecking, s.unprovenMessage(v1alpha1.ReasonChecking), settled}
	case s.last.Outcome.IsEvidence():
		return state{metav1.ConditionTrue, v1alpha1.ReasonAvailable, s.availableMessage(), settled}
	default:
		return state{metav1.ConditionFalse, string(s.last.Outcome), s.noEvidenceMessage(), settled}
	}
}

// redundant is about two credentials, each of which may be revoked while both are accepted.
func (s view) redundant() state {
	if s.suspended {
		return s.asKnown(v1alpha1.ConditionRedundant)
	}
	for i := range s.entries {
		record, source := &s.entries[i].CheckRecord, &s.sources[i]
		switch {
		case source.Problem != "":
			return state{metav1.ConditionFalse, source.Problem, s.notRedundantMessage(i), settled}
		case record.Verdict == v1alpha1.VerdictRejected:
			return state{metav1.ConditionFalse, record.Reason, s.notRedundantMessage(i), settled}
		case record.Verdict == v1alpha1.VerdictUnknown:
			reason := cmp.Or(record.Reason, v1alpha1.ReasonChecking)
			return state{metav1.ConditionUnknown, reason, s.notRedundantMessage(i), settled}
		case s.isStale(record):
			return state{metav1.ConditionUnknown, v1alpha1.ReasonStale, s.notRedundantMessage(i), settled}
		case source.Repeats:
			return state{metav1.ConditionFalse, v1alpha1.ReasonSameCredential, s.sameCredentialMessage(), settled}
		}
	}
	return state{metav1.ConditionTrue, v1alpha1.ReasonBothAccepted, s.bothAcceptedMessage(), settled}
}

// asKnown repeats a condition of the old status.
func (s view) asKnown(conditionType string) state {
	if last := s.previous(conditionType); last != nil {
		return state{last.Status, last.Reason, last.Message, settled}
	}
	return state{metav1.ConditionUnknown, v1alpha1.ReasonSuspended, s.suspendedMessage(), settled}
}

func (s view) isKnown(conditionType string) bool {
	last := s.previous(conditionType)
	return last != nil && last.Status != metav1.ConditionUnknown
}

func (s view) previous(conditionType string) *metav1.Condition {
	return meta.FindStatusCondition(s.resource.Status.Conditions, conditionType)
}
