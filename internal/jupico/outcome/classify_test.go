// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package outcome

import (
	"slices"
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
		{"200 with an HTML page is a captive portal", 200, "text/html; charset=utf-8", `<p>Log in`, UnexpectedResponse, "HTTP 200 with an HTML page"},
		{"200 with XHTML is a captive portal", 200, "application/xhtml+xml", `<p/>`, UnexpectedResponse, "HTTP 200 with an HTML page"},
		{"200 with HTML that does not say so is a captive portal", 200, "", `<!DOCTYPE html><p>Log in`, UnexpectedResponse, "HTTP 200 with an HTML page"},
		{"200 with broken JSON is unexpected", 200, jsonType, `{"success":`, UnexpectedResponse, "HTTP 200 with JSON that does not parse"},
		{"200 with broken problem JSON is unexpected", 200, "application/problem+json", `{`, UnexpectedResponse, "HTTP 200 with JSON that does not parse"},
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
		{"401 with an HTML page is unexpected", 401, "text/html", `<p>Log in`, UnexpectedResponse, "HTTP 401 with an HTML page"},
		{"401 with plain text is unexpected", 401, "text/plain", `Unauthorized`, UnexpectedResponse, "HTTP 401"},
		{"401 with broken JSON is unexpected", 401, jsonType, `{`, UnexpectedResponse, "HTTP 401 with JSON that does not parse"},
		{"401 with a body that goes on and on is unexpected", 401, jsonType, strings.Repeat(" ", MaxBody+1), UnexpectedResponse, "HTTP 401 with a body over 64 KiB"},

		{"the code may stand in response.error", 401, jsonType, `{"response":{"error":{"code":"auth_invalid_role"}}}`, LimitedPermissions, "HTTP 401 auth_invalid_role"},
		{"the code may stand in errorCode", 401, jsonType, `{"errorCode":"auth_invalid_role"}`, LimitedPermissions, "HTTP 401 auth_invalid_role"},
		{"the code may stand in code", 401, jsonType, `{"code":"auth_invalid_role"}`, LimitedPermissions, "HTTP 401 auth_invalid_role"},
		{"the code may be the error itself", 401, jsonType, `{"error":"auth_invalid_role"}`, LimitedPermissions, "HTTP 401 auth_invalid_role"},

		{"403 may be the allow list", 403, jsonType, failure("forbidden"), Forbidden, "HTTP 403 forbidden"},
		{"403 with an HTML page may be a firewall", 403, "text/html", `<p>No`, Forbidden, "HTTP 403 with an HTML page"},
		{"407 is the proxy's", 407, "", ``, ProxyRefused, "HTTP 407"},
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
		{"99999999999999999999", 429, 0},
		{"120", 403, 0},
	} {
		if got := Classify(Response{Status: tc.status, RetryAfter: tc.header}, now).RetryAfter; got != tc.want {
			t.Errorf("%d with %q: %s, want %s", tc.status, tc.header, got, tc.want)
		}
	}
}

func FuzzClassifyAlwaysAnswersFromTheClosedSet(f *testing.F) {
	f.Add(401, jsonType, "1", []byte(failure("auth_invalid_role")))
	f.Add(200, "text/html", "", []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, contentType, retry string, body []byte) {
		got := Classify(Response{Status: status, ContentType: contentType, RetryAfter: retry, Body: body}, time.Now())
		if !slices.Contains(All(), got.Outcome) {
			t.Fatalf("outcome %q", got.Outcome)
		}
		if got.Outcome.Class() == Acceptance && status != 401 && (status < 200 || status > 299) {
			t.Fatalf("status %d was an acceptance", status)
		}
		if got.RetryAfter < 0 {
			t.Fatalf("RetryAfter %s", got.RetryAfter)
		}
	})
}
