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

	delivered Target // what became of the target
	// focus is the entry that the conditions are about, candidateRecord its record, and source where it is read from.
	focus           int
	candidateRecord *v1alpha1.CheckRecord
	source          *Source
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
	w := &view{verdict: v, facts: v.facts, delivered: target, focus: h.focus(v.facts)}
	w.candidateRecord, w.source = &h.entries[w.focus].CheckRecord, &w.Sources[w.focus]
	w.subject = w.candidateRecord
	if h.deployed != nil {
		w.subject = &h.deployed.CheckRecord
	}
	w.inForce = h.deployed != nil && (target.Holds || !w.targetDrifted)
	w.lagsSpec = status.Target != nil && status.Target.ObservedGeneration != w.Resource.Generation
	return w
}

func (w *view) isStale(record *v1alpha1.CheckRecord) bool {
	return record.Verdict == v1alpha1.VerdictAccepted && !w.Now.Before(scheduleOf(w.Resource).staleAt(record))
}

// isUnverifiable reports whether the deployed token is not known, and so cannot be checked.
func (w *view) isUnverifiable() bool {
	if said := w.previous(v1alpha1.ConditionCredentialAccepted); w.Resource.Spec.Suspend && said != nil {
		return said.Reason == v1alpha1.ReasonDeployedUnverifiable // no source was read
	}
	return w.history.isDiverged() && !w.isDeployedKnown()
}

func (w *view) ready() condition {
	switch {
	case w.Resource.Spec.Suspend:
		return w.suspended()
	case w.delivered.Problem != "":
		return w.targetProblem()
	case w.subject.Verdict == v1alpha1.VerdictRejected:
		return w.rejected()
	case w.history.isDiverged() && w.candidateRecord.Verdict == v1alpha1.VerdictRejected:
		return w.lastKnownGood(v1alpha1.ReasonCandidateRejected, w.candidateRejectedMessage(), stalled)
	case w.source.Problem != "":
		return w.lastKnownGood(w.source.Problem, w.sourceMessage(), w.sourceProgress())
	case w.candidateRecord.Verdict == v1alpha1.VerdictUnknown:
		return w.unproven()
	case w.inForce && w.subject.Verdict == v1alpha1.VerdictAccepted:
		return w.delivery()
	default: // accepted, and to be written once it is accepted again
		return condition{metav1.ConditionFalse, v1alpha1.ReasonWaitingForCredential, w.waitingMessage(), reconciling}
	}
}

// delivery is about an accepted token in the target.
func (w *view) delivery() condition {
	switch {
	case w.isStale(w.subject):
		return condition{metav1.ConditionTrue, v1alpha1.ReasonStale, w.staleMessage(), settled}
	case w.history.active > 0:
		return condition{metav1.ConditionTrue, v1alpha1.ReasonFailedOver, w.failedOverMessage(), settled}
	default:
		return condition{metav1.ConditionTrue, w.subject.Reason, w.acceptedMessage(), settled}
	}
}

func (w *view) suspended() condition {
	status := metav1.ConditionUnknown
	if last := w.previous(v1alpha1.ConditionReady); last != nil {
		status = last.Status
	}
	return condition{status, v1alpha1.ReasonSuspended, suspendedMessage, settled}
}

func (w *view) targetProblem() condition {
	// A template that can't be rendered says nothing against the target that stands.
	if w.delivered.Problem == v1alpha1.ReasonTemplateError && w.inForce && w.subject.Verdict == v1alpha1.VerdictAccepted {
		message := w.delivered.Detail + w.lastKnownGoodMessage()
		return condition{metav1.ConditionTrue, v1alpha1.ReasonTemplateError, message, stalled}
	}
	progress := reconciling
	if w.delivered.NeedsUser {
		progress = stalled
	}
	return condition{metav1.ConditionFalse, w.delivered.Problem, w.delivered.Detail, progress}
}

// rejected is about a token that the API rejects, while no other credential can replace it.
func (w *view) rejected() condition {
	progress := stalled
	reason := w.rejectionReason()
	if reason == v1alpha1.ReasonSandboxReset {
		progress = reconciling
	}
	message := w.rejectedMessage()
	if !w.candidates[w.focus].heldUntil.IsZero() {
		message += " " + w.editedTooOftenMessage()
	}
	return condition{metav1.ConditionFalse, reason, message, progress}
}

func (w *view) rejectionReason() string {
	acceptedBefore := w.subject.LastAcceptedTime != nil
	switch {
	case acceptedBefore && environmentOf(w.Resource.Spec.Environment).isReset:
		return v1alpha1.ReasonSandboxReset
	case acceptedBefore && w.subject.Reason == string(outcome.Rejected):
		return v1alpha1.ReasonRevoked
	default:
		return w.subject.Reason
	}
}

// lastKnownGood is about a source that gives no token to deliver. A token in force stays in force, and nothing is wrong
// with it. Without one, progress says who has to act.
func (w *view) lastKnownGood(reason, message string, progress progress) condition {
	if w.inForce {
		return condition{metav1.ConditionTrue, reason, message, settled}
	}
	return condition{metav1.ConditionFalse, reason, message, progress}
}

func (w *view) sourceProgress() progress {
	if w.source.Problem == v1alpha1.ReasonSourceNotFound || w.source.Problem == v1alpha1.ReasonSourceUnreadable {
		return reconciling
	}
	return stalled
}

// unproven is about a candidate that met no evidence yet.
func (w *view) unproven() condition {
	result := outcome.Outcome(w.candidateRecord.Reason)
	if result == "" {
		result = v1alpha1.ReasonChecking
	}
	progress := reconciling
	isComing := w.CA.IsMissing || !w.CA.RetryAt.IsZero()
	if result.NeedsUser() && !isComing {
		progress = stalled
	}
	status := metav1.ConditionFalse
	switch {
	case w.inForce:
		status = metav1.ConditionTrue
	case result == v1alpha1.ReasonChecking:
		status = metav1.ConditionUnknown
	}
	return condition{status, string(result), w.unprovenMessage(result), progress}
}

func (w *view) credentialAccepted() condition {
	switch {
	case w.isStale(w.subject) && w.isUnverifiable():
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonDeployedUnverifiable, w.unverifiableMessage(), settled}
	case w.isStale(w.subject):
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonStale, w.staleMessage(), settled}
	case w.subject.Verdict == v1alpha1.VerdictAccepted:
		return condition{metav1.ConditionTrue, w.subject.Reason, w.acceptedAtMessage(), settled}
	case w.subject.Verdict == v1alpha1.VerdictRejected:
		return condition{metav1.ConditionFalse, w.rejectionReason(), w.rejectedMessage(), settled}
	case w.Resource.Spec.Suspend:
		reason := v1alpha1.ReasonSuspended
		return condition{metav1.ConditionUnknown, reason, w.notKnownMessage(reason), settled}
	case w.source.Problem != "":
		return w.notKnown(w.source.Problem, w.sourceMessage())
	default:
		unproven := w.unproven()
		return w.notKnown(unproven.reason, unproven.message)
	}
}

// notKnown is about a credential that is neither accepted nor rejected. Mostly Ready says why.
func (w *view) notKnown(reason, why string) condition {
	if w.delivered.Problem == "" {
		why = w.notKnownMessage(reason)
	}
	return condition{metav1.ConditionUnknown, reason, why, settled}
}

func (w *view) secretSynced() condition {
	no := func(reason, message string) condition {
		return condition{metav1.ConditionFalse, reason, message, settled}
	}
	switch {
	case w.Resource.Spec.Suspend: // nothing is compared
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonSuspended, suspendedMessage, settled}
	case w.delivered.Problem != "":
		return no(w.delivered.Problem, w.delivered.Detail)
	case w.history.deployed == nil:
		return no(v1alpha1.ReasonWaitingForCredential, w.waitingMessage())
	case w.source.Problem != "":
		return no(w.source.Problem, w.sourceMessage())
	case w.history.isDiverged() && w.candidateRecord.Verdict == v1alpha1.VerdictRejected:
		return no(v1alpha1.ReasonCandidateRejected, w.candidateRejectedMessage())
	case w.history.isDiverged() && w.candidateRecord.Verdict == v1alpha1.VerdictUnknown:
		return no(w.unproven().reason, w.waitingMessage())
	case !w.inForce, w.history.isDiverged(), w.lagsSpec:
		return no(v1alpha1.ReasonWaitingForCredential, w.waitingMessage())
	case w.formerRemains() != "":
		return condition{metav1.ConditionTrue, v1alpha1.ReasonFormerTargetRemains, w.formerRemains(), settled}
	default:
		return condition{metav1.ConditionTrue, v1alpha1.ReasonSynced, w.syncedMessage(), settled}
	}
}

// formerRemains says which former target could not be cleaned up. If nothing was tried, it is as it was.
func (w *view) formerRemains() string {
	last := w.previous(v1alpha1.ConditionSecretSynced)
	if !w.delivered.Holds && len(w.FormerTargets) > 0 && hasFormerTarget(last) {
		return last.Message
	}
	return w.delivered.FormerRemains
}

func (w *view) endpointAvailable() condition {
	previous := w.previous(v1alpha1.ConditionEndpointAvailable)
	isKnown := previous != nil && previous.Status != metav1.ConditionUnknown
	switch {
	case w.Resource.Spec.Suspend, w.last == nil && isKnown:
		return w.asKnown(v1alpha1.ConditionEndpointAvailable)
	case w.last == nil && w.source.Problem != "":
		message := w.Endpoint.URL + " was not asked yet: there is no credential to ask it about."
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonNotChecked, message, settled}
	case w.last == nil:
		message := w.unprovenMessage(v1alpha1.ReasonChecking)
		return condition{metav1.ConditionUnknown, v1alpha1.ReasonChecking, message, settled}
	case w.last.Outcome.IsEvidence():
		message := w.Endpoint.URL + " gave a clear answer to the last check."
		return condition{metav1.ConditionTrue, v1alpha1.ReasonAvailable, message, settled}
	default:
		message := w.noEvidence(w.last.Result)
		return condition{metav1.ConditionFalse, string(w.last.Outcome), message, settled}
	}
}

// redundant is about two credentials, each of which may be revoked while both are accepted.
func (w *view) redundant() condition {
	if w.Resource.Spec.Suspend {
		return w.asKnown(v1alpha1.ConditionRedundant)
	}
	for i := range w.history.entries {
		record, source := &w.history.entries[i].CheckRecord, &w.Sources[i]
		switch {
		case source.Problem != "":
			return condition{metav1.ConditionFalse, source.Problem, w.notRedundantMessage(i), settled}
		case record.Verdict == v1alpha1.VerdictRejected:
			return condition{metav1.ConditionFalse, record.Reason, w.notRedundantMessage(i), settled}
		case record.Verdict == v1alpha1.VerdictUnknown:
			reason := cmp.Or(record.Reason, v1alpha1.ReasonChecking)
			return condition{metav1.ConditionUnknown, reason, w.notRedundantMessage(i), settled}
		case w.isStale(record):
			return condition{metav1.ConditionUnknown, v1alpha1.ReasonStale, w.notRedundantMessage(i), settled}
		case w.candidates[i].repeatsFirst:
			return condition{metav1.ConditionFalse, v1alpha1.ReasonSameCredential, w.sameCredentialMessage(), settled}
		}
	}
	return condition{metav1.ConditionTrue, v1alpha1.ReasonBothAccepted, w.bothAcceptedMessage(), settled}
}

// asKnown repeats a condition of the old status.
func (w *view) asKnown(conditionType string) condition {
	if last := w.previous(conditionType); last != nil {
		return condition{last.Status, last.Reason, last.Message, settled}
	}
	return condition{metav1.ConditionUnknown, v1alpha1.ReasonSuspended, suspendedMessage, settled}
}

func (w *view) previous(conditionType string) *metav1.Condition {
	return meta.FindStatusCondition(w.status.Conditions, conditionType)
}
