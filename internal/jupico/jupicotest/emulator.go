// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package jupicotest imitates the part of Jupico's API that proves a credential: GET /status with HTTP Basic
// authentication. It is for tests and demonstrations, and knows nothing about the operator. Where Jupico's
// documentation allows more than one reading, it takes the strict one: a request that passes here should pass there.
//
// # Documented by Jupico
//
//   - The error codes, and the HTTP status that each of them comes with.
//   - Authorization and Content-Type: application/json are required, even for a GET. The body is empty.
//   - HTTPS only. The handler does not look at the scheme, but [NewServer] and the program jupico-emulator serve only
//     TLS 1.2 or newer.
//   - The account of the shared sandbox, its password and its API key ([PublishedUsername] and so on).
//   - The reset of the shared sandbox every 24 hours. Here, [Emulator.Reset] resets it; the clock never does.
//
// # Assumed
//
//   - The body of a good answer, {"success":true}.
//   - Tokens are compared as strings, so base64("user:password") and base64("user:password\n") are two different
//     tokens. The published account accepts only the second one, because its published key has that form.
//   - The Authorization header is exactly "Basic", one space and the token. The content type is exactly
//     "application/json".
//   - A request that declares a body has a body, even if it is chunked and turns out to be empty.
//   - The order of the checks: path and method, Authorization, Content-Type, body, token, state of the account.
//   - The answer to another method on /status is the same as to another path: 404 wrong_url.
//   - The answer to a revoked credential is the same as to one that never existed: auth_invalid_api_token.
//   - The text of the error messages; see [SensitiveMessage].
package jupicotest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	statusPath  = "/status"
	contentType = "application/json"
)

// SensitiveMessage is the message of every error, and part of the HTML page of a [Fault]. It looks like a secret, so
// that a test can find it if a part of a body reaches a log, a status or an event.
const SensitiveMessage = "Token bGVhay1jYW5hcnk6ZG8tbm90LXNob3c= of leak-canary@merchant.example is not valid"

// Emulator answers requests as Jupico's documentation says. It is safe for concurrent use. Make one with [New].
type Emulator struct {
	closed         <-chan struct{}
	cancelRequests context.CancelFunc

	mu                 sync.Mutex
	accounts           map[string]*credential // by username
	keys               map[string]*credential // by token
	publishedForms     Forms
	authenticateNobody bool
	fault              Fault
	total              int
	byFingerprint      map[string]int
}

// New returns an emulator that knows only the published account of the shared sandbox, and accepts only its published
// form.
func New() *Emulator {
	ctx, cancel := context.WithCancel(context.Background())
	e := &Emulator{
		closed:         ctx.Done(),
		cancelRequests: cancel,
		accounts:       map[string]*credential{},
		keys:           map[string]*credential{},
		publishedForms: TrailingNewline,
		byFingerprint:  map[string]int{},
	}
	e.Reset()
	return e
}

// Close ends every request that a [Fault] delays or keeps, now and later. An httptest.Server that is closed waits for
// its requests, so close the emulator first.
func (e *Emulator) Close() {
	e.cancelRequests()
}

// AuthenticateNobody turns a mode on or off in which every GET /status is accepted, with any token or none. An endpoint
// that only says whether it is online behaves like this.
func (e *Emulator) AuthenticateNobody(on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.authenticateNobody = on
}

// ServeHTTP serves the public API. To abort the connection, it panics with http.ErrAbortHandler, as net/http requires.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := basicToken(r)
	f := e.receive(token)
	if f.Latency > 0 {
		e.wait(r, time.After(f.Latency))
	}
	usual := !f.answers() && !f.Hang && !f.ResetConnection
	if usual {
		f.Code = e.refusal(r, token) // A fault that has no code either is written as a good answer.
	}
	if usual || f.answers() {
		f.write(w)
	}
	if f.Hang {
		e.wait(r, nil)
	}
	if f.ResetConnection {
		panic(http.ErrAbortHandler)
	}
}

// basicToken returns the token of a Basic Authorization header, or "". It joins several such headers with commas, which
// gives a token that nobody has.
func basicToken(r *http.Request) string {
	token, basic := strings.CutPrefix(strings.Join(r.Header.Values("Authorization"), ", "), "Basic ")
	if !basic {
		return ""
	}
	return token
}

// wait returns when time is up. It aborts the request if the client goes away or the emulator is closed.
func (e *Emulator) wait(r *http.Request, timeIsUp <-chan time.Time) {
	select {
	case <-timeIsUp:
		return
	case <-r.Context().Done():
	case <-e.closed:
	}
	panic(http.ErrAbortHandler)
}

// refusal returns the error code for the request, or "" if the request is accepted.
func (e *Emulator) refusal(r *http.Request, token string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case r.URL.Path != statusPath || r.Method != http.MethodGet:
		return "wrong_url"
	case e.authenticateNobody:
		return ""
	case r.Header.Get("Authorization") == "":
		return "auth_header_not_present"
	case r.Header.Get("Content-Type") != contentType:
		return "auth_invalid_content_type"
	case r.ContentLength != 0:
		return "invalid_payload"
	}
	credential := e.credentialOf(token)
	if credential == nil || credential.revoked {
		return "auth_invalid_api_token"
	}
	return credential.code
}

// Fingerprint identifies a token without revealing it: it returns the first 12 hexadecimal digits of its SHA-256.
func Fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:6])
}

// requestCounts is the answer of the admin API to GET /requests.
type requestCounts struct {
	Total         int            `json:"total"`
	ByFingerprint map[string]int `json:"byFingerprint"`
}

func (e *Emulator) requestCounts() requestCounts {
	e.mu.Lock()
	defer e.mu.Unlock()
	return requestCounts{Total: e.total, ByFingerprint: maps.Clone(e.byFingerprint)}
}

// Requests returns the number of requests so far, including those that are not yet answered.
func (e *Emulator) Requests() int {
	return e.requestCounts().Total
}

// RequestsFor returns the number of requests with that token. "" counts the requests without a token.
func (e *Emulator) RequestsFor(token string) int {
	return e.requestCounts().ByFingerprint[Fingerprint(token)]
}
