// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package outcome is the one place where a response, or the lack of one, becomes an outcome: a closed set of words that
// conditions, events and metrics share.
package outcome

import "time"

// Outcome is what came of a check: one authenticated GET /status.
type Outcome string

// The outcomes.
const (
	// Accepted: the API accepted the token.
	Accepted Outcome = "Accepted"
	// LimitedPermissions: the API recognised the token, which lacks a permission on /status.
	LimitedPermissions Outcome = "LimitedPermissions"

	// Rejected: the API does not know the token.
	Rejected Outcome = "Rejected"
	// UserInactive: the API knows the user, who is not active.
	UserInactive Outcome = "UserInactive"
	// AccountInactive: the submerchant, facilitator or product was not found or is not active.
	AccountInactive Outcome = "AccountInactive"

	// RequestAltered: the API misses what was sent, so that something on the way must have taken it.
	RequestAltered Outcome = "RequestAltered"
	// Forbidden: the source address is not allowed, or a firewall stepped in.
	Forbidden Outcome = "Forbidden"
	// UnexpectedResponse: the answer is none that the API is documented to give.
	UnexpectedResponse Outcome = "UnexpectedResponse"
	// ProxyRefused: the proxy on the way wants credentials of its own.
	ProxyRefused Outcome = "ProxyRefused"
	// EndpointDoesNotAuthenticate: the endpoint accepted a random token, so that its acceptance proves nothing.
	EndpointDoesNotAuthenticate Outcome = "EndpointDoesNotAuthenticate"
	// EndpointDenied: the URL is not on the operator's list, or not HTTPS. Nothing was sent.
	EndpointDenied Outcome = "EndpointDenied"
	// CAInvalid: the certificates to verify the endpoint with could not be read. Nothing was sent.
	CAInvalid Outcome = "CAInvalid"

	// TLSFailure: the endpoint's certificate was not accepted, or the handshake failed.
	TLSFailure Outcome = "TLSFailure"
	// RateLimited: the API asked for fewer requests.
	RateLimited Outcome = "RateLimited"
	// Unavailable: the API answered that it cannot serve now.
	Unavailable Outcome = "Unavailable"
	// Unreachable: no answer came.
	Unreachable Outcome = "Unreachable"
)

// Class says what an outcome is worth.
type Class string

// The classes.
const (
	// Acceptance is evidence for the token.
	Acceptance Class = "Acceptance"
	// Rejection is evidence against the token.
	Rejection Class = "Rejection"
	// NoEvidence says nothing of the token, and is not expected to pass by itself.
	NoEvidence Class = "NoEvidence"
	// Transient says nothing of the token, and is expected to pass.
	Transient Class = "Transient"
)

// All lists every outcome, in the order of the documentation.
func All() []Outcome {
	return []Outcome{
		Accepted, LimitedPermissions,
		Rejected, UserInactive, AccountInactive,
		RequestAltered, Forbidden, UnexpectedResponse, ProxyRefused,
		EndpointDoesNotAuthenticate, EndpointDenied, CAInvalid,
		TLSFailure, RateLimited, Unavailable, Unreachable,
	}
}

// Class of the outcome. The empty Outcome, of a check that was not made, is NoEvidence.
func (o Outcome) Class() Class {
	switch o {
	case Accepted, LimitedPermissions:
		return Acceptance
	case Rejected, UserInactive, AccountInactive:
		return Rejection
	case TLSFailure, RateLimited, Unavailable, Unreachable:
		return Transient
	case RequestAltered, Forbidden, UnexpectedResponse, ProxyRefused,
		EndpointDoesNotAuthenticate, EndpointDenied, CAInvalid:
		return NoEvidence
	default:
		return NoEvidence
	}
}

// IsEvidence reports whether the outcome says something of the token.
func (o Outcome) IsEvidence() bool {
	return o.Class() == Acceptance || o.Class() == Rejection
}

// Sent reports whether a request left the operator.
func (o Outcome) Sent() bool { return o != EndpointDenied && o != CAInvalid }

// Result is an outcome with what a user may be told of it.
type Result struct {
	Outcome Outcome
	// Detail is a short phrase, such as "HTTP 401 auth_invalid_api_token". It is made of words that stand in this
	// project's code and of a status code, never of a response's text.
	Detail string
	// RetryAfter is how long the API asked to be left alone. 0 when it did not.
	RetryAfter time.Duration
	// Duration of the request. 0 when nothing was sent.
	Duration time.Duration
}
