// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Every state has one message: what happened, since when, and what to do next. A message is made of names, times and
// words that stand in this project's code, never of a value that was read or received.

func (s view) acceptedMessage() string {
	if s.subject.Reason == string(outcome.LimitedPermissions) {
		return fmt.Sprintf("Jupico recognises credential %q, which lacks the permission to read /status; Secret %q holds "+
			"its token. Nothing is wrong if it has the permissions that the application needs.",
			s.entryName(), s.targetName())
	}
	return fmt.Sprintf("Jupico accepts credential %q, and Secret %q holds its token.", s.entryName(), s.targetName())
}

func (s view) failedOverMessage() string {
	first := &s.entries[0]
	if first.Verdict == v1alpha1.VerdictAccepted && s.sources[0].Problem == "" {
		return fmt.Sprintf("Credential %q stands in for %q, and Secret %q holds its token. Jupico accepts %q again: once it "+
			"has done so twice in a row, that is preferred again.", s.entryName(), first.Name, s.targetName(), first.Name)
	}
	return fmt.Sprintf("Credential %q stands in for %q (%s), and Secret %q holds its token. Put a valid credential into "+
		"Secret %q: once Jupico accepts it, it is preferred again.",
		s.entryName(), first.Name, s.standing(0), s.targetName(), s.resource.Spec.Credentials[0].SecretName())
}

// standing says in a word what is held of an entry.
func (s view) standing(i int) string {
	record := &s.entries[i].CheckRecord
	switch {
	case s.sources[i].Problem != "":
		return s.sources[i].Problem
	case s.isStale(record):
		return v1alpha1.ReasonStale
	default:
		return cmp.Or(record.Reason, v1alpha1.ReasonChecking)
	}
}

func (s view) notRedundantMessage(i int) string {
	return fmt.Sprintf("Of two credentials, %q is not known to be good (%s), so that there is none to fall back on. See "+
		"Secret %q.", s.entries[i].Name, s.standing(i), s.resource.Spec.Credentials[i].SecretName())
}

func (s view) sameCredentialMessage() string {
	return fmt.Sprintf("Credentials %q and %q are one and the same, so that neither can stand in for the other.",
		s.entries[0].Name, s.entries[1].Name)
}

func (s view) bothAcceptedMessage() string {
	return fmt.Sprintf("Jupico accepts both credentials, %q and %q: either can stand in for the other.",
		s.entries[0].Name, s.entries[1].Name)
}

func (s view) acceptedAtMessage() string {
	return fmt.Sprintf("Jupico accepted the token of credential %q at %s.", s.entryName(), s.where())
}

func (s view) syncedMessage() string {
	return fmt.Sprintf("Secret %q is as the spec and the source ask for.", s.targetName())
}

func (s view) availableMessage() string {
	return fmt.Sprintf("%s answered the last check with evidence.", s.endpoint)
}

func (s view) rejectedMessage() string { return s.rejectedBecause() + s.massMessage() }

// massHint is part of the messages of a mass rejection.
const massHint = " Most credentials at this endpoint were rejected at the same time: the cause is likely Jupico's."

// massMessage is kept until the token is checked again.
func (s view) massMessage() string {
	said := s.previous(v1alpha1.ConditionCredentialAccepted)
	wasMass := said != nil && said.Status == metav1.ConditionFalse && strings.HasSuffix(said.Message, massHint)
	if s.rejection != nil && s.rejection.Mass || s.rejection == nil && wasMass {
		return massHint
	}
	return ""
}

func (s view) rejectedBecause() string {
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
			"that the account is not locked.", name, source, s.resource.Spec.Environment)
	}
}

// until says since when a rejection matters, if it ever was otherwise.
func (s view) until() string {
	if s.subject.LastAcceptedTime == nil {
		return ""
	}
	return " any more; it was accepted until " + clockTime(s.subject.LastAcceptedTime)
}

func (s view) candidateRejectedMessage() string {
	return fmt.Sprintf("Jupico rejects what Secret %q now holds (%s). Correct it; that is acted on at once.%s",
		s.sourceName(), s.candidate.Reason, s.lastKnownGoodMessage())
}

func (s view) sourceMessage() string { return s.source.Detail + s.lastKnownGoodMessage() }

// lastKnownGoodMessage says what is in force while the source cannot be followed.
func (s view) lastKnownGoodMessage() string {
	if !s.inForce || s.subject.LastAcceptedTime == nil {
		return ""
	}
	return fmt.Sprintf(" Secret %q keeps the token that was accepted last, at %s.",
		s.targetName(), clockTime(s.subject.LastAcceptedTime))
}

func (s view) staleMessage() string {
	message := fmt.Sprintf("Jupico accepted credential %q last at %s, and nothing was heard of it since", s.entryName(),
		clockTime(s.subject.LastAcceptedTime))
	if endpoint := s.endpointAvailable(); endpoint.status == metav1.ConditionFalse {
		message += fmt.Sprintf(" (%s)", endpoint.reason)
	}
	return message + fmt.Sprintf(". Secret %q keeps its token, which may still be valid. See the condition %s.",
		s.targetName(), v1alpha1.ConditionEndpointAvailable)
}

func (s view) unverifiableMessage() string {
	return fmt.Sprintf("Secret %q was changed while the operator could not look, and Secret %q gives no token that "+
		"Jupico accepts, so that nobody knows whether the target is any good. Put a valid credential into Secret %q.",
		s.targetName(), s.sourceName(), s.sourceName())
}

func (s view) waitingMessage() string {
	if s.candidate.Verdict == v1alpha1.VerdictAccepted {
		return fmt.Sprintf("Jupico accepts credential %q, and Secret %q is yet to be written.", s.entryName(), s.targetName())
	}
	return fmt.Sprintf("Secret %q is written as soon as Jupico accepts the credential.", s.targetName())
}

func (s view) suspendedMessage() string {
	return "spec.suspend is true: nothing is checked and nothing is written until it is false again."
}

func (s view) notCheckedMessage() string {
	return fmt.Sprintf("%s was not asked yet: there is no credential to ask it about.", s.endpoint)
}

// unprovenMessage is about a candidate without evidence. result may be Checking.
func (s view) unprovenMessage(result outcome.Outcome) string {
	message := fmt.Sprintf("The first check of credential %q at %s is under way.",
		s.resource.Spec.Credentials[s.focus].Name, s.endpoint)
	if result != v1alpha1.ReasonChecking {
		message = s.noEvidence(result, "")
		if said := s.endpointAvailable(); said.reason == string(result) {
			message = said.message // with the detail of the check that it is about
		}
	}
	return message + s.lastKnownGoodMessage()
}

func (s view) noEvidenceMessage() string { return s.noEvidence(s.last.Outcome, s.last.Detail) }

// noEvidence says what came instead of evidence, and what to do about it.
func (s view) noEvidence(result outcome.Outcome, detail string) string {
	if detail != "" {
		detail = " (" + detail + ")"
	}
	format, known := noEvidenceFormat[result]
	if !known { // the word of another version of the operator, in a status
		format = noEvidenceFormat[outcome.UnexpectedResponse]
	}
	message := fmt.Sprintf(format, s.endpoint, detail)
	if result == outcome.Unreachable {
		message += s.allowListHint()
	}
	return message
}

// noEvidenceFormat has a message for each outcome that is none, with places for the endpoint and the detail.
var noEvidenceFormat = map[outcome.Outcome]string{
	outcome.RequestAltered: "%s misses a header that the operator sent%s: see whether a proxy or gateway on the way " +
		"strips Authorization or Content-Type.",
	outcome.Forbidden: "%s refuses the operator's source address%s, which says nothing of the credential. Have the " +
		"operator's egress address put on Jupico's IP allow list.",
	outcome.UnexpectedResponse: "%s answered in a way that Jupico's API is not documented to%s. See whether it is " +
		"Jupico's API, or a portal, gateway or firewall in its place.",
	outcome.ProxyRefused: "The proxy on the way to %s wants credentials of its own%s. See HTTPS_PROXY of the operator.",
	outcome.EndpointDoesNotAuthenticate: "%s accepted a random token%s, so that its acceptance proves nothing, and " +
		"nothing is newly delivered. See whether it is Jupico's API, and whether a gateway answers in its place.",
	outcome.EndpointDenied: "%s may not be asked%s, and nothing was sent. Ask the operator's administrator to allow it " +
		"with --allowed-endpoint, or correct spec.endpoint.",
	outcome.CAInvalid: "The certificates to verify %s with cannot be used%s, and nothing was sent. Correct " +
		"spec.endpoint.caBundle or the ConfigMap of spec.endpoint.caConfigMapRef.",
	outcome.TLSFailure: "No trusted connection to %s%s. Correct its certificate, or give the authority that signed it " +
		"in spec.endpoint.",
	outcome.RateLimited: "%s asks for fewer requests%s. The operator waits as long as it is told to.",
	outcome.Unavailable: "%s is out of service%s. The operator goes on asking.",
	outcome.Unreachable: "%s cannot be reached%s. The operator goes on asking.",
}

// allowListHint names what silence often means in production.
func (s view) allowListHint() string {
	if s.resource.Spec.Environment != v1alpha1.EnvironmentProduction {
		return ""
	}
	return " Production may be limited to allow-listed source addresses: see whether the operator's egress address is one."
}

func (s view) entryName() string {
	if deployed := s.resource.Status.Deployed; s.parted && deployed != nil && s.subject != s.candidate {
		return deployed.Credential
	}
	return s.resource.Spec.Credentials[s.focus].Name
}

// where is the base URL that the subject was checked at.
func (s view) where() string {
	if deployed := s.resource.Status.Deployed; s.parted && deployed != nil {
		return deployed.Endpoint
	}
	return s.endpoint
}

func (s view) sourceName() string { return s.resource.Spec.Credentials[s.focus].SecretName() }

func (s view) targetName() string { return s.resource.Spec.Target.Name }

func clockTime(t *metav1.Time) string {
	if t == nil {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}
