// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package outcome is the one place where a response, or the lack of one, becomes an outcome: a closed set of words that
// conditions, events and metrics share.
package outcome

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Outcome is what came of a check: one authenticated GET /status.
type Outcome string

// The outcomes. The table says what each one means.
const (
	Accepted           Outcome = "Accepted"
	LimitedPermissions Outcome = "LimitedPermissions"

	Rejected        Outcome = "Rejected"
	UserInactive    Outcome = "UserInactive"
	AccountInactive Outcome = "AccountInactive"

	RequestAltered              Outcome = "RequestAltered"
	Forbidden                   Outcome = "Forbidden"
	UnexpectedResponse          Outcome = "UnexpectedResponse"
	ProxyRefused                Outcome = "ProxyRefused"
	EndpointDoesNotAuthenticate Outcome = "EndpointDoesNotAuthenticate"
	EndpointDenied              Outcome = "EndpointDenied"
	CAInvalid                   Outcome = "CAInvalid"

	TLSFailure  Outcome = "TLSFailure"
	RateLimited Outcome = "RateLimited"
	Unavailable Outcome = "Unavailable"
	Unreachable Outcome = "Unreachable"
)

// Class says what an outcome is worth.
type Class string

// The classes.
const (
	Acceptance Class = "Acceptance" // evidence for the token
	Rejection  Class = "Rejection"  // evidence against the token
	NoEvidence Class = "NoEvidence" // says nothing about the token, and is not expected to pass by itself
	Transient  Class = "Transient"  // says nothing about the token, and is expected to pass by itself
)

// row is all that the operator knows about an outcome.
type row struct {
	class     Class
	needsUser bool   // nothing changes before a user changes something, so that waiting is no use
	message   string // with places for the endpoint and for the detail
}

var table = map[Outcome]row{
	Accepted: {class: Acceptance, message: "%s accepts the credential%s."},
	LimitedPermissions: {
		class:   Acceptance,
		message: "%s recognises the credential, which lacks the permission to read /status%s.",
	},

	Rejected:     {class: Rejection, message: "%s does not know the credential%s."},
	UserInactive: {class: Rejection, message: "%s knows the user, who is not active%s."},
	AccountInactive: {
		class:   Rejection,
		message: "%s knows the credential, but its submerchant, facilitator or product was not found or is not active%s.",
	},

	RequestAltered: {
		class: NoEvidence,
		message: "%s misses a header that the operator sent%s: see whether a proxy or gateway on the way strips " +
			"Authorization or Content-Type.",
	},
	Forbidden: {
		class: NoEvidence,
		message: "%s refuses the operator's source address%s, which says nothing of the credential. Have the operator's " +
			"egress address put on Jupico's IP allow list.",
	},
	UnexpectedResponse: unknown,
	ProxyRefused: {
		class:   NoEvidence,
		message: "The proxy on the way to %s wants credentials of its own%s. See HTTPS_PROXY of the operator.",
	},
	EndpointDoesNotAuthenticate: {
		class: NoEvidence, needsUser: true,
		message: "%s accepted a random token%s, so that its acceptance proves nothing, and nothing is newly delivered. See " +
			"whether it is Jupico's API, and whether a gateway answers in its place.",
	},
	EndpointDenied: {
		class: NoEvidence, needsUser: true,
		message: "%s may not be asked%s, and nothing was sent. Ask the operator's administrator to allow it with " +
			"--allowed-endpoint, or correct spec.endpoint.",
	},
	CAInvalid: {
		class: NoEvidence, needsUser: true,
		message: "The certificates to verify %s with cannot be used%s, and nothing was sent. Correct " +
			"spec.endpoint.caBundle or the ConfigMap of spec.endpoint.caConfigMapRef.",
	},

	TLSFailure: {
		class: Transient,
		message: "No trusted connection to %s%s. If its certificate is at fault, correct that, or give the authority that " +
			"signed it in spec.endpoint.",
	},
	RateLimited: {
		class:   Transient,
		message: "%s asks for fewer requests%s. The operator waits as long as it is told to.",
	},
	Unavailable: {class: Transient, message: "%s is out of service%s. The operator goes on asking."},
	Unreachable: {class: Transient, message: "%s cannot be reached%s. The operator goes on asking."},
}

// unknown also stands for words that are not in the table: a word that another version of the operator wrote into a
// status, and the empty word of a check that was not made.
var unknown = row{
	class: NoEvidence,
	message: "%s answered in a way that Jupico's API is not documented to%s. See whether it is Jupico's API, or a " +
		"portal, gateway or firewall in its place.",
}

func (o Outcome) row() row { return cmp.Or(table[o], unknown) }

// All lists every outcome.
func All() []Outcome { return slices.Sorted(maps.Keys(table)) }

// Class of the outcome. The empty Outcome, of a check that was not made, is NoEvidence.
func (o Outcome) Class() Class { return o.row().class }

// IsEvidence reports whether the outcome says something about the token.
func (o Outcome) IsEvidence() bool { return o.Class() == Acceptance || o.Class() == Rejection }

// NeedsUser reports whether nothing changes before a user changes something.
func (o Outcome) NeedsUser() bool { return o.row().needsUser }

// Message tells a user what the endpoint answered and, without evidence, what to do about it. detail may be empty.
func (o Outcome) Message(endpoint, detail string) string {
	if detail != "" {
		detail = " (" + detail + ")"
	}
	return fmt.Sprintf(o.row().message, endpoint, detail)
}

// Result is an outcome with what a user may be told about it.
type Result struct {
	Outcome Outcome
	// Detail is a short phrase, such as "HTTP 401 auth_invalid_api_token". It is made of words in this project's code and
	// of a status, never of a text that was received.
	Detail     string
	AtProxy    bool          // the proxy failed, so that nothing is known of the endpoint
	RetryAfter time.Duration // how long the API asked not to be sent requests; 0: it did not ask
	Duration   time.Duration // of the request; 0: nothing was sent
	Attempts   int           // how often the request was sent, at most twice
	Shape      Shape         // zero: there was no response
}

// Shape is what a response looks like, apart from its words. An endpoint whose acceptances change their shape may have
// been replaced by something else.
type Shape struct {
	status    int
	mediaType string
	body      string // its kind
}
