// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package outcome

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxBody is the maximum length of a body that can be an answer of the API, in bytes.
const MaxBody = 64 << 10

// maxMediaType is how much of a media type is kept in a Shape, in bytes.
const maxMediaType = 100

// maxRetryAfter is the longest time, in seconds, that fits into a Duration with ease.
const maxRetryAfter = 1 << 31

// Response is what classification looks at.
type Response struct {
	Status      int
	ContentType string
	RetryAfter  string
	Challenges  []string // the values of WWW-Authenticate
	Body        []byte   // one byte more than MaxBody is enough to know that it is too long
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
	body, declared := parse(r), mediaType(r)
	declared = strings.Clone(declared[:min(len(declared), maxMediaType)])
	result := Result{
		Outcome: classify(r.Status, body),
		Detail:  fmt.Sprintf("HTTP %d", r.Status),
		Shape:   Shape{r.Status, declared, body.kind},
	}
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

// parsed is what a response says.
type parsed struct {
	code    string // a documented error code, or empty
	problem string // why this cannot be an acceptance, or empty
	isOfAPI bool   // it may be the API's rather than a gateway's, even without a code
	kind    string // of the body: empty, JSON object or other
}

func parse(r Response) parsed {
	text, isTooLong := readable(r.Body)
	switch {
	case isPage(r, text):
		return parsed{kind: "other", problem: "HTML or XML"}
	case isTooLong:
		return parsed{kind: "other", problem: fmt.Sprintf("a body over %d KiB", MaxBody>>10)}
	case len(text) == 0:
		return gateway(r, parsed{kind: "empty", isOfAPI: true})
	}
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		if isJSON(mediaType(r)) {
			return parsed{kind: "other", problem: "JSON that does not parse"}
		}
		return parsed{kind: "other"}
	}
	body := parsed{kind: "other", isOfAPI: true}
	if _, isObject := document.(map[string]any); isObject {
		body.kind = "JSON object"
	}
	if code := errorCode(document); codes[code].outcome != "" {
		body.code = code
	}
	if field(document, "success") == false && r.Status < 300 {
		body.problem = `"success": false`
	}
	return gateway(r, body)
}

// gateway adds that a gateway, and not the API, asks for credentials: with one of its own schemes, and not with Basic.
func gateway(r Response, body parsed) parsed {
	var schemes []string
	for challenge := range strings.SplitSeq(strings.Join(r.Challenges, ","), ",") {
		scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " ")
		schemes = append(schemes, strings.ToLower(scheme))
	}
	isIts := func(scheme string) bool { return slices.Contains([]string{"negotiate", "ntlm", "kerberos"}, scheme) }
	isChallenge := r.Status == http.StatusUnauthorized && body.code == ""
	if isChallenge && slices.ContainsFunc(schemes, isIts) && !slices.Contains(schemes, "basic") {
		body.isOfAPI, body.problem = false, "a challenge of a gateway"
	}
	return body
}

// readable decompresses a body, though nobody asked for a compressed one, and removes a byte order mark (RFC 8259,
// section 8.1). It reports whether the body is longer than MaxBody.
func readable(body []byte) (text []byte, isTooLong bool) {
	if reader, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
		body, _ = io.ReadAll(io.LimitReader(reader, MaxBody+1)) // what came before an error tells enough
	}
	return bytes.TrimPrefix(body, []byte("\uFEFF")), len(body) > MaxBody
}

// isPage reports whether a body is markup, whatever its type is said to be. UTF-16 puts zero bytes between the letters.
func isPage(r Response, text []byte) bool {
	text = bytes.TrimLeft(text, "\x00\xFE\xFF \t\r\n\f")
	declared := mediaType(r)
	return declared == "text/html" || declared == "application/xhtml+xml" || bytes.HasPrefix(text, []byte("<"))
}

func isJSON(mediaType string) bool {
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// mediaType reads the type leniently, since parameters that cannot be read must not hide a page.
func mediaType(r Response) string {
	name, _, _ := strings.Cut(strings.ToLower(r.ContentType), ";")
	name, _, _ = strings.Cut(name, ",")
	return strings.TrimSpace(name)
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
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, maxRetryAfter)) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
