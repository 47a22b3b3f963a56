// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types of a JupicoCredential.
const (
	// ConditionReady is True when the target holds a proven token and nothing speaks against it.
	ConditionReady = "Ready"

	// ConditionCredentialAccepted is the last evidence about the token in the target or, before there is one, about the
	// credential that it is to be made of. An outage never turns it False; it makes it Unknown once the evidence is
	// stale.
	ConditionCredentialAccepted = "CredentialAccepted"

	// ConditionSecretSynced is True when the target is what the spec and the source ask for.
	ConditionSecretSynced = "SecretSynced"

	// ConditionEndpointAvailable is True when the last check gave evidence: the endpoint accepted or rejected.
	ConditionEndpointAvailable = "EndpointAvailable"

	// ConditionRedundant is True when both of two credentials are accepted, so that one may be revoked. It is absent with
	// one credential.
	ConditionRedundant = "Redundant"

	// ConditionReconciling is present, and True, only while a generation is not yet proven and the operator goes on
	// trying (kstatus).
	ConditionReconciling = "Reconciling"

	// ConditionStalled is present, and True, only when nothing will move before a user mends something (kstatus).
	ConditionStalled = "Stalled"
)

// Reasons of conditions that are no outcome of a check. The outcomes (Accepted, Rejected, Unavailable and so on) are
// reasons too.
const (
	// ReasonChecking: the first check is under way.
	ReasonChecking = "Checking"
	// ReasonSuspended: spec.suspend is true.
	ReasonSuspended = "Suspended"
	// ReasonNotChecked: the endpoint was not asked yet, because there is nothing to ask it about.
	ReasonNotChecked = "NotChecked"
	// ReasonAvailable: the endpoint gave evidence.
	ReasonAvailable = "Available"

	// ReasonSynced: the target is as it should be.
	ReasonSynced = "Synced"
	// ReasonWaitingForCredential: no token was accepted that could be written.
	ReasonWaitingForCredential = "WaitingForCredential"
	// ReasonCandidateRejected: the source was edited to something that the API rejects; the target keeps the token that
	// it accepts.
	ReasonCandidateRejected = "CandidateRejected"

	// ReasonSandboxReset: the shared sandbox no longer accepts a token that it accepted before.
	ReasonSandboxReset = "SandboxReset"
	// ReasonRevoked: an environment that is not reset no longer accepts a token that it accepted before.
	ReasonRevoked = "Revoked"
	// ReasonFailedOver: the second credential stands in for the first, which is not accepted.
	ReasonFailedOver = "FailedOver"
	// ReasonBothAccepted: the API accepts both credentials.
	ReasonBothAccepted = "BothAccepted"
	// ReasonSameCredential: both entries hold the same credential, so that neither can stand in for the other.
	ReasonSameCredential = "SameCredential"
	// ReasonStale: there was no evidence for longer than the operator vouches for.
	ReasonStale = "Stale"
	// ReasonDeployedUnverifiable: the operator does not know the token in the target, because the target was changed
	// while it could not look, and the source cannot prove another.
	ReasonDeployedUnverifiable = "DeployedUnverifiable"

	// ReasonSourceNotFound: the Secret that the credential is read from does not exist.
	ReasonSourceNotFound = "SourceNotFound"
	// ReasonSourceKeyMissing: the Secret that the credential is read from lacks a key.
	ReasonSourceKeyMissing = "SourceKeyMissing"
	// ReasonInvalidSource: the bytes in the source cannot be a credential.
	ReasonInvalidSource = "InvalidSource"
	// ReasonSourceCleaned: an event: a trailing newline, white space or a pasted prefix was cut off what was read.
	ReasonSourceCleaned = "SourceCleaned"

	// ReasonTemplateError: spec.target.template.data has a template that can't be rendered; a target that was written
	// before stays as it is.
	ReasonTemplateError = "TemplateError"
	// ReasonTargetConflict: the target exists and is somebody else's.
	ReasonTargetConflict = "TargetConflict"
	// ReasonTargetWriteFailed: the API server refuses to have the target written.
	ReasonTargetWriteFailed = "TargetWriteFailed"
	// ReasonTargetContested: somebody keeps undoing what the operator writes.
	ReasonTargetContested = "TargetContested"
)
