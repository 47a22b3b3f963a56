// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package outcome

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxBody is how much of a response's body is read, in bytes.
const MaxBody = 64 << 10

// Response is what classification looks at.
type Response struct {
	Status      int
	ContentType string
	RetryAfter  string
	// Body is at most the first MaxBody bytes; Truncated says that there were more.
	Body      []byte
	Truncated bool
}

// codes are the error codes that Jupico documents. Only these may be shown to a user: another word in their place is
// text of unknown content. Those that mean something beside status 401 are given the outcome that they mean there.
var codes = map[string]Outcome{
	"auth_invalid_api_token":    Rejected,
	"auth_invalid_api_user":     UserInactive,
	"auth_invalid_role":         LimitedPermissions,
	"auth_invalid_submerchant":  AccountInactive,
	"auth_invalid_facilitator":  AccountInactive,
	"auth_invalid_product":      AccountInactive,
	"auth_header_not_present":   RequestAltered,
	"auth_invalid_content_type": RequestAltered,
	"auth_token_session":        UnexpectedResponse,
	"invalid_payload":           UnexpectedResponse,
	"forbidden":                 UnexpectedResponse,
	"wrong_url":                 UnexpectedResponse,
	"internal_server_error":     UnexpectedResponse,
	"service_unavailable":       UnexpectedResponse,
}

// Classify turns a response into a result. now is what a Retry-After date is measured from.
func Classify(r Response, now time.Time) Result {
	body := parse(r)
	result := Result{Outcome: classify(r, body), Detail: fmt.Sprintf("HTTP %d", r.Status)}
	switch {
	case body.code != "":
		result.Detail += " " + body.code
	case body.html:
		result.Detail += " with an HTML page"
	case r.Truncated:
		result.Detail += fmt.Sprintf(" with a body over %d KiB", MaxBody>>10)
	case body.broken:
		result.Detail += " with JSON that does not parse"
	case body.failed && r.Status < 300:
		result.Detail += ` with "success": false`
	}
	if result.Outcome.Class() == Transient {
		result.RetryAfter = retryAfter(r.RetryAfter, now)
	}
	return result
}

func classify(r Response, body parsed) Outcome {
	switch {
	case r.Status >= 200 && r.Status < 300:
		return classifySuccess(r, body)
	case r.Status == http.StatusUnauthorized:
		return classifyUnauthorized(r, body)
	case r.Status == http.StatusForbidden:
		return Forbidden
	case r.Status == http.StatusProxyAuthRequired:
		return ProxyRefused
	case r.Status == http.StatusTooManyRequests:
		return RateLimited
	case r.Status == http.StatusRequestTimeout, r.Status >= 500 && r.Status < 600:
		return Unavailable
	default:
		return UnexpectedResponse
	}
}

func classifySuccess(r Response, body parsed) Outcome {
	if body.html || r.Truncated || body.broken || body.failed {
		return UnexpectedResponse
	}
	return Accepted
}

func classifyUnauthorized(r Response, body parsed) Outcome {
	switch {
	case body.html || r.Truncated:
		return UnexpectedResponse
	case body.code != "":
		return codes[body.code]
	case body.empty || body.json:
		return Rejected
	default:
		return UnexpectedResponse
	}
}

// parsed is what a body says, and what it is.
type parsed struct {
	empty, html, json bool
	broken            bool   // declared as JSON, and it is not
	failed            bool   // "success": false
	code              string // a documented error code, or empty
}

func parse(r Response) parsed {
	declared := r.ContentType
	if declared == "" && len(r.Body) > 0 {
		declared = http.DetectContentType(r.Body)
	}
	mediaType, _, _ := mime.ParseMediaType(declared)
	p := parsed{empty: len(r.Body) == 0, html: mediaType == "text/html" || mediaType == "application/xhtml+xml"}
	if p.empty || p.html || r.Truncated {
		return p
	}
	var document any
	p.json = json.Unmarshal(r.Body, &document) == nil
	p.broken = !p.json && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
	object, _ := document.(map[string]any)
	success, isBool := object["success"].(bool)
	p.failed = isBool && !success
	if code := errorCode(object); codes[code] != "" {
		p.code = code
	}
	return p
}

// errorCode reads the code leniently, since Jupico's own documents show it in more than one place.
func errorCode(object map[string]any) string {
	response, _ := object["response"].(map[string]any)
	for _, candidate := range []any{
		field(object["error"], "code"),
		field(response["error"], "code"),
		object["errorCode"],
		object["code"],
		object["error"],
	} {
		if code, isString := candidate.(string); isString && code != "" {
			return code
		}
	}
	return ""
}

func field(value any, name string) any {
	object, _ := value.(map[string]any)
	return object[name]
}

// retryAfter reads both forms of RFC 9110, section 10.2.3. What it cannot read, or what has passed, is 0.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
