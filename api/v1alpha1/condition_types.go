// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types of a JupicoCredential. The last two are those of kstatus.
const (
	// ConditionReady is True when the target holds a proven token and there is no evidence against it.
	ConditionReady = "Ready"
	// ConditionCredentialAccepted is True when the last evidence about the token in the target was an acceptance, and
	// False when it was a rejection. Before there is a target, it is about the credential that the token will be made
	// from. An outage never makes it False. It becomes Unknown when the evidence is stale.
	ConditionCredentialAccepted = "CredentialAccepted"
	// ConditionSecretSynced is True when the target matches the spec and the source, and Unknown while spec.suspend is
	// true.
	ConditionSecretSynced = "SecretSynced"
	// ConditionEndpointAvailable is True when the last check gave evidence: an acceptance or a rejection.
	ConditionEndpointAvailable = "EndpointAvailable"
	// ConditionRedundant, of two credentials, is True when the API accepts both, so that either may be revoked.
	ConditionRedundant = "Redundant"
	// ConditionReconciling is True while a generation is not proven yet and the operator keeps trying. Else it is absent.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True while nothing will change until a user fixes something. Else it is absent.
	ConditionStalled = "Stalled"
)

// Reasons of conditions. The outcomes of a check (Accepted, Rejected, Unavailable and so on) are reasons too.
const (
	ReasonChecking   = "Checking"   // the first check is in progress
	ReasonSuspended  = "Suspended"  // spec.suspend is true
	ReasonNotChecked = "NotChecked" // no check was made yet, because there is no credential to check
	ReasonAvailable  = "Available"  // the endpoint gave evidence

	ReasonSynced               = "Synced"               // the target matches the spec and the source
	ReasonWaitingForCredential = "WaitingForCredential" // there is no accepted token that could be written
	ReasonCandidateRejected    = "CandidateRejected"    // the API rejects the edited source; the target keeps its token

	ReasonSandboxReset   = "SandboxReset"   // the shared sandbox no longer accepts a token that it accepted before
	ReasonRevoked        = "Revoked"        // the same, in an environment that is not reset
	ReasonFailedOver     = "FailedOver"     // the second credential is in use, because the API does not accept the first
	ReasonBothAccepted   = "BothAccepted"   // the API accepts both credentials
	ReasonSameCredential = "SameCredential" // both entries hold the same credential, so neither can replace the other

	ReasonStale                = "Stale"                // the last evidence is too old to rely on
	ReasonDeployedUnverifiable = "DeployedUnverifiable" // the target was changed unseen, and no source is accepted

	ReasonSourceNotFound   = "SourceNotFound"   // the Secret that the credential is read from does not exist
	ReasonSourceUnreadable = "SourceUnreadable" // that Secret could not be read; the operator tries again
	ReasonSourceKeyMissing = "SourceKeyMissing" // that Secret lacks a key
	ReasonInvalidSource    = "InvalidSource"    // the bytes in that Secret cannot be a credential
	ReasonEditedTooOften   = "EditedTooOften"   // too many edits in a row; the last one is tried within a minute

	ReasonTemplateError       = "TemplateError"       // a template of data cannot be rendered; the target stays as it is
	ReasonTargetConflict      = "TargetConflict"      // the target exists and belongs to somebody else
	ReasonTargetWriteFailed   = "TargetWriteFailed"   // the API server refuses to write the target
	ReasonTargetContested     = "TargetContested"     // somebody, or an admission policy, undoes what the operator writes
	ReasonFormerTargetRemains = "FormerTargetRemains" // the Secret that was the target before could not be cleaned up yet
)

// Reasons of events alone.
const (
	EventSourceCleaned = "SourceCleaned" // a newline, white space or a prefix was removed from what the source holds
	EventDelivered     = "Delivered"     // the target holds another token than before
	EventRestored      = "Restored"      // somebody had changed the target, and it was put right
	EventRecreated     = "Recreated"     // the target was gone, or could not be updated, and was made again
	EventReleased      = "Released"      // a former target was deleted, or is no longer the operator's
	EventRecovered     = "Recovered"     // what the last warning was about is over
)
