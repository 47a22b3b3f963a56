// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"cmp"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// condition is one condition of the new status.
type condition struct {
	status   metav1.ConditionStatus
	reason   string
	message  string
	progress progress // of Ready only
}

// progress tells kstatus whether anything will change without a user.
type progress int

const (
	settled     progress = iota
	reconciling          // a generation is not proven yet, and the operator goes on trying
	stalled              // nothing changes before a user mends something
)

// view is what conditions are computed from. Each condition is one switch over it, in the order of precedence:
// suspension, target, rejection, source, endpoint, staleness, and what is good to know.
type view struct {
	*verdict
	*facts

	target Target
	// focus is the entry that the conditions are about, candidate its record, and source where it is read from.
	focus     int
	candidate *v1alpha1.CheckRecord
	source    *Source
	// subject is the record that Ready and CredentialAccepted are about: the deployed token's or, before there is one, the
	// candidate's.
	subject *v1alpha1.CheckRecord
	// inForce: the target holds the deployed token, as far as is known.
	inForce bool
	// lagsSpec: the target does not have yet what an edit asks for.
	lagsSpec bool
}

func newView(v *verdict, target Target, status *v1alpha1.JupicoCredentialStatus) *view {
	h := &v.history
	s := &view{verdict: v, facts: v.facts, target: target, focus: h.focus(v.facts)}
	s.candidate, s.source = &h.entries[s.focus].CheckRecord, &s.Sources[s.focus]
	s.subject = s.candidate
	if h.deployed != nil {
		s.subject = &h.deployed.CheckRecord
	}
	s.inForce = h.deployed != nil && (target.Holds || !s.targetDrifted)
	s.lagsSpec = status.Target != nil && status.Target.ObservedGeneration != s.Resource.Generation
	return s
}

func (s *view) isStale(record *v1alpha1.CheckRecord) bool {
	return record.Verdict == v1alpha1.VerdictAccepted && !s.Now.Before(scheduleOf(s.Resource).staleAt(record))
}

// isUnverifiable reports whether the deployed token is not known, and so cannot be checked.
func (s *view) isUnverifiable() bool {
	if said := s.previous(v1alpha1.ConditionCredentialAccepted); s.Resource.Spec.Suspend && said != nil {
		return said.Reason == v1alpha1.ReasonDeployedUnverifiable // no source was read
	}
	return s.history.isDiverged() && !s.isDeployedKnown()
}

func (s *view) ready() condition {
	switch {
	case s.Resource.Spec.Suspend:
		return s.suspended()
	case s.target.Problem != "":
		return s.targetProblem()
	case s.subject.Verdict == v1alpha1.VerdictRejected:
		return s.rejected()
	case s.history.isDiverged() && s.candidate.Verdict == v1alpha1.VerdictRejected:
		return s.lastKnownGood(v1alpha1.ReasonCandidateRejected, s.candidateRejectedMessage(), stalled)
	case s.source.Problem != "":
		return s.lastKnownGood(s.source.Problem, s.sourceMessage(), s.sourceProgress())
	case s.candidate.Verdict == v1alpha1.VerdictUnknown:
		return s.unproven()
	case s.inForce:
		return s.delivery()
	default: // accepted, and to be written once it is accepted again
		return condition{metav1.ConditionFalse, v1alpha1.ReasonWaitingForCredential, s.waitingMessage(), reconciling}
	}
}

// delivery is about an accepted token in the target.
func (s *view) delivery() condition {
	switch {
	case s.isStale(s.subject):
		return condition{metav1.ConditionTrue, v1alpha1.ReasonStale, s.staleMessage(), settled}
	case s.history.active > 0:
		return condition{metav1.ConditionTrue, v1alpha1.ReasonFailedOver, s.failedOverMessage(), settled}
	default:
		return condition{metav1.ConditionTrue, s.subject.Reason, s.acceptedMessage(), settled}
	}
}

func (s *view) suspended() condition {
	status := metav1.ConditionUnknown
	if last := s.previous(v1alpha1.ConditionReady); last != nil {
		status = last.Status
	}
	return condition{status, v1alpha1.ReasonSuspended, suspendedMessage, settled}
}

func (s *view) targetProblem() condition {
	// A template that can't be rendered says nothing against the target that stands.
	if s.target.Problem == v1alpha1.ReasonTemplateError && s.inForce && s.subject.Verdict == v1alpha1.VerdictAccepted {
		message := s.target.Detail + s.lastKnownGoodMessage()
		return condition{metav1.ConditionTrue, v1alpha1.ReasonTemplateError, message, stalled}
	}
	progress := reconciling
	if s.target.NeedsUser {
		progress = stalled
	}
	return condition{metav1.ConditionFalse, s.target.Problem, s.target.Detail, progress}
}

// rejected is about a token that the API rejects, while no other credential can replace it.
func (s *view) rejected() condition {
	progress := stalled
	reason := s.rejectionReason()
	if reason == v1alpha1.ReasonSandboxReset {
		progress = reconciling
	}
	message := s.rejectedMessage()
	if !s.candidates[s.focus].heldUntil.IsZero() {
		message += " " + s.editedTooOftenMessage()
	}
	return condition{metav1.ConditionFalse, reason, message, progress}
}

func (s *view) rejectionReason() string {
	acceptedBefore := s.subject.LastAcceptedTime != nil
	switch {
	case acceptedBefore && environmentOf(s.Resource.Spec.Environment).isReset:
		return v1alpha1.ReasonSandboxReset
	case acceptedBefore && s.subject.Reason == string(outcome.Rejected):
		return v1alpha1.ReasonRevoked
	default:
		return s.subject.Reason
	}
}

// lastKnownGood is about a source that gives no token to deliver. A token in force stays in force, and nothing is wrong
// with it. Without one, progress says who has to act.
func (s *view) lastKnownGood(reason, message string, progress progress) condition {
	if s.inForce {
		return condition{metav1.ConditionTrue, reason, message, settled}
	}
	return condition{metav1.ConditionFalse, reason, message, progress}
}

func (s *view) sourceProgress() progress {
	if s.source.Problem == v1alpha1.ReasonSourceNotFound || s.source.Problem == v1alpha1.ReasonSourceUnreadable {
		return reconciling
	}
	return stalled
}

// unproven is about a candidate that met no evidence yet.
func (s *view) unproven() condition {
	result := outcome.Outcome(s.candidate.Reason)
	if result == "" {
		result = v1alpha1.ReasonChecking
	}
	progress := reconciling
	isComing := s.CA.IsMissing || !s.CA.RetryAt.IsZero()
	if result.NeedsUser() && !isComing {
		progress = stalled
	}
	status := metav1.ConditionFalse
	switch {
	case s.inForce:
		status = metav1.ConditionTrue
	case result == v1alpha1.ReasonChecking:
		status = metav1.ConditionUnknown
	}
	return condition{status, string(result), s.unprovenMessage(result), progress}
}

func (s *view) credentialAccepted() condition {
	switch {
	case s.isStale(s.subject) && s.isUnverifiable():
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonDeployedUnverifiable, s.unverifiableMessage(), settled}
	case s.isStale(s.subject):
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonStale, s.staleMessage(), settled}
	case s.subject.Verdict == v1alpha1.VerdictAccepted:
		return condition{metav1.ConditionTrue, s.subject.Reason, s.acceptedAtMessage(), settled}
	case s.subject.Verdict == v1alpha1.VerdictRejected:
		return condition{metav1.ConditionFalse, s.rejectionReason(), s.rejectedMessage(), settled}
	case s.Resource.Spec.Suspend:
		reason := v1alpha1.ReasonSuspended
		return condition{metav1.ConditionUnknown, reason, s.notKnownMessage(reason), settled}
	case s.source.Problem != "":
		return s.notKnown(s.source.Problem, s.sourceMessage())
	default:
		unproven := s.unproven()
		return s.notKnown(unproven.reason, unproven.message)
	}
}

// notKnown is about a credential that is neither accepted nor rejected. Mostly Ready says why.
func (s *view) notKnown(reason, why string) condition {
	if s.target.Problem == "" {
		why = s.notKnownMessage(reason)
	}
	return condition{metav1.ConditionUnknown, reason, why, settled}
}

func (s *view) secretSynced() condition {
	no := func(reason, message string) condition {
		return condition{metav1.ConditionFalse, reason, message, settled}
	}
	switch {
	case s.Resource.Spec.Suspend: // nothing is compared
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonSuspended, suspendedMessage, settled}
	case s.target.Problem != "":
		return no(s.target.Problem, s.target.Detail)
	case s.history.deployed == nil:
		return no(v1alpha1.ReasonWaitingForCredential, s.waitingMessage())
	case s.source.Problem != "":
		return no(s.source.Problem, s.sourceMessage())
	case s.history.isDiverged() && s.candidate.Verdict == v1alpha1.VerdictRejected:
		return no(v1alpha1.ReasonCandidateRejected, s.candidateRejectedMessage())
	case s.history.isDiverged() && s.candidate.Verdict == v1alpha1.VerdictUnknown:
		return no(s.unproven().reason, s.waitingMessage())
	case !s.inForce, s.history.isDiverged(), s.lagsSpec:
		return no(v1alpha1.ReasonWaitingForCredential, s.waitingMessage())
	case s.target.FormerRemains != "":
		return condition{metav1.ConditionTrue, v1alpha1.ReasonFormerTargetRemains, s.target.FormerRemains, settled}
	default:
		return condition{metav1.ConditionTrue, v1alpha1.ReasonSynced, s.syncedMessage(), settled}
	}
}

func (s *view) endpointAvailable() condition {
	previous := s.previous(v1alpha1.ConditionEndpointAvailable)
	isKnown := previous != nil && previous.Status != metav1.ConditionUnknown
	switch {
	case s.Resource.Spec.Suspend, s.last == nil && isKnown:
		return s.asKnown(v1alpha1.ConditionEndpointAvailable)
	case s.last == nil && s.source.Problem != "":
		message := s.Endpoint.URL + " was not asked yet: there is no credential to ask it about."
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonNotChecked, message, settled}
	case s.last == nil:
		message := s.unprovenMessage(v1alpha1.ReasonChecking)
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonChecking, message, settled}
	case s.last.Outcome.IsEvidence():
		message := s.Endpoint.URL + " answered the last check with evidence."
		return condition{metav1.ConditionTrue, v1alpha1.ReasonAvailable, message, settled}
	default:
		message := s.noEvidence(s.last.Result)
		return condition{metav1.ConditionFalse, string(s.last.Outcome), message, settled}
	}
}

// redundant is about two credentials, each of which may be revoked while both are accepted.
func (s *view) redundant() condition {
	if s.Resource.Spec.Suspend {
		return s.asKnown(v1alpha1.ConditionRedundant)
	}
	for i := range s.history.entries {
		record, source := &s.history.entries[i].CheckRecord, &s.Sources[i]
		switch {
		case source.Problem != "":
			return condition{metav1.ConditionFalse, source.Problem, s.notRedundantMessage(i), settled}
		case record.Verdict == v1alpha1.VerdictRejected:
			return condition{metav1.ConditionFalse, record.Reason, s.notRedundantMessage(i), settled}
		case record.Verdict == v1alpha1.VerdictUnknown:
			reason := cmp.Or(record.Reason, v1alpha1.ReasonChecking)
			return condition{metav1.ConditionUnknown, reason, s.notRedundantMessage(i), settled}
		case s.isStale(record):
			return condition{metav1.ConditionUnknown, v1alpha1.ReasonStale, s.notRedundantMessage(i), settled}
		case s.candidates[i].repeatsFirst:
			return condition{metav1.ConditionFalse, v1alpha1.ReasonSameCredential, s.sameCredentialMessage(), settled}
		}
	}
	return condition{metav1.ConditionTrue, v1alpha1.ReasonBothAccepted, s.bothAcceptedMessage(), settled}
}

// asKnown repeats a condition of the old status.
func (s *view) asKnown(conditionType string) condition {
	if last := s.previous(conditionType); last != nil {
		return condition{last.Status, last.Reason, last.Message, settled}
	}
	return condition{metav1.ConditionUnknown, v1alpha1.ReasonSuspended, suspendedMessage, settled}
}

func (s *view) previous(conditionType string) *metav1.Condition {
	return meta.FindStatusCondition(s.status.Conditions, conditionType)
}
