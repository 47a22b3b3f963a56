// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// Fault is something that goes wrong instead of, or on the way to, the usual answer. What is set combines, in this
// order: Latency, then the answer that Status and the fields below it make up, then Hang, then ResetConnection. With
// Hang or ResetConnection and an answer, the answer's header and body arrive, but not their end. Without any of
// these, the usual answer follows.
type Fault struct {
	// Latency is waited first, unless the client goes away or the emulator is closed.
	Latency time.Duration `json:"-"`
	// Hang keeps the request until the client goes away or the emulator is closed.
	Hang bool `json:"hang"`
	// ResetConnection breaks the connection off (HTTP/2: the stream). Go's client repeats a GET by itself when that
	// happens to a kept-alive HTTP/1.1 connection before the first byte of an answer.
	ResetConnection bool `json:"resetConnection"`

	// Status is the HTTP status. 0 means that of Code, or else 302 with Redirect, or else 200.
	Status int `json:"status"`
	// Code is the error code in a JSON body. When it is empty, a status of 400 or more has the code that is
	// documented for it, if there is one.
	Code string `json:"code"`
	// RetryAfter is the Retry-After header as it is: seconds or a date. It goes with the usual answer, too.
	RetryAfter string `json:"retryAfter"`
	// Redirect is the Location header. The body is empty unless one of the fields below makes one.
	Redirect string `json:"redirect"`
	// HTML makes the body a login page.
	HTML bool `json:"html"`
	// BodyBytes makes a body of that many bytes, until the client goes away. A long one comes without its length.
	BodyBytes int64 `json:"bodyBytes"`
	// Body is the body as it is.
	Body string `json:"body"`
	// NoBody leaves the body empty.
	NoBody bool `json:"noBody"`
	// ContentType replaces the content type that fits the body: text/html for a login page, else application/json.
	ContentType string `json:"contentType"`

	// Times is how many requests are hit: 0 means each until Clear.
	Times int `json:"times"`
	// OnlyToken limits the fault to requests with that token.
	OnlyToken string `json:"onlyToken"`
}

const loginPage = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>" + SensitiveMessage + "</body></html>"

// Inject puts a fault in place of the one before, from the next request on. It panics when the fault makes no sense,
// such as with a negative latency.
func (e *Emulator) Inject(f Fault) {
	if err := f.validate(); err != nil {
		panic("jupicotest: " + err.Error())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = &f
}

// Clear ends the fault for requests to come. Those that it keeps waiting go on waiting.
func (e *Emulator) Clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = nil
}

func (f Fault) validate() error {
	switch {
	case f.Latency < 0:
		return errors.New("latency must not be negative")
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return errors.New("status must be from 200 to 599")
	case f.BodyBytes < 0:
		return errors.New("bodyBytes must not be negative")
	case f.Times < 0:
		return errors.New("times must not be negative")
	default:
		return nil
	}
}

// takeFault returns the fault that hits a request with this token, if one does, and counts it.
func (e *Emulator) takeFault(token string) (Fault, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fault == nil || e.fault.OnlyToken != "" && e.fault.OnlyToken != token {
		return Fault{}, false
	}
	f := *e.fault
	switch f.Times {
	case 0: // until cleared
	case 1:
		e.fault = nil
	default:
		e.fault.Times--
	}
	return f, true
}

// serveFault makes a request suffer f, and says whether it has been answered. It panics with http.ErrAbortHandler, as
// net/http wants it, to break off the connection.
func (e *Emulator) serveFault(w http.ResponseWriter, r *http.Request, f Fault) (answered bool) {
	if f.Latency > 0 {
		e.wait(r, f.Latency)
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	answered = f.answers()
	if answered {
		f.write(w)
	}
	if !f.Hang && !f.ResetConnection {
		return answered
	}
	if answered {
		_ = http.NewResponseController(w).Flush() // it fails when the client has gone, and then nobody minds
	}
	if f.Hang {
		e.hang(r)
	}
	panic(http.ErrAbortHandler)
}

// wait returns after that time, and breaks the request off when the client goes away or the emulator is closed.
func (e *Emulator) wait(r *http.Request, latency time.Duration) {
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	case <-e.closed:
		panic(http.ErrAbortHandler)
	}
}

// hang returns when the client goes away or the emulator is closed.
func (e *Emulator) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-e.closed:
	}
}

// answers says whether the fault takes the place of the usual answer.
func (f Fault) answers() bool {
	return f.Status != 0 || f.Code != "" || f.Redirect != "" || f.ContentType != "" || f.hasOwnBody()
}

func (f Fault) hasOwnBody() bool {
	return f.Body != "" || f.BodyBytes > 0 || f.HTML || f.NoBody
}

func (f Fault) status() int {
	switch {
	case f.Status != 0:
		return f.Status
	case f.Code != "":
		return statusOf(f.Code)
	case f.Redirect != "":
		return http.StatusFound
	default:
		return http.StatusOK
	}
}

// write writes the fault's answer. Errors in writing are not looked at: they mean that the client has gone.
func (f Fault) write(w http.ResponseWriter) {
	status, header := f.status(), w.Header()
	if f.Redirect != "" {
		header.Set("Location", f.Redirect)
	}
	if bodyType := f.bodyType(); bodyType != "" {
		header.Set("Content-Type", bodyType)
	}
	switch {
	case f.hasOwnBody():
		w.WriteHeader(status)
		f.writeOwnBody(w)
	case f.Code != "" || status >= http.StatusBadRequest:
		code := f.Code
		if code == "" {
			code = codeOf(status)
		}
		writeError(w, status, code)
	case status >= http.StatusMultipleChoices:
		w.WriteHeader(status)
	default:
		writeSuccess(w, status)
	}
}

// bodyType returns the content type that goes with the body. It is "" where there is no body, and for the JSON that
// writeSuccess and writeError write, which brings its type with it.
func (f Fault) bodyType() string {
	switch {
	case f.ContentType != "":
		return f.ContentType
	case f.HTML:
		return "text/html; charset=utf-8"
	case f.Body != "" || f.BodyBytes > 0:
		return contentType
	default:
		return ""
	}
}

func (f Fault) writeOwnBody(w io.Writer) {
	switch {
	case f.NoBody:
	case f.Body != "":
		_, _ = io.WriteString(w, f.Body)
	case f.BodyBytes > 0:
		_, _ = io.CopyN(w, filler{}, f.BodyBytes)
	default:
		_, _ = io.WriteString(w, loginPage)
	}
}

// filler is an endless text, so that no body needs to be in memory, however long it is.
type filler struct{}

func (filler) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
