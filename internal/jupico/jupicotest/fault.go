// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Fault is something that goes wrong before or instead of the usual answer. Its fields take effect in this order:
// Latency, then the answer that Status and the fields below it describe, then Hang, then ResetConnection. If Hang or
// ResetConnection comes with such an answer, the header and the body arrive, but not the end of the body. If there is
// neither such an answer nor Hang or ResetConnection, the usual answer follows.
type Fault struct {
	// Latency is the time before anything else happens. It ends early if the client goes away or the emulator is closed.
	Latency time.Duration `json:"-"`
	// Hang keeps the request open until the client goes away or the emulator is closed.
	Hang bool `json:"hang"`
	// ResetConnection aborts the connection, or with HTTP/2 the stream. Go's client repeats a GET by itself if that
	// happens to a kept-alive HTTP/1.1 connection before the first byte of an answer.
	ResetConnection bool `json:"resetConnection"`

	// Status is the HTTP status. 0 means the status of Code, or else 302 if Redirect is set, or else 200.
	Status int `json:"status"`
	// Code is the error code in a JSON body. If it is empty, a status of 400 or more gets the code that is documented
	// for it, if there is one.
	Code string `json:"code"`
	// RetryAfter is the value of the Retry-After header: seconds or a date. The usual answer has it too.
	RetryAfter string `json:"retryAfter"`
	// Redirect is the Location header. The body is empty unless one of the fields below sets it.
	Redirect string `json:"redirect"`
	// HTML makes the body a login page.
	HTML bool `json:"html"`
	// BodyBytes makes a body with that many bytes. A long one comes without a Content-Length, and ends early if the client
	// goes away.
	BodyBytes int64 `json:"bodyBytes"`
	// Body is the whole body.
	Body string `json:"body"`
	// NoBody leaves the body empty.
	NoBody bool `json:"noBody"`
	// ContentType replaces the content type that fits the body: text/html for a login page, else application/json.
	ContentType string `json:"contentType"`

	// Times is the number of requests that get the fault. 0 means every request until Clear.
	Times int `json:"times"`
	// OnlyToken limits the fault to requests with that token.
	OnlyToken string `json:"onlyToken"`
}

const loginPage = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>" + SensitiveMessage + "</body></html>"

// Inject replaces the current fault, beginning with the next request. It panics if the fault makes no sense, for
// example if its latency is negative.
func (e *Emulator) Inject(f Fault) {
	if err := e.inject(f); err != nil {
		panic("jupicotest: " + err.Error())
	}
}

func (e *Emulator) inject(f Fault) error {
	switch {
	case f.Latency < 0:
		return errors.New("latency must not be negative")
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return errors.New("status must be from 200 to 599")
	case f.BodyBytes < 0:
		return errors.New("bodyBytes must not be negative")
	case f.Times < 0:
		return errors.New("times must not be negative")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = f
	return nil
}

// Clear ends the fault for later requests. Requests that it delays or keeps open continue to wait.
func (e *Emulator) Clear() {
	e.Inject(Fault{})
}

// receive counts a request with this token, and returns its fault, which is empty if the usual answer is due.
func (e *Emulator) receive(token string) Fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.total++
	e.byFingerprint[Fingerprint(token)]++
	f := e.fault
	if f.OnlyToken != "" && f.OnlyToken != token {
		return Fault{}
	}
	switch f.Times {
	case 0: // until cleared
	case 1:
		e.fault = Fault{}
	default:
		e.fault.Times--
	}
	return f
}

// answers says whether the fault replaces the usual answer.
func (f Fault) answers() bool {
	return f.Status != 0 || f.Code != "" || f.Redirect != "" || f.ContentType != "" ||
		f.Body != "" || f.BodyBytes > 0 || f.HTML || f.NoBody
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

// write writes the answer that f describes. It ignores write errors: they mean that the client is gone.
func (f Fault) write(w http.ResponseWriter) {
	body, bodyType := f.body()
	if f.HTML { // even if Body or BodyBytes replaces the page
		bodyType = "text/html; charset=utf-8"
	}
	for name, value := range map[string]string{
		"Content-Type": cmp.Or(f.ContentType, bodyType),
		"Location":     f.Redirect,
		"Retry-After":  f.RetryAfter,
	} {
		if value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(f.status())
	if !f.NoBody {
		_, _ = io.Copy(w, body)
	}
	if f.Hang || f.ResetConnection {
		_ = http.NewResponseController(w).Flush()
	}
}

// body returns the body and the content type that fits it.
func (f Fault) body() (body io.Reader, bodyType string) {
	status := f.status()
	switch {
	case f.Body != "":
		return strings.NewReader(f.Body), contentType
	case f.BodyBytes > 0:
		return io.LimitReader(filler{}, f.BodyBytes), contentType
	case f.HTML:
		return strings.NewReader(loginPage), contentType
	case f.NoBody, f.Code == "" && status/100 == 3:
		return http.NoBody, ""
	}
	reply := answer{Success: f.Code == "" && status < http.StatusBadRequest}
	if !reply.Success {
		reply.Error.Code, reply.Error.Message = f.Code, SensitiveMessage
		if codes := documentedCodes[status]; f.Code == "" && codes != nil {
			reply.Error.Code = codes[0]
		}
	}
	content, _ := json.Marshal(reply) // cannot fail
	return bytes.NewReader(append(content, '\n')), contentType
}

// filler is an endless text, so that even a long body needs no memory.
type filler struct{}

func (filler) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// answer is the body of every answer from Jupico.
type answer struct {
	Success bool `json:"success"`
	Error   struct {
		Code    string `json:"code,omitempty"`
		Message string `json:"message"`
	} `json:"error,omitzero"`
}

// documentedCodes are the documented codes of each status. A Fault that has only a status answers with the first one.
var documentedCodes = map[int][]string{
	http.StatusBadRequest: {"invalid_payload"},
	http.StatusUnauthorized: {
		"auth_invalid_api_token", "auth_invalid_api_user", "auth_invalid_role", "auth_invalid_submerchant",
		"auth_invalid_facilitator", "auth_invalid_product", "auth_header_not_present", "auth_invalid_content_type",
		"auth_token_session",
	},
	http.StatusForbidden:           {"forbidden"},
	http.StatusNotFound:            {"wrong_url"},
	http.StatusInternalServerError: {"internal_server_error"},
	http.StatusServiceUnavailable:  {"service_unavailable"},
}

// statusOf returns the status that is documented for code, and 401 for a code that is not documented.
func statusOf(code string) int {
	for status, codes := range documentedCodes {
		if slices.Contains(codes, code) {
			return status
		}
	}
	return http.StatusUnauthorized
}
