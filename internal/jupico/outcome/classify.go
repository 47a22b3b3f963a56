// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package outcome

import (
	"cmp"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxBody is the maximum length of a body that can be an answer of the API, in bytes.
const MaxBody = 64 << 10

// Response is what classification looks at.
type Response struct {
	Status      int
	ContentType string
	RetryAfter  string
	Body        []byte // one byte more than MaxBody is enough to know that it is too long
}

// codes are the error codes that Jupico documents. Only these may be shown to a user, since any other text in their
// place might be sensitive.
var codes = map[string]meaning{
	"auth_invalid_api_token":    {401, Rejected},
	"auth_invalid_api_user":     {401, UserInactive},
	"auth_invalid_role":         {401, LimitedPermissions},
	"auth_invalid_submerchant":  {401, AccountInactive},
	"auth_invalid_facilitator":  {401, AccountInactive},
	"auth_invalid_product":      {401, AccountInactive},
	"auth_header_not_present":   {401, RequestAltered},
	"auth_invalid_content_type": {401, RequestAltered},
	"auth_token_session":        {401, UnexpectedResponse},
	"invalid_payload":           {400, UnexpectedResponse},
	"forbidden":                 {403, Forbidden},
	"wrong_url":                 {404, UnexpectedResponse},
	"internal_server_error":     {500, Unavailable},
	"service_unavailable":       {503, Unavailable},
}

// meaning is what a code means beside its own status. Beside any other status it means nothing.
type meaning struct {
	status  int
	outcome Outcome
}

// statuses mean an outcome by themselves, whatever the body is.
var statuses = map[int]Outcome{403: Forbidden, 407: ProxyRefused, 408: Unavailable, 429: RateLimited}

// Classify turns a response into a result. now is what a Retry-After date is measured from.
func Classify(r Response, now time.Time) Result {
	body := parse(r)
	result := Result{Outcome: classify(r.Status, body), Detail: fmt.Sprintf("HTTP %d", r.Status)}
	switch {
	case body.code != "":
		result.Detail += " " + body.code
	case body.problem != "":
		result.Detail += " with " + body.problem
	}
	if result.Outcome.Class() == Transient {
		result.RetryAfter = retryAfter(r.RetryAfter, now)
	}
	return result
}

func classify(status int, body parsed) Outcome {
	if code, isDocumented := codes[body.code]; isDocumented && code.status == status {
		return code.outcome
	}
	switch {
	case status >= 200 && status < 300 && body.problem == "":
		return Accepted
	case status == http.StatusUnauthorized && body.code == "" && body.isOfAPI:
		return Rejected
	case status >= 500 && status < 600:
		return Unavailable
	default:
		return cmp.Or(statuses[status], UnexpectedResponse)
	}
}

// parsed is what a body says.
type parsed struct {
	code    string // a documented error code, or empty
	problem string // why this cannot be the body of an acceptance, or empty
	isOfAPI bool   // it may be the API's rather than a gateway's, even without a code
}

func parse(r Response) parsed {
	mediaType, _, _ := mime.ParseMediaType(cmp.Or(r.ContentType, http.DetectContentType(r.Body)))
	switch {
	case mediaType == "text/html", mediaType == "application/xhtml+xml":
		return parsed{problem: "an HTML page"}
	case len(r.Body) > MaxBody:
		return parsed{problem: fmt.Sprintf("a body over %d KiB", MaxBody>>10)}
	case len(r.Body) == 0:
		return parsed{isOfAPI: true}
	}
	var document any
	if err := json.Unmarshal(r.Body, &document); err != nil {
		if mediaType == "application/json" || strings.HasSuffix(mediaType, "+json") {
			return parsed{problem: "JSON that does not parse"}
		}
		return parsed{}
	}
	body := parsed{isOfAPI: true}
	if code := errorCode(document); codes[code].outcome != "" {
		body.code = code
	}
	if field(document, "success") == false && r.Status < 300 {
		body.problem = `"success": false`
	}
	return body
}

// errorCode reads the code leniently, since Jupico's own documents show it in more than one place.
func errorCode(document any) string {
	for _, candidate := range []any{
		field(field(document, "error"), "code"),
		field(field(field(document, "response"), "error"), "code"),
		field(document, "errorCode"),
		field(document, "code"),
		field(document, "error"),
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

// retryAfter reads both forms of RFC 9110, section 10.2.3. It is 0 when the header cannot be read, or when the time has
// passed.
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
