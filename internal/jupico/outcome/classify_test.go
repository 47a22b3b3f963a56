// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package outcome

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const jsonType = "application/json"

func failure(code string) string {
	return `{"success":false,"error":{"code":"` + code + `","message":"sensitive text"}}`
}

func TestEveryResponseHasOneOutcome(t *testing.T) {
	reached := map[Outcome]bool{
		// These are no response: other packages' tests reach them.
		EndpointDoesNotAuthenticate: true, EndpointDenied: true, CAInvalid: true, TLSFailure: true, Unreachable: true,
	}
	for _, tc := range []struct {
		sentence    string
		status      int
		contentType string
		body        string
		want        Outcome
		detail      string
	}{
		{"200 with a JSON body is an acceptance", 200, jsonType, `{"success":true}`, Accepted, "HTTP 200"},
		{"200 with an empty body is an acceptance", 200, jsonType, ``, Accepted, "HTTP 200"},
		{"204 is an acceptance", 204, "", ``, Accepted, "HTTP 204"},
		{"200 with plain text is an acceptance", 200, "text/plain", `OK`, Accepted, "HTTP 200"},
		{"200 with a JSON array is an acceptance", 200, jsonType, `[1]`, Accepted, "HTTP 200"},
		{"200 with success as a word is an acceptance", 200, jsonType, `{"success":"false"}`, Accepted, "HTTP 200"},
		{"200 with success false is an error", 200, jsonType, `{"success":false}`, UnexpectedResponse, `HTTP 200 with "success": false`},
		{"200 with success false under another type is an error", 200, "text/plain", `{"success":false}`, UnexpectedResponse, `HTTP 200 with "success": false`},
		{"200 with success false and a code shows the code", 200, jsonType, failure("forbidden"), UnexpectedResponse, "HTTP 200 forbidden"},
		{"200 with HTML or XML is a captive portal", 200, "text/html; charset=utf-8", `<p>Log in`, UnexpectedResponse, "HTTP 200 with HTML or XML"},
		{"200 with HTML without a tag is a captive portal", 200, "text/html", `Log in`, UnexpectedResponse, "HTTP 200 with HTML or XML"},
		{"200 with XHTML without a tag is a captive portal", 200, "application/xhtml+xml", `Log in`, UnexpectedResponse, "HTTP 200 with HTML or XML"},
		{"200 with XHTML is a captive portal", 200, "application/xhtml+xml", `<p/>`, UnexpectedResponse, "HTTP 200 with HTML or XML"},
		{"200 with HTML that does not say so is a captive portal", 200, "", `<!DOCTYPE html><p>Log in`, UnexpectedResponse, "HTTP 200 with HTML or XML"},
		{"200 with broken JSON is unexpected", 200, jsonType, `{"success":`, UnexpectedResponse, "HTTP 200 with JSON that does not parse"},
		{"200 with broken problem JSON is unexpected", 200, "application/problem+json", `{`, UnexpectedResponse, "HTTP 200 with JSON that does not parse"},
		{"200 with the longest body is an acceptance", 200, jsonType, strings.Repeat(" ", MaxBody-2) + "{}", Accepted, "HTTP 200"},
		{"200 with a compressed body that goes on and on is unexpected", 200, jsonType, string(zipped([]byte(strings.Repeat(" ", 2*MaxBody)))), UnexpectedResponse, "HTTP 200 with a body over 64 KiB"},
		{"200 with a body that goes on and on is unexpected", 200, jsonType, strings.Repeat(" ", MaxBody+1), UnexpectedResponse, "HTTP 200 with a body over 64 KiB"},

		{"401 with an invalid token is a rejection", 401, jsonType, failure("auth_invalid_api_token"), Rejected, "HTTP 401 auth_invalid_api_token"},
		{"401 with an empty body is a rejection", 401, "", ``, Rejected, "HTTP 401"},
		{"401 with JSON of no known code is a rejection", 401, jsonType, failure("auth_something_new"), Rejected, "HTTP 401"},
		{"401 with JSON of no code is a rejection", 401, jsonType, `{}`, Rejected, "HTTP 401"},
		{"401 with an inactive user", 401, jsonType, failure("auth_invalid_api_user"), UserInactive, "HTTP 401 auth_invalid_api_user"},
		{"401 with a role that lacks permissions is an acceptance", 401, jsonType, failure("auth_invalid_role"), LimitedPermissions, "HTTP 401 auth_invalid_role"},
		{"401 with an inactive submerchant", 401, jsonType, failure("auth_invalid_submerchant"), AccountInactive, "HTTP 401 auth_invalid_submerchant"},
		{"401 with an inactive facilitator", 401, jsonType, failure("auth_invalid_facilitator"), AccountInactive, "HTTP 401 auth_invalid_facilitator"},
		{"401 with an inactive product", 401, jsonType, failure("auth_invalid_product"), AccountInactive, "HTTP 401 auth_invalid_product"},
		{"401 for a header that we sent", 401, jsonType, failure("auth_header_not_present"), RequestAltered, "HTTP 401 auth_header_not_present"},
		{"401 for a content type that we sent", 401, jsonType, failure("auth_invalid_content_type"), RequestAltered, "HTTP 401 auth_invalid_content_type"},
		{"401 about a session is unexpected", 401, jsonType, failure("auth_token_session"), UnexpectedResponse, "HTTP 401 auth_token_session"},
		{"401 with a code of another status is unexpected", 401, jsonType, failure("wrong_url"), UnexpectedResponse, "HTTP 401 wrong_url"},
		{"401 with HTML or XML is unexpected", 401, "text/html", `<p>Log in`, UnexpectedResponse, "HTTP 401 with HTML or XML"},
		{"401 with plain text is unexpected", 401, "text/plain", `Unauthorized`, UnexpectedResponse, "HTTP 401"},
		{"401 with broken JSON is unexpected", 401, jsonType, `{`, UnexpectedResponse, "HTTP 401 with JSON that does not parse"},
		{"401 with a body that goes on and on is unexpected", 401, jsonType, strings.Repeat(" ", MaxBody+1), UnexpectedResponse, "HTTP 401 with a body over 64 KiB"},

		{"the code may stand in response.error", 401, jsonType, `{"response":{"error":{"code":"auth_invalid_role"}}}`, LimitedPermissions, "HTTP 401 auth_invalid_role"},
		{"the code may stand in errorCode", 401, jsonType, `{"errorCode":"auth_invalid_role"}`, LimitedPermissions, "HTTP 401 auth_invalid_role"},
		{"the code may stand in code", 401, jsonType, `{"code":"auth_invalid_role"}`, LimitedPermissions, "HTTP 401 auth_invalid_role"},
		{"a code that is empty is looked for in the other places", 401, jsonType, `{"error":{"code":""},"code":"auth_invalid_role"}`, LimitedPermissions, "HTTP 401 auth_invalid_role"},
		{"the code may be the error itself", 401, jsonType, `{"error":"auth_invalid_role"}`, LimitedPermissions, "HTTP 401 auth_invalid_role"},

		{"403 may be the allow list", 403, jsonType, failure("forbidden"), Forbidden, "HTTP 403 forbidden"},
		{"403 with HTML or XML may be a firewall", 403, "text/html", `<p>No`, Forbidden, "HTTP 403 with HTML or XML"},
		{"407 is the proxy's", 407, "", ``, ProxyRefused, "HTTP 407"},
		{"300 with success false would be no acceptance without it either", 300, jsonType, `{"success":false}`, UnexpectedResponse, "HTTP 300"},
		{"301 is not followed", 301, "", ``, UnexpectedResponse, "HTTP 301"},
		{"400 is unexpected", 400, jsonType, failure("invalid_payload"), UnexpectedResponse, "HTTP 400 invalid_payload"},
		{"404 is unexpected", 404, jsonType, failure("wrong_url"), UnexpectedResponse, "HTTP 404 wrong_url"},
		{"418 is unexpected", 418, "", ``, UnexpectedResponse, "HTTP 418"},
		{"429 is a limit", 429, "", ``, RateLimited, "HTTP 429"},
		{"408 passes", 408, "", ``, Unavailable, "HTTP 408"},
		{"500 passes", 500, jsonType, failure("internal_server_error"), Unavailable, "HTTP 500 internal_server_error"},
		{"503 passes", 503, jsonType, failure("service_unavailable"), Unavailable, "HTTP 503 service_unavailable"},
		{"600 is no status", 600, "", ``, UnexpectedResponse, "HTTP 600"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			response := Response{Status: tc.status, ContentType: tc.contentType, Body: []byte(tc.body)}
			got := Classify(response, time.Now())
			if got.Outcome != tc.want || got.Detail != tc.detail {
				t.Errorf("got %s (%s), want %s (%s)", got.Outcome, got.Detail, tc.want, tc.detail)
			}
			reached[got.Outcome] = true
		})
	}
	for _, o := range All() {
		if !reached[o] {
			t.Errorf("no response leads to %s: add a row", o)
		}
	}
}

func TestNoTextOfAResponseIsShown(t *testing.T) {
	for _, body := range []string{failure("auth_invalid_api_token"), failure("my-password"), `{"error":"my-password"}`, `my-password`} {
		for _, status := range []int{200, 401, 403, 429, 500} {
			got := Classify(Response{Status: status, ContentType: jsonType, Body: []byte(body)}, time.Now())
			if strings.Contains(got.Detail, "sensitive") || strings.Contains(got.Detail, "my-password") {
				t.Errorf("%d %s shows %q", status, body, got.Detail)
			}
		}
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		header string
		status int
		want   time.Duration
	}{
		{"120", 429, 2 * time.Minute},
		{" 7 ", 503, 7 * time.Second},
		{"Fri, 02 Jan 2026 03:05:05 GMT", 429, time.Minute},
		{"Fri, 02 Jan 2026 03:03:05 GMT", 429, 0},
		{"", 429, 0},
		{"-1", 429, 0},
		{"soon", 429, 0},
		{"4294967295", 429, maxRetryAfter * time.Second},
		{"99999999999999999999", 429, maxRetryAfter * time.Second},
		{"120", 403, 0},
	} {
		if got := Classify(Response{Status: tc.status, RetryAfter: tc.header}, now).RetryAfter; got != tc.want {
			t.Errorf("%d with %q: %s, want %s", tc.status, tc.header, got, tc.want)
		}
	}
}

// expectedDetail is all that a detail may consist of: a status, and a word of Jupico's documentation or of ours.
var expectedDetail = regexp.MustCompile(`^HTTP -?[0-9]+( [a-z_]+| with (HTML or XML|a body over 64 KiB|` +
	`JSON that does not parse|"success": false|a challenge of a gateway))?$`)

var htmlType = regexp.MustCompile(`(?i)^\s*text/html\s*([;,]|$)`)

func FuzzAResponseIsClassifiedByWhatItMeansAlone(f *testing.F) {
	f.Add(401, jsonType, "", []byte(failure("auth_invalid_role")))
	f.Add(401, jsonType, "Negotiate", []byte(`{"code":"auth_invalid_api_token"}`))
	f.Add(401, "", `Digest realm="a", NTLM`, []byte(nil))
	f.Add(403, jsonType, "", []byte(failure("auth_invalid_role")))
	f.Add(200, "text/html", "", []byte("<html>"))
	f.Add(200, jsonType, "", []byte(`{"success":false}`))
	f.Add(200, jsonType, "", []byte(`{"success":true}}`))
	f.Add(204, "", "", []byte("\ufeff"))
	f.Add(299, "application/problem+json; x", "basic", zipped([]byte("\ufeff[]")))
	f.Add(407, "", "", []byte{0x1f, 0x8b})
	f.Add(503, jsonType, "", []byte(failure("service_unavailable")))
	f.Fuzz(func(t *testing.T, status int, contentType, challenge string, body []byte) {
		r := Response{Status: status, ContentType: contentType, Challenges: []string{challenge}, Body: body}
		got := Classify(r, time.Now())
		if !slices.Contains(All(), got.Outcome) || got.RetryAfter != 0 {
			t.Fatalf("got %+v", got)
		}
		word, hasWord := strings.CutPrefix(got.Detail, fmt.Sprintf("HTTP %d ", status))
		isDocumented := codes[word].outcome != ""
		isProblem := strings.HasPrefix(word, "with ")
		if !expectedDetail.MatchString(got.Detail) || hasWord && !isDocumented && !isProblem {
			t.Fatalf("the detail is %q", got.Detail)
		}
		if len(got.Shape.mediaType) > maxMediaType {
			t.Fatalf("of the media type, %d bytes are kept", len(got.Shape.mediaType))
		}
		expectSoundClass(t, r, got)
		expectSameBehindGzip(t, r, got)
	})
}

// expectSoundClass looks whether evidence comes only from what can be the API's answer.
func expectSoundClass(t *testing.T, r Response, got Result) {
	t.Helper()
	var document map[string]any
	saysNo := json.Unmarshal(r.Body, &document) == nil && document["success"] == false
	isSuccess := r.Status >= 200 && r.Status <= 299
	switch got.Outcome.Class() {
	case Acceptance:
		isLimited := got.Outcome == LimitedPermissions && got.Detail == "HTTP 401 auth_invalid_role"
		if !isLimited && !isSuccess || isSuccess && saysNo || len(r.Body) > MaxBody {
			t.Fatalf("%s is an acceptance", got.Detail)
		}
	case Rejection:
		if r.Status != 401 {
			t.Fatalf("%s is a rejection", got.Detail)
		}
	case Transient:
		if r.Status != 408 && r.Status != 429 && (r.Status < 500 || r.Status > 599) {
			t.Fatalf("%s is transient", got.Detail)
		}
	case NoEvidence:
	}
	isPage := htmlType.MatchString(r.ContentType) || bytes.HasPrefix(bytes.TrimLeft(r.Body, " \t\r\n\f"), []byte("<"))
	if isPage && got.Outcome.IsEvidence() {
		t.Fatalf("a page is taken for evidence: %s", got.Detail)
	}
	if r.Status >= 500 && r.Status <= 599 && got.Outcome != Unavailable {
		t.Fatalf("%s is %s", got.Detail, got.Outcome)
	}
}

// expectSameBehindGzip looks whether an answer means the same when something on the way compressed it.
func expectSameBehindGzip(t *testing.T, r Response, got Result) {
	t.Helper()
	if bytes.HasPrefix(r.Body, []byte{0x1f, 0x8b}) || len(r.Body) > MaxBody {
		return
	}
	r.Body = zipped(r.Body)
	if other := Classify(r, time.Now()); other != got {
		t.Fatalf("compressed it is %+v, and else %+v", other, got)
	}
}

func FuzzRetryAfterIsTheSameInBothForms(f *testing.F) {
	f.Add("120", uint32(120), uint32(1_767_323_045))
	f.Add("Fri, 02 Jan 2026 03:06:05 GMT", uint32(0), uint32(1_767_323_045))
	f.Add("Friday, 02-Jan-26 03:06:05 GMT", uint32(1), uint32(1_767_323_045))
	f.Add("Fri Jan  2 03:06:05 2026", uint32(59), uint32(0))
	f.Add("-1", uint32(4294967295), uint32(4294967295))
	f.Add("99999999999999999999", uint32(3600), uint32(1))
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT", uint32(1), uint32(1))
	f.Add(" 0x10 ", uint32(10), uint32(10))
	f.Fuzz(func(t *testing.T, header string, seconds, at uint32) {
		now := time.Unix(int64(at), 0).UTC()
		read := func(header string, now time.Time) time.Duration {
			return Classify(Response{Status: 429, RetryAfter: header}, now).RetryAfter
		}
		wait := time.Duration(seconds) * time.Second
		date := read(now.Add(wait).Format(http.TimeFormat), now)
		delta := read(strconv.FormatUint(uint64(seconds), 10), now)
		if date != wait || delta != min(wait, maxRetryAfter*time.Second) {
			t.Fatalf("%s is read as %s and, as a date, as %s", wait, delta, date)
		}
		if past := read(now.Add(-wait).Format(http.TimeFormat), now); past != 0 {
			t.Fatalf("a date that has passed is read as %s", past)
		}

		got, later := read(header, now), read(header, now.Add(time.Hour))
		const century = 100 * 365 * 24 * time.Hour
		isDate := later == max(0, got-time.Hour) || got > century // which a Duration cannot hold for long
		if got < 0 || later != got && !isDate {
			t.Fatalf("%q is read as %s and, an hour later, as %s", header, got, later)
		}
		if spaced := read(" \t"+header+" ", now); spaced != got {
			t.Fatalf("%q is read as %s and, with spaces, as %s", header, got, spaced)
		}
		for _, status := range []int{200, 401, 403} {
			if got := Classify(Response{Status: status, RetryAfter: header}, now).RetryAfter; got != 0 {
				t.Fatalf("beside %d, %q is read as %s", status, header, got)
			}
		}
	})
}

func TestAPageIsRecognisedHoweverItIsSpelt(t *testing.T) {
	const page = "<!DOCTYPE html><title>Sign in</title>"
	bodies := map[string][]byte{
		"as it is":               []byte(page),
		"after white space":      []byte("\r\n\t " + page),
		"of another case":        []byte("<HTML>"),
		"of XML":                 []byte(`<?xml version="1.0"?><html/>`),
		"of a fragment":          []byte("<p>Sign in"),
		"after a BOM":            []byte("\uFEFF" + page),
		"in UTF-16, little end":  utf16le(page),
		"in UTF-16, big end":     utf16be(page),
		"compressed":             zipped([]byte(page)),
		"compressed after a BOM": zipped([]byte("\uFEFF" + page)),
		"compressed and cut off": zipped([]byte(page + strings.Repeat("x", 100)))[:60],
		"that goes on and on":    []byte(page + strings.Repeat("x", MaxBody)),
		"that expands for ever":  zipped([]byte(page + strings.Repeat("x", 100*MaxBody))),
	}
	for _, contentType := range []string{
		"", "text/plain", jsonType, "application/octet-stream", "text/html", "TEXT/HTML", " text/html ;x",
		"text/html; charset=utf-8; charset=UTF-8", "text/html; charset", "text/html, text/html", ";", "\"",
	} {
		for sentence, body := range bodies {
			for _, status := range []int{200, 401} {
				got := Classify(Response{Status: status, ContentType: contentType, Body: body}, time.Now())
				if got.Outcome != UnexpectedResponse || !strings.HasSuffix(got.Detail, "with HTML or XML") {
					t.Errorf("a page %s, as %q, is %s (%s)", sentence, contentType, got.Outcome, got.Detail)
				}
			}
		}
	}
}

func TestGoodJSONIsReadHoweverItIsSpelt(t *testing.T) {
	for sentence, body := range map[string][]byte{
		"as it is":               []byte(`{"success":true}`),
		"after white space":      []byte("\r\n {\"success\":true}\n"),
		"after a BOM":            []byte("\uFEFF" + `{"success":true}`),
		"compressed":             zipped([]byte(`{"success":true}`)),
		"compressed after a BOM": zipped([]byte("\uFEFF" + `{"success":true}`)),
	} {
		for _, contentType := range []string{"", "text/plain", jsonType, "application/json; charset=utf-8; charset=utf-8"} {
			got := Classify(Response{Status: 200, ContentType: contentType, Body: body}, time.Now())
			if got.Outcome != Accepted {
				t.Errorf("%s, as %q, it is %s (%s)", sentence, contentType, got.Outcome, got.Detail)
			}
		}
	}
	rejected := Response{Status: 401, ContentType: jsonType, Body: []byte("\uFEFF" + failure("auth_invalid_api_token"))}
	if got := Classify(rejected, time.Now()); got.Outcome != Rejected {
		t.Errorf("a rejection after a BOM is %s", got.Outcome)
	}
}

func TestAGatewaysChallengeIsNoRejection(t *testing.T) {
	const documented = `{"code":"auth_invalid_api_token"}`
	for _, tc := range []struct {
		sentence   string
		challenges []string
		body       string
		want       Outcome
	}{
		{"no challenge", nil, ``, Rejected},
		{"Basic", []string{`Basic realm="jupico"`}, ``, Rejected},
		{"another scheme of the API's", []string{`Bearer realm="jupico"`}, ``, Rejected},
		{"Negotiate", []string{"Negotiate"}, ``, UnexpectedResponse},
		{"negotiate, with a token", []string{"negotiate YII="}, `{}`, UnexpectedResponse},
		{"NTLM", []string{"NTLM"}, ``, UnexpectedResponse},
		{"Kerberos", []string{"Kerberos"}, ``, UnexpectedResponse},
		{"several in one header", []string{`Digest realm="a", Negotiate`}, ``, UnexpectedResponse},
		{"several headers", []string{"NTLM", "Negotiate"}, ``, UnexpectedResponse},
		{"Negotiate and Basic", []string{"Negotiate", `Basic realm="x"`}, ``, Rejected},
		{"Negotiate and Basic in one header", []string{`Negotiate, basic realm="x"`}, ``, Rejected},
		{"Negotiate, with a documented code", []string{"Negotiate"}, documented, Rejected},
		{"Negotiate, with a page", []string{"Negotiate"}, `<p>`, UnexpectedResponse},
	} {
		response := Response{Status: 401, ContentType: jsonType, Challenges: tc.challenges, Body: []byte(tc.body)}
		if got := Classify(response, time.Now()); got.Outcome != tc.want {
			t.Errorf("%s: %s (%s), want %s", tc.sentence, got.Outcome, got.Detail, tc.want)
		}
		response.Status, response.Body = 200, nil
		if got := Classify(response, time.Now()); got.Outcome != Accepted {
			t.Errorf("%s, in an answer that accepts: %s (%s)", tc.sentence, got.Outcome, got.Detail)
		}
	}
}

func TestShapesTellApartWhatOtherServersAnswer(t *testing.T) {
	shape := func(status int, contentType, body string) Shape {
		return Classify(Response{Status: status, ContentType: contentType, Body: []byte(body)}, time.Now()).Shape
	}
	usual := shape(200, jsonType, `{"success":true}`)
	for _, same := range []Shape{
		shape(200, "Application/JSON; charset=utf-8", `{"success":true,"more":1}`), shape(200, jsonType, "\uFEFF{}"),
	} {
		if same != usual {
			t.Errorf("%+v is not %+v", same, usual)
		}
	}
	for _, other := range []Shape{
		shape(201, jsonType, `{}`), shape(200, "text/plain", `{}`), shape(200, jsonType, `[]`), shape(200, jsonType, `1`),
		shape(200, jsonType, ``), shape(200, "text/plain", `OK`), shape(401, jsonType, `{"code":"auth_invalid_role"}`),
	} {
		if other == usual {
			t.Errorf("%+v looks usual", other)
		}
	}
}

func zipped(text []byte) []byte {
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	_, _ = writer.Write(text)
	_ = writer.Close()
	return buffer.Bytes()
}

func utf16le(text string) []byte {
	encoded := []byte{0xFF, 0xFE}
	for _, letter := range []byte(text) {
		encoded = append(encoded, letter, 0)
	}
	return encoded
}

func utf16be(text string) []byte {
	encoded := []byte{0xFE, 0xFF}
	for _, letter := range []byte(text) {
		encoded = append(encoded, 0, letter)
	}
	return encoded
}
