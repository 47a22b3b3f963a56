// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"time"
)

// logLength is how many requests the log remembers.
const logLength = 1000

// Request is a request to the public API, without any secret.
type Request struct {
	Time        time.Time
	Fingerprint string
	Method      string
	Path        string
	UserAgent   string
	ContentType string
	// Status is what was answered. It is 0 as long as there is no answer, so always after a hang or a reset without one.
	Status int
}

// Fingerprint returns what stands for a token wherever it may be seen: the first 12 hexadecimal digits of its SHA-256.
func Fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:6])
}

// Requests returns the number of requests so far, of those that are not yet answered too.
func (e *Emulator) Requests() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.total
}

// RequestsFor returns the number of requests with that token. Those without a token count as those with "".
func (e *Emulator) RequestsFor(token string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byFingerprint[Fingerprint(token)]
}

// RequestsByFingerprint returns the number of requests per fingerprint of a token.
func (e *Emulator) RequestsByFingerprint() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.byFingerprint)
}

// Log returns the last 1,000 requests in order of arrival.
func (e *Emulator) Log() []Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	requests := make([]Request, len(e.log))
	for i, request := range e.log {
		requests[i] = *request
	}
	return requests
}

// record counts and logs a request, and returns a writer that adds the status to the log.
func (e *Emulator) record(w http.ResponseWriter, r *http.Request, token string) http.ResponseWriter {
	request := &Request{
		Time:        time.Now(),
		Fingerprint: Fingerprint(token),
		Method:      r.Method,
		Path:        r.URL.Path,
		UserAgent:   r.UserAgent(),
		ContentType: r.Header.Get("Content-Type"),
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.total++
	e.byFingerprint[request.Fingerprint]++
	if len(e.log) == logLength {
		e.log = e.log[1:]
	}
	e.log = append(e.log, request)
	return &statusRecorder{ResponseWriter: w, emulator: e, request: request}
}

type statusRecorder struct {
	http.ResponseWriter
	emulator *Emulator
	request  *Request
}

// WriteHeader logs the status before the client can see it, so that whoever has an answer finds it in the log.
func (s *statusRecorder) WriteHeader(status int) {
	s.emulator.mu.Lock()
	s.request.Status = status
	s.emulator.mu.Unlock()
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController the way to the connection.
func (s *statusRecorder) Unwrap() http.ResponseWriter {
	return s.ResponseWriter
}
