// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package check has the question and the answer of a check: package decision asks, and package checker answers.
package check

import (
	"time"

	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// ShortestBackoff is the wait after the first rejection of a token. It doubles with each further one, so that a wrong
// password cannot lock an account out.
const ShortestBackoff = 5 * time.Minute

// Request asks for a check of one token at one endpoint.
type Request struct {
	// Endpoint may have its URL in any spelling.
	Endpoint endpoint.Endpoint
	Token    credential.Token
	// Credential that the token was made of. It may be zero: then the caller does not know it.
	Credential credential.Credential
	// Namespace of the resource that the check is for. Namespaces are served in turn.
	Namespace string
	// IsAwaited: somebody waits for the check, so that it does not wait behind the routine checks of its namespace.
	IsAwaited bool
	// NotBefore is the earliest time at which the check may have begun. Zero: any answer that may be shared will do. An
	// endpoint that is paused is sent nothing, so that an answer without evidence may be older.
	NotBefore time.Time
	// AcceptedAfter is when the last check began that the caller knows about. An acceptance must be of a later check.
	// Zero: of any.
	AcceptedAfter time.Time
	// Edited is when the caller's source was edited. A rejection must be of a check that began then or later, so that an
	// edit is tried at once; and before an acceptance that is to be delivered, a random token must have been refused since
	// then. Zero: there was no edit.
	Edited time.Time
	// LongestBackoff is how long a rejection of this token may stand for further checks at most. Zero: for none.
	LongestBackoff time.Duration
	// ForDelivery: an acceptance will put the token into a target that does not hold it. Its check must have begun shortly
	// after the endpoint refused a random token.
	ForDelivery bool
	// Urgent: the caller cannot be deferred. A request that exceeds the limits is taken off what may be sent later. An
	// answer that may be shared is still shared.
	Urgent bool
}

// Answer is the answer to a Request.
type Answer struct {
	// Result has no meaning when RetryAt is set. The Result of a shared answer has no Duration.
	outcome.Result
	// Began is when the check began. All who share the answer take this time over, so that equal tokens are due together
	// the next time too.
	Began time.Time
	// Ended is when the request of the check ended. That of a shared answer is Began. It is set whenever there
	// is evidence.
	Ended time.Time
	// ControlledAt is when, before the check began, the endpoint last refused a random token.
	ControlledAt time.Time
	// Shared: no request was sent for this caller.
	Shared bool
	// RetryAt, when it is not zero, says that the caller was deferred, mostly for want of a slot, and when to ask again.
	// Its place in the queue is kept until a little later.
	RetryAt time.Time
	// BackoffUntil is until when a shared rejection will be answered again without another check.
	BackoffUntil time.Time
	// MassRejection: this is a rejection, and most tokens of the endpoint were rejected with it.
	MassRejection bool
}
