// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

const (
	statusPath  = "/status"
	contentType = "application/json"
)

// SensitiveMessage is the message of every error, and part of the HTML page of a [Fault]. It looks like something that
// must not be shown, so that a test finds it when a part of a body ever reaches a log, a status or an event.
const SensitiveMessage = "Token bGVhay1jYW5hcnk6ZG8tbm90LXNob3c= of leak-canary@merchant.example is not valid"

// Emulator answers as Jupico's API is documented to. It is safe for concurrent use. Make one with [New].
type Emulator struct {
	closeOnce sync.Once
	closed    chan struct{}

	mu                 sync.Mutex
	accounts           map[string]*account  // by username
	keys               map[string]*standing // by token
	publishedForms     Forms
	authenticateNobody bool
	fault              *Fault
	total              int
	byFingerprint      map[string]int
	log                []*Request
}

// New returns an emulator that knows the published account of the shared sandbox, in its published form, and nobody
// else.
func New() *Emulator {
	e := &Emulator{
		closed:         make(chan struct{}),
		publishedForms: TrailingNewline,
		byFingerprint:  map[string]int{},
	}
	e.Reset()
	return e
}

// Close ends every request that a [Fault] keeps waiting, now and later. An httptest.Server waits for its requests
// when it is closed, so close the emulator first.
func (e *Emulator) Close() {
	e.closeOnce.Do(func() { close(e.closed) })
}

// AuthenticateNobody switches a mode on or off in which GET /status is accepted whatever it carries, as by an endpoint
// that only says whether it is online.
func (e *Emulator) AuthenticateNobody(on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.authenticateNobody = on
}

// ServeHTTP serves the public API.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := basicToken(r)
	w = e.record(w, r, token)
	if fault, hit := e.takeFault(token); hit && e.serveFault(w, r, fault) {
		return
	}
	if code := e.refusal(r, token); code != "" {
		writeError(w, statusOf(code), code)
		return
	}
	writeSuccess(w, http.StatusOK)
}

// basicToken returns the token of a Basic Authorization header, or "". Several such headers are read as one, joined by
// commas, which is no token that anybody has.
func basicToken(r *http.Request) string {
	token, basic := strings.CutPrefix(strings.Join(r.Header.Values("Authorization"), ", "), "Basic ")
	if !basic {
		return ""
	}
	return token
}

// refusal returns the code of the error that the request is answered with, or "" when it is accepted.
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
	default:
		return e.standingOf(token).refusal()
	}
}

// documentedErrors are the documented codes, each with its status. The first code of a status is the one that a Fault
// with only that status answers.
var documentedErrors = []struct {
	status int
	code   string
}{
	{http.StatusBadRequest, "invalid_payload"},
	{http.StatusUnauthorized, "auth_invalid_api_token"},
	{http.StatusUnauthorized, "auth_invalid_api_user"},
	{http.StatusUnauthorized, "auth_invalid_role"},
	{http.StatusUnauthorized, "auth_invalid_submerchant"},
	{http.StatusUnauthorized, "auth_invalid_facilitator"},
	{http.StatusUnauthorized, "auth_invalid_product"},
	{http.StatusUnauthorized, "auth_header_not_present"},
	{http.StatusUnauthorized, "auth_invalid_content_type"},
	{http.StatusUnauthorized, "auth_token_session"},
	{http.StatusForbidden, "forbidden"},
	{http.StatusNotFound, "wrong_url"},
	{http.StatusInternalServerError, "internal_server_error"},
	{http.StatusServiceUnavailable, "service_unavailable"},
}

// statusOf returns the status that code comes with: 401 for one that is not documented.
func statusOf(code string) int {
	for _, documented := range documentedErrors {
		if documented.code == code {
			return documented.status
		}
	}
	return http.StatusUnauthorized
}

// codeOf returns the first documented code of status, or "".
func codeOf(status int) string {
	for _, documented := range documentedErrors {
		if documented.status == status {
			return documented.code
		}
	}
	return ""
}

// answer is the body of every answer of Jupico's.
type answer struct {
	Success bool         `json:"success"`
	Error   *answerError `json:"error,omitempty"`
}

type answerError struct {
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

func writeSuccess(w http.ResponseWriter, status int) {
	writeJSON(w, status, answer{Success: true})
}

func writeError(w http.ResponseWriter, status int, code string) {
	writeJSON(w, status, answer{Error: &answerError{Code: code, Message: SensitiveMessage}})
}

// writeJSON leaves a content type that is set already. An error in writing means that the client has gone.
func writeJSON(w http.ResponseWriter, status int, body any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", contentType)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
