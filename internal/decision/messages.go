// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"cmp"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Every state has one message: what happened, since when, and what to do next. A message is made of names, times and
// words that stand in this project's code, never of a value that was read or received.

func (s *view) acceptedMessage() string {
	if s.subject.Reason == string(outcome.LimitedPermissions) {
		return fmt.Sprintf("Jupico recognises credential %q, which lacks the permission to read /status; Secret %q holds "+
			"its token. Nothing is wrong if it has the permissions that the application needs.",
			s.entryName(), s.targetName())
	}
	return fmt.Sprintf("Jupico accepts credential %q, and Secret %q holds its token.", s.entryName(), s.targetName())
}

func (s *view) failedOverMessage() string {
	first := &s.history.entries[0]
	if first.Verdict == v1alpha1.VerdictAccepted && s.Sources[0].Problem == "" {
		return fmt.Sprintf("Credential %q stands in for %q, and Secret %q holds its token. Jupico accepts %q again: once it "+
			"has done so twice in a row, that is preferred again.", s.entryName(), first.Name, s.targetName(), first.Name)
	}
	return fmt.Sprintf("Credential %q stands in for %q (%s), and Secret %q holds its token. Put a valid credential into "+
		"Secret %q: once Jupico accepts it, it is preferred again.",
		s.entryName(), first.Name, s.label(0), s.targetName(), s.Resource.Spec.Credentials[0].SecretName())
}

// label says in a word what is known of an entry.
func (s *view) label(i int) string {
	record := &s.history.entries[i].CheckRecord
	switch {
	case s.Sources[i].Problem != "":
		return s.Sources[i].Problem
	case s.isStale(record):
		return v1alpha1.ReasonStale
	default:
		return cmp.Or(record.Reason, v1alpha1.ReasonChecking)
	}
}

func (s *view) notRedundantMessage(i int) string {
	return fmt.Sprintf("Of two credentials, %q is not known to be good (%s), so that there is none to fall back on. See "+
		"Secret %q.", s.history.entries[i].Name, s.label(i), s.Resource.Spec.Credentials[i].SecretName())
}

func (s *view) sameCredentialMessage() string {
	return fmt.Sprintf("Credentials %q and %q are one and the same, so that neither can stand in for the other.",
		s.history.entries[0].Name, s.history.entries[1].Name)
}

func (s *view) bothAcceptedMessage() string {
	return fmt.Sprintf("Jupico accepts both credentials, %q and %q: either can stand in for the other.",
		s.history.entries[0].Name, s.history.entries[1].Name)
}

func (s *view) acceptedAtMessage() string {
	url := s.Endpoint.URL
	if s.history.isDiverged() {
		url = s.history.deployed.Endpoint
	}
	return fmt.Sprintf("Jupico accepted the token of credential %q at %s.", s.entryName(), url)
}

// notKnownMessage leaves it to Ready to say why.
func (s *view) notKnownMessage(reason string) string {
	return fmt.Sprintf("It is not known yet whether Jupico accepts credential %q (%s).", s.entryName(), reason)
}

func (s *view) syncedMessage() string {
	message := fmt.Sprintf("Secret %q is as the spec and the source ask for.", s.targetName())
	isAdopted := s.Target != nil && s.Target.Mark.IsAdopted()
	if s.target.Status != nil {
		isAdopted = s.target.IsAdopted
	}
	if isAdopted {
		message += " It existed before, so it stays when this resource is deleted."
	}
	return message
}

func (s *view) rejectedMessage() string {
	message := s.rejectedBecause()
	if s.subject.LastRejected != nil && s.subject.LastRejected.MassRejection {
		message += " Most credentials at this endpoint were rejected at the same time: the cause is likely Jupico's."
	}
	return message
}

func (s *view) rejectedBecause() string {
	name, source := s.entryName(), s.sourceName()
	switch reason := s.rejectionReason(); reason {
	case v1alpha1.ReasonSandboxReset:
		return fmt.Sprintf("The shared sandbox accepted credential %q until %s and now rejects it (%s). Either the daily "+
			"reset is under way, and it heals by itself; or the published password was changed, and Secret %q needs the "+
			"new one; or the account was revoked. status.nextCheckTime says when it is looked at again.",
			name, clockTime(s.subject.LastAcceptedTime), s.subject.Reason, source)
	case v1alpha1.ReasonRevoked:
		kept := ""
		if s.inForce {
			kept = fmt.Sprintf(" Secret %q keeps the rejected token.", s.targetName())
		}
		return fmt.Sprintf("Jupico accepted credential %q until %s and now rejects it: the key was revoked or the password "+
			"changed.%s Put a valid one into Secret %q; it is acted on at once.",
			name, clockTime(s.subject.LastAcceptedTime), kept, source)
	case string(outcome.UserInactive):
		return fmt.Sprintf("Jupico knows the user of credential %q, who is not active%s. Activate the user in Backoffice, "+
			"or put another credential into Secret %q.", name, s.until(), source)
	case string(outcome.AccountInactive):
		return fmt.Sprintf("Jupico knows credential %q, but its submerchant, facilitator or product was not found or is "+
			"not active%s. Ask Jupico, or put another credential into Secret %q.", name, s.until(), source)
	default:
		return fmt.Sprintf("Jupico does not know credential %q. Compare Secret %q with Backoffice, and see whether it "+
			"belongs to environment %s; a correction is acted on at once. Meanwhile it is tried less and less often, so "+
			"that the account is not locked.", name, source, s.Resource.Spec.Environment)
	}
}

// until says since when a rejection matters, if it ever was otherwise.
func (s *view) until() string {
	if s.subject.LastAcceptedTime == nil {
		return ""
	}
	return " any more; it was accepted until " + clockTime(s.subject.LastAcceptedTime)
}

func (s *view) candidateRejectedMessage() string {
	return fmt.Sprintf("Jupico rejects what Secret %q now holds (%s). Correct it; that is acted on at once.%s",
		s.sourceName(), s.candidate.Reason, s.lastKnownGoodMessage())
}

func (s *view) sourceMessage() string { return s.source.Detail + s.lastKnownGoodMessage() }

// lastKnownGoodMessage says what is in force while the source cannot be followed.
func (s *view) lastKnownGoodMessage() string {
	if !s.inForce || s.subject.LastAcceptedTime == nil {
		return ""
	}
	return fmt.Sprintf(" Secret %q keeps the token that was accepted last, at %s.",
		s.targetName(), clockTime(s.subject.LastAcceptedTime))
}

func (s *view) staleMessage() string {
	message := fmt.Sprintf("Jupico accepted credential %q last at %s, and nothing was heard of it since", s.entryName(),
		clockTime(s.subject.LastAcceptedTime))
	if endpoint := s.endpointAvailable(); endpoint.status == metav1.ConditionFalse {
		message += fmt.Sprintf(" (%s)", endpoint.reason)
	}
	return message + fmt.Sprintf(". Secret %q keeps its token, which may still be valid. See the condition %s.",
		s.targetName(), v1alpha1.ConditionEndpointAvailable)
}

func (s *view) unverifiableMessage() string {
	return fmt.Sprintf("Secret %q was changed while the operator could not look, and Secret %q gives no token that "+
		"Jupico accepts, so that nobody knows whether the target is any good. Put a valid credential into Secret %q.",
		s.targetName(), s.sourceName(), s.sourceName())
}

func (s *view) waitingMessage() string {
	if s.candidate.Verdict == v1alpha1.VerdictAccepted {
		return fmt.Sprintf("Jupico accepts credential %q, and Secret %q is yet to be written.", s.entryName(), s.targetName())
	}
	return fmt.Sprintf("Secret %q is written as soon as Jupico accepts the credential.", s.targetName())
}

const suspendedMessage = "spec.suspend is true: nothing is checked and nothing is written until it is false again."

// unprovenMessage is about a candidate without evidence. result may be Checking.
func (s *view) unprovenMessage(result outcome.Outcome) string {
	message := fmt.Sprintf("The first check of credential %q at %s is under way.",
		s.Resource.Spec.Credentials[s.focus].Name, s.Endpoint.URL)
	switch result {
	case v1alpha1.ReasonChecking:
	case v1alpha1.ReasonEditedTooOften:
		message = s.editedTooOftenMessage()
	default:
		message = s.noEvidence(outcome.Result{Outcome: result})
		if said := s.endpointAvailable(); said.reason == string(result) {
			message = said.message // with the detail of the check that it is about
		}
	}
	return message + s.lastKnownGoodMessage()
}

// editedTooOftenMessage is about an edit that is held.
func (s *view) editedTooOftenMessage() string {
	return fmt.Sprintf("After %d edits or check requests in a row, one is tried each minute: the last edit of credential "+
		"%q at %s. See who keeps editing Secret %q or spec.endpoint, and stop that.",
		requestsInARow, s.Resource.Spec.Credentials[s.focus].Name, clockTime(s.candidate.NextCheckTime), s.sourceName())
}

// requestedTooOftenMessage is about a check request that is put off.
func (s *view) requestedTooOftenMessage() string {
	return fmt.Sprintf("Checks were requested too often: after %d in a row, one is made each minute. The one that was "+
		"requested last is made at %s.", requestsInARow, clockTime(timestamp(roundUp(s.retryRequestAt))))
}

// noEvidence says what came instead of evidence, and what to do about it.
func (s *view) noEvidence(result outcome.Result) string {
	if result.AtProxy {
		message := fmt.Sprintf("%s cannot be asked (%s). See the proxy, and HTTPS_PROXY of the operator.",
			s.Endpoint.URL, result.Detail)
		if result.Outcome == outcome.TLSFailure {
			message += " Its certificate is verified by the authorities of the system, of SSL_CERT_FILE or of --trusted-ca-dir."
		}
		return message
	}
	message := result.Outcome.Message(s.Endpoint.URL, result.Detail)
	if hint := environmentOf(s.Resource.Spec.Environment).hint; result.Outcome == outcome.Unreachable && hint != "" {
		message += " " + hint
	}
	return message
}

func (s *view) entryName() string {
	if s.history.isDiverged() {
		return s.history.deployed.Credential
	}
	return s.Resource.Spec.Credentials[s.focus].Name
}

func (s *view) sourceName() string { return s.Resource.Spec.Credentials[s.focus].SecretName() }

func (s *view) targetName() string { return s.Resource.Spec.Target.Name }

func clockTime(t *metav1.Time) string {
	return t.UTC().Format(time.RFC3339)
}
