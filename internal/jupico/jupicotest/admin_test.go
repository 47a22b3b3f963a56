// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// admin sends a command to an admin API, and returns the status and the body of the answer.
func admin(t *testing.T, server *httptest.Server, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(answer))
}

func startAdmin(t *testing.T, e *Emulator) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(e.Admin())
	t.Cleanup(server.Close)
	return server
}

func TestAdminCommandsChangeWhatTheAPIAnswers(t *testing.T) {
	shop := standardToken("shop", "word")
	steps := []struct {
		method, path, body string
		token, wantCode    string // what the API answers afterwards
	}{
		{"POST", "/accounts", `{"username":"shop","password":"word","forms":["Standard"]}`, shop, ""},
		{"POST", "/accounts", `{"username":"shop","password":"word","forms":["Standard","TrailingNewline"]}`,
			newlineToken("shop", "word"), ""},
		{"POST", "/keys", `{"token":"key"}`, "key", ""},
		{"POST", "/revoke", `{"name":"shop"}`, shop, "auth_invalid_api_token"},
		{"POST", "/restore", `{"name":"shop"}`, shop, ""},
		{"POST", "/revoke", `{"name":"key"}`, "key", "auth_invalid_api_token"},
		{"POST", "/restore", `{"name":"key"}`, "key", ""},
		{"POST", "/state", `{"name":"key","code":"auth_invalid_role"}`, "key", "auth_invalid_role"},
		{"POST", "/state", `{"name":"key","code":""}`, "key", ""},
		{"POST", "/authenticate-nobody", `{"on":true}`, "unknown", ""},
		{"POST", "/authenticate-nobody", `{"on":false}`, "unknown", "auth_invalid_api_token"},
		{"POST", "/fault", `{"code":"forbidden"}`, shop, "forbidden"},
		{"DELETE", "/fault", "", shop, ""},
		{"POST", "/reset", "", shop, "auth_invalid_api_token"},
		{"POST", "/wipe", "", PublishedAPIKey, "auth_invalid_api_token"},
		{"POST", "/reset", "", PublishedAPIKey, ""},
		{"GET", "/healthz", "", PublishedAPIKey, ""},
	}
	s := start(t)
	server := startAdmin(t, s.Emulator)
	for _, step := range steps {
		status, body := admin(t, server, step.method, step.path, step.body)
		if status != http.StatusOK || body != `{"ok":true}` {
			t.Errorf("%s %s %s: got %d %s", step.method, step.path, step.body, status, body)
		}
		if got := s.code(step.token); got != step.wantCode {
			t.Errorf("after %s %s the code is %q, want %q", step.path, step.body, got, step.wantCode)
		}
	}
}

func TestTheAdminAPICanSetEveryFieldOfAFault(t *testing.T) {
	e := New()
	status, body := admin(t, startAdmin(t, e), http.MethodPost, "/fault", `{
		"latency": "1m30s", "hang": true, "resetConnection": true, "status": 503, "code": "code", "retryAfter": "30",
		"redirect": "https://login.example/", "html": true, "bodyBytes": 5, "body": "body", "noBody": true,
		"contentType": "text/plain", "times": 2, "onlyToken": "token"}`)
	if status != http.StatusOK {
		t.Fatalf("got %d %s", status, body)
	}
	want := Fault{
		Latency: 90 * time.Second, Hang: true, ResetConnection: true, Status: 503, Code: "code", RetryAfter: "30",
		Redirect: "https://login.example/", HTML: true, BodyBytes: 5, Body: "body", NoBody: true,
		ContentType: "text/plain", Times: 2, OnlyToken: "token",
	}
	if e.fault != want {
		t.Errorf("got %+v, want %+v", e.fault, want)
	}
	for field, value := range reflect.ValueOf(want).Fields() {
		if value.IsZero() {
			t.Errorf("no command here sets %s", field.Name)
		}
	}
}

func TestABadCommandIsExplainedAndChangesNothing(t *testing.T) {
	const secret = "sECRET-1"
	tests := []struct {
		path, body string
		wantStatus int
		want       string // part of the sentence
	}{
		{"/revoke", `{"name":"` + secret + `"}`, 404, "there is no account or key with that name"},
		{"/restore", `{"name":"` + secret + `"}`, 404, "there is no account or key with that name"},
		{"/state", `{"name":"` + secret + `","code":"auth_invalid_role"}`, 404, "there is no account or key with that name"},
		{"/state", `{"name":"demoApiUser","code":"` + secret + `"}`, 400, "code must be empty (active) or one of "},
		{"/revoke", ``, 400, "the body must be the documented JSON object: EOF"},
		{"/revoke", `{"name":"` + secret, 400, "unexpected EOF"},
		{"/revoke", `"` + secret + `"`, 400, "cannot unmarshal string"},
		{"/revoke", `{"username":"` + secret + `"}`, 400, `unknown field "username"`},
		{"/revoke", `{"name":"demoApiUser"} "` + secret + `"`, 400, "something follows it"},
		{"/revoke", `{"name":"` + strings.Repeat(secret, 1<<17) + `"}`, 400, "request body too large"},
		{"/accounts", `{"password":"` + secret + `","forms":["Both"]}`, 400, "username is required"},
		{"/accounts", `{"username":"a:b","password":"` + secret + `","forms":["Both"]}`, 400, "must not contain a colon"},
		{"/accounts", `{"username":"shop","forms":["Both"]}`, 400, "password is required"},
		{"/accounts", `{"username":"shop","password":"` + secret + `"}`, 400, "forms: a token form is required"},
		{"/accounts", `{"username":"shop","password":"p","forms":["` + secret + `"]}`, 400, "forms: a token form is required"},
		{"/accounts", `{"username":"shop","password":["` + secret + `"]}`, 400, "cannot unmarshal array"},
		{"/keys", `{}`, 400, "token is required"},
		{"/authenticate-nobody", `{}`, 400, "on is required"},
		{"/fault", `{"latency":"` + secret + `"}`, 400, "latency must be a duration"},
		{"/fault", `{"latency":5}`, 400, "cannot unmarshal number"},
		{"/fault", `{"latency":"-1s"}`, 400, "latency must not be negative"},
		{"/fault", `{"status":99}`, 400, "status must be from 200 to 599"},
		{"/fault", `{"bodyBytes":-1}`, 400, "bodyBytes must not be negative"},
		{"/fault", `{"times":-1}`, 400, "times must not be negative"},
	}
	s := start(t)
	server := startAdmin(t, s.Emulator)
	for _, test := range tests {
		status, body := admin(t, server, http.MethodPost, test.path, test.body)
		var got struct{ Error string }
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Errorf("%s: the body %q is not JSON: %v", test.path, body, err)
		}
		if status != test.wantStatus || !strings.Contains(got.Error, test.want) {
			t.Errorf("%s %.80s: got %d %s, want %d %s", test.path, test.body, status, body, test.wantStatus, test.want)
		}
		if strings.Contains(body, secret) {
			t.Errorf("the answer to %s repeats the request: %s", test.path, body)
		}
	}
	s.wantCode(PublishedAPIKey, "")
	s.wantCode(secret, "auth_invalid_api_token")
	if len(s.accounts) != 1 || len(s.keys) != 0 {
		t.Errorf("there are %d accounts and %d keys, want only the published account", len(s.accounts), len(s.keys))
	}
}

func TestTheAdminAPIReportsTheNumberOfRequests(t *testing.T) {
	s := start(t)
	s.code(PublishedAPIKey)
	s.code("unknown")
	s.code("unknown")
	status, body := admin(t, startAdmin(t, s.Emulator), http.MethodGet, "/requests", "")
	var got requestCounts
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK {
		t.Fatalf("got %d %s: %v", status, body, err)
	}
	want := map[string]int{Fingerprint(PublishedAPIKey): 1, Fingerprint("unknown"): 2}
	if got.Total != 3 || !maps.Equal(got.ByFingerprint, want) {
		t.Errorf("got %+v, want 3 in all and %v", got, want)
	}
	if strings.Contains(body, PublishedAPIKey) || !strings.HasPrefix(body, `{"total":3,"byFingerprint":{`) {
		t.Errorf("the body is %s", body)
	}
}

func TestAnUnknownCommandIsNotFound(t *testing.T) {
	server := startAdmin(t, New())
	for _, command := range [][2]string{{"GET", "/status"}, {"POST", "/status"}, {"GET", "/revoke"}} {
		if status, body := admin(t, server, command[0], command[1], ""); status/100 != 4 {
			t.Errorf("%v: got %d %s", command, status, body)
		}
	}
}

func TestTheAdminAPIListsItsCommandsWithExamplesThatWork(t *testing.T) {
	server := startAdmin(t, New())
	_, help := admin(t, server, "GET", "/", "")
	for _, c := range New().adminCommands() {
		if !strings.Contains(help, c.route+" "+c.body+"\n    "+c.does) {
			t.Errorf("the list lacks %s", c.route)
		}
		method, path, _ := strings.Cut(c.route, " ")
		if status, answer := admin(t, server, method, path, c.body); status != http.StatusOK {
			t.Errorf("the example of %s is answered with %d: %s", c.route, status, answer)
		}
	}
}
