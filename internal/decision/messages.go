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

func (w *view) acceptedMessage() string {
	if w.subject.Reason == string(outcome.LimitedPermissions) {
		return fmt.Sprintf("Jupico recognises credential %q, which lacks the permission to read /status; Secret %q holds "+
			"its token. Nothing is wrong if it has the permissions that the application needs.",
			w.entryName(), w.targetName())
	}
	return fmt.Sprintf("Jupico accepts credential %q, and Secret %q holds its token.", w.entryName(), w.targetName())
}

func (w *view) failedOverMessage() string {
	first := &w.history.entries[0]
	if first.Verdict == v1alpha1.VerdictAccepted && w.Sources[0].Problem == "" {
		return fmt.Sprintf("Credential %q stands in for %q, and Secret %q holds its token. Jupico accepts %q again: once it "+
			"has done so twice in a row, that is preferred again.", w.entryName(), first.Name, w.targetName(), first.Name)
	}
	return fmt.Sprintf("Credential %q stands in for %q (%s), and Secret %q holds its token. Put a valid credential into "+
		"Secret %q: once Jupico accepts it, it is preferred again.",
		w.entryName(), first.Name, w.label(0), w.targetName(), w.Resource.Spec.Credentials[0].SecretName())
}

// label says in a word what is known of an entry.
func (w *view) label(i int) string {
	record := &w.history.entries[i].CheckRecord
	switch {
	case w.Sources[i].Problem != "":
		return w.Sources[i].Problem
	case w.isStale(record):
		return v1alpha1.ReasonStale
	default:
		return cmp.Or(record.Reason, v1alpha1.ReasonChecking)
	}
}

func (w *view) notRedundantMessage(i int) string {
	return fmt.Sprintf("Credential %q is not known to be good (%s), so there is nothing to fall back on. See Secret %q.",
		w.history.entries[i].Name, w.label(i), w.Resource.Spec.Credentials[i].SecretName())
}

func (w *view) sameCredentialMessage() string {
	return fmt.Sprintf("Credentials %q and %q are one and the same, so that neither can stand in for the other.",
		w.history.entries[0].Name, w.history.entries[1].Name)
}

func (w *view) bothAcceptedMessage() string {
	return fmt.Sprintf("Jupico accepts both credentials, %q and %q: either can stand in for the other.",
		w.history.entries[0].Name, w.history.entries[1].Name)
}

func (w *view) acceptedAtMessage() string {
	url := w.Endpoint.URL
	if w.history.isDiverged() {
		url = w.history.deployed.Endpoint
	}
	return fmt.Sprintf("Jupico accepted the token of credential %q at %s.", w.entryName(), url)
}

// notKnownMessage leaves it to Ready to say why.
func (w *view) notKnownMessage(reason string) string {
	return fmt.Sprintf("It is not known yet whether Jupico accepts credential %q (%s).", w.entryName(), reason)
}

func (w *view) syncedMessage() string {
	message := fmt.Sprintf("Secret %q is what the spec and the source ask for.", w.targetName())
	isAdopted := w.Target != nil && w.Target.Mark.IsAdopted()
	if w.delivered.Status != nil {
		isAdopted = w.delivered.IsAdopted
	}
	if isAdopted {
		message += " It existed before, so it stays when this resource is deleted."
	}
	return message
}

func (w *view) rejectedMessage() string {
	message := w.rejectedBecause()
	if w.subject.LastRejected != nil && w.subject.LastRejected.MassRejection {
		message += " Most credentials at this endpoint were rejected at the same time: the cause is likely Jupico's."
	}
	return message
}

func (w *view) rejectedBecause() string {
	name, source := w.entryName(), w.sourceName()
	switch reason := w.rejectionReason(); reason {
	case v1alpha1.ReasonSandboxReset:
		return fmt.Sprintf("The shared sandbox accepted credential %q until %s and now rejects it (%s). Either the daily "+
			"reset is under way, and it heals by itself; or the published password was changed, and Secret %q needs the "+
			"new one; or the account was revoked. status.nextCheckTime says when it is checked again.",
			name, clockTime(w.subject.LastAcceptedTime), w.subject.Reason, source)
	case v1alpha1.ReasonRevoked:
		kept := ""
		if w.inForce {
			kept = fmt.Sprintf(" Secret %q keeps the rejected token.", w.targetName())
		}
		return fmt.Sprintf("Jupico accepted credential %q until %s and now rejects it: the key was revoked or the password "+
			"changed.%s Put a valid one into Secret %q; it is acted on at once.",
			name, clockTime(w.subject.LastAcceptedTime), kept, source)
	case string(outcome.UserInactive):
		return fmt.Sprintf("Jupico knows the user of credential %q, who is not active%s. Activate the user in Backoffice, "+
			"or put another credential into Secret %q.", name, w.until(), source)
	case string(outcome.AccountInactive):
		return fmt.Sprintf("Jupico knows credential %q, but its submerchant, facilitator or product was not found or is "+
			"not active%s. Ask Jupico, or put another credential into Secret %q.", name, w.until(), source)
	default:
		return fmt.Sprintf("Jupico does not know credential %q. Compare Secret %q with Backoffice, and see whether it "+
			"belongs to environment %s; a correction is acted on at once. Meanwhile it is tried less and less often, so "+
			"that the account is not locked.", name, source, w.Resource.Spec.Environment)
	}
}

// until says how long the credential was accepted, if it ever was.
func (w *view) until() string {
	if w.subject.LastAcceptedTime == nil {
		return ""
	}
	return " any more; it was accepted until " + clockTime(w.subject.LastAcceptedTime)
}

func (w *view) candidateRejectedMessage() string {
	return fmt.Sprintf("Jupico rejects what Secret %q now holds (%s). Correct it; that is acted on at once.%s",
		w.sourceName(), w.candidateRecord.Reason, w.lastKnownGoodMessage())
}

func (w *view) sourceMessage() string { return w.source.Detail + w.lastKnownGoodMessage() }

// lastKnownGoodMessage says what is in force while the source cannot be followed.
func (w *view) lastKnownGoodMessage() string {
	if !w.inForce || w.subject.LastAcceptedTime == nil {
		return ""
	}
	return fmt.Sprintf(" Secret %q keeps the token that was accepted last, at %s.",
		w.targetName(), clockTime(w.subject.LastAcceptedTime))
}

func (w *view) staleMessage() string {
	message := fmt.Sprintf("Jupico last accepted credential %q at %s, and no check of it has succeeded since",
		w.entryName(), clockTime(w.subject.LastAcceptedTime))
	if endpoint := w.endpointAvailable(); endpoint.status == metav1.ConditionFalse {
		message += fmt.Sprintf(" (%s)", endpoint.reason)
	}
	return message + fmt.Sprintf(". Secret %q keeps its token, which may still be valid. See the condition %s.",
		w.targetName(), v1alpha1.ConditionEndpointAvailable)
}

func (w *view) unverifiableMessage() string {
	return fmt.Sprintf("The operator does not know whether Secret %q holds a good token: it, or the endpoint, was "+
		"changed while the operator could not look. It is known again once Jupico accepts the credential in Secret %q "+
		"at %s: correct what keeps it from that.", w.targetName(), w.sourceName(), w.Endpoint.URL)
}

func (w *view) waitingMessage() string {
	if w.candidateRecord.Verdict == v1alpha1.VerdictAccepted {
		return fmt.Sprintf("Jupico accepts credential %q, and Secret %q is yet to be written.", w.entryName(), w.targetName())
	}
	return fmt.Sprintf("Secret %q is written as soon as Jupico accepts the credential.", w.targetName())
}

const suspendedMessage = "spec.suspend is true: nothing is checked and nothing is written until it is false again."

// unprovenMessage is about a candidate without evidence. result may be Checking.
func (w *view) unprovenMessage(result outcome.Outcome) string {
	message := fmt.Sprintf("The first check of credential %q at %s is under way.",
		w.Resource.Spec.Credentials[w.focus].Name, w.Endpoint.URL)
	switch result {
	case v1alpha1.ReasonChecking:
	case v1alpha1.ReasonEditedTooOften:
		message = w.editedTooOftenMessage()
	default:
		message = w.noEvidence(outcome.Result{Outcome: result})
		if said := w.endpointAvailable(); said.reason == string(result) {
			message = said.message // with the detail of the check that it is about
		}
	}
	return message + w.lastKnownGoodMessage()
}

// editedTooOftenMessage is about an edit that is held.
func (w *view) editedTooOftenMessage() string {
	return fmt.Sprintf("After %d edits or check requests in a row, one is tried each minute. The last edit of credential "+
		"%q is tried at %s. See who keeps editing Secret %q or spec.endpoint, and stop that.",
		requestsInARow, w.Resource.Spec.Credentials[w.focus].Name, clockTime(w.candidateRecord.NextCheckTime), w.sourceName())
}

// requestedTooOftenMessage is about a check request that is put off.
func (w *view) requestedTooOftenMessage() string {
	return fmt.Sprintf("Checks were requested too often: after %d in a row, one is made each minute. The one that was "+
		"requested last is made at %s.", requestsInARow, clockTime(timestamp(roundUp(w.retryRequestAt))))
}

// noEvidence says what came instead of evidence, and what to do about it.
func (w *view) noEvidence(result outcome.Result) string {
	if result.AtProxy {
		message := fmt.Sprintf("%s cannot be asked (%s). See the proxy, and HTTPS_PROXY of the operator.",
			w.Endpoint.URL, result.Detail)
		if result.Outcome == outcome.TLSFailure {
			message += " Its certificate is verified by the authorities of the system, of SSL_CERT_FILE or of --trusted-ca-dir."
		}
		return message
	}
	message := result.Outcome.Message(w.Endpoint.URL, result.Detail)
	if hint := environmentOf(w.Resource.Spec.Environment).hint; result.Outcome == outcome.Unreachable && hint != "" {
		message += " " + hint
	}
	return message
}

func (w *view) entryName() string {
	if w.history.isDiverged() {
		return w.history.deployed.Credential
	}
	return w.Resource.Spec.Credentials[w.focus].Name
}

func (w *view) sourceName() string { return w.Resource.Spec.Credentials[w.focus].SecretName() }

func (w *view) targetName() string { return w.Resource.Spec.Target.Name }

func clockTime(t *metav1.Time) string {
	return t.UTC().Format(time.RFC3339)
}
