// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// sandbox is an emulator behind a real HTTPS server, with a client that trusts it.
type sandbox struct {
	*Emulator
	t      *testing.T
	ca     *CA
	server *httptest.Server
	client *http.Client
}

func start(t *testing.T) *sandbox {
	t.Helper()
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	e := New()
	server := NewServer(e, ca)
	client := newClient(t, ca)
	t.Cleanup(func() {
		e.Close()
		client.CloseIdleConnections()
		server.Close()
	})
	return &sandbox{Emulator: e, t: t, ca: ca, server: server, client: client}
}

// newClient returns an HTTP/2 client that trusts only ca, and follows no redirect.
func newClient(t *testing.T, ca *CA) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca.PEM()) {
		t.Fatal("the CA's PEM contains no certificate")
	}
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// overHTTP1 makes the client use HTTP/1.1, with a new connection for each request.
func (s *sandbox) overHTTP1() *sandbox {
	s.client = newClient(s.t, s.ca)
	transport := s.client.Transport.(*http.Transport)
	transport.ForceAttemptHTTP2 = false
	transport.DisableKeepAlives = true
	return s
}

// request returns a correct request.
func (s *sandbox) request(token string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.server.URL+statusPath, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Basic "+token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "jupicotest")
	return r
}

// do sends a request, and returns the answer and its whole body.
func (s *sandbox) do(r *http.Request) (*http.Response, string) {
	s.t.Helper()
	response, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response, string(body)
}

// code sends a correct request with the token, and returns the error code of the answer, or "" if it is accepted.
func (s *sandbox) code(token string) string {
	s.t.Helper()
	response, body := s.do(s.request(token))
	var got answer
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		s.t.Fatalf("the body %q is not JSON: %v", body, err)
	}
	if got.Success != (response.StatusCode == http.StatusOK) {
		s.t.Fatalf("status %d with success %t", response.StatusCode, got.Success)
	}
	return got.Error.Code
}

func (s *sandbox) wantCode(token, want string) {
	s.t.Helper()
	if got := s.code(token); got != want {
		s.t.Errorf("the code is %q, want %q", got, want)
	}
}

func standardToken(username, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
}

func newlineToken(username, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(username + ":" + password + "\n"))
}

func TestAGoodRequestSucceeds(t *testing.T) {
	s := start(t)
	response, body := s.do(s.request(PublishedAPIKey))
	wantAnswer(t, response, body, 200, "")
	if response.ProtoMajor != 2 {
		t.Errorf("the protocol is %s, want HTTP/2", response.Proto)
	}
	response, body = s.overHTTP1().do(s.request(PublishedAPIKey))
	wantAnswer(t, response, body, 200, "")
	if response.ProtoMajor != 1 {
		t.Errorf("the protocol is %s, want HTTP/1.1", response.Proto)
	}
}

func TestARequestMustBeExactlyAsDocumented(t *testing.T) {
	tests := []struct {
		name       string
		change     func(*http.Request)
		wantStatus int
		wantCode   string
	}{
		{"no Authorization", func(r *http.Request) { r.Header.Del("Authorization") }, 401, "auth_header_not_present"},
		{"no Content-Type", func(r *http.Request) { r.Header.Del("Content-Type") }, 401, "auth_invalid_content_type"},
		{"other Content-Type", func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") },
			401, "auth_invalid_content_type"},
		{"a body", func(r *http.Request) { setBody(r, "{}", 2) }, 400, "invalid_payload"},
		{"a body of unknown length", func(r *http.Request) { setBody(r, "{}", -1) }, 400, "invalid_payload"},
		{"other scheme", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+PublishedAPIKey) },
			401, "auth_invalid_api_token"},
		{"scheme in small letters", func(r *http.Request) { r.Header.Set("Authorization", "basic "+PublishedAPIKey) },
			401, "auth_invalid_api_token"},
		{"two Authorizations", func(r *http.Request) { r.Header.Add("Authorization", "Basic "+PublishedAPIKey) },
			401, "auth_invalid_api_token"},
		{"other path", func(r *http.Request) { r.URL.Path = "/" }, 404, "wrong_url"},
		{"one slash too many", func(r *http.Request) { r.URL.Path = "/status/" }, 404, "wrong_url"},
		{"other method", func(r *http.Request) { r.Method = http.MethodPost }, 404, "wrong_url"},
	}
	s := start(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := s.request(PublishedAPIKey)
			test.change(r)
			response, body := s.do(r)
			wantAnswer(t, response, body, test.wantStatus, test.wantCode)
		})
	}
}

func setBody(r *http.Request, body string, length int64) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), length
}

// wantAnswer checks that the answer is an error with that code, or a good answer if the code is "".
func wantAnswer(t *testing.T, response *http.Response, body string, status int, code string) {
	t.Helper()
	want := `{"success":true}`
	if code != "" {
		want = `{"success":false,"error":{"code":"` + code + `","message":"` + SensitiveMessage + `"}}`
	}
	if response.StatusCode != status || strings.TrimSpace(body) != want {
		t.Errorf("got %d %s, want %d %s", response.StatusCode, body, status, want)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the content type is %q", got)
	}
}

func TestTheFirstMistakeInARequestDecidesTheAnswer(t *testing.T) {
	steps := []struct {
		wantStatus int
		wantCode   string
		fix        func(*http.Request)
	}{
		{404, "wrong_url", func(r *http.Request) { r.URL.Path = statusPath }},
		{401, "auth_header_not_present", func(r *http.Request) { r.Header.Set("Authorization", "Basic unknown") }},
		{401, "auth_invalid_content_type", func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }},
		{400, "invalid_payload", func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }},
		{401, "auth_invalid_api_token", func(r *http.Request) { r.SetBasicAuth("account", "password") }},
		{401, "auth_invalid_api_user", func(*http.Request) {}},
	}
	s := start(t)
	s.AddAccount("account", "password", Standard)
	s.SetState("account", "auth_invalid_api_user")
	for i, step := range steps {
		r := s.request("")
		r.URL.Path = "/wrong"
		r.Header.Del("Authorization")
		r.Header.Del("Content-Type")
		setBody(r, "{}", 2)
		for _, earlier := range steps[:i] {
			earlier.fix(r)
		}
		response, body := s.do(r)
		wantAnswer(t, response, body, step.wantStatus, step.wantCode)
	}
}

func TestAnEndpointThatAuthenticatesNobodyAcceptsEverything(t *testing.T) {
	s := start(t)
	s.AuthenticateNobody(true)
	r := s.request("whatever")
	r.Header.Del("Content-Type")
	response, body := s.do(r)
	wantAnswer(t, response, body, 200, "")

	s.AuthenticateNobody(false)
	s.wantCode("whatever", "auth_invalid_api_token")
}

// TestTheEmulatorIsSafeForConcurrentUse is for the race detector.
func TestTheEmulatorIsSafeForConcurrentUse(t *testing.T) {
	e := New()
	uses := []func(){
		func() {
			e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, statusPath, http.NoBody))
		},
		func() {
			r := httptest.NewRequest(http.MethodGet, statusPath, http.NoBody)
			r.Header.Set("Authorization", "Basic "+PublishedAPIKey)
			r.Header.Set("Content-Type", contentType)
			e.ServeHTTP(httptest.NewRecorder(), r)
		},
		func() { e.AddAccount("shop", "word", Both) },
		func() { e.AddKey("key") },
		func() { e.Revoke(PublishedUsername) },
		func() { e.SetPublishedForms(TrailingNewline) },
		e.Reset,
		e.Wipe,
		func() { e.AuthenticateNobody(false) },
		func() { e.Inject(Fault{Times: 2}) },
		e.Clear,
		func() { e.Requests() },
		func() { e.RequestsFor("key") },
	}
	var users sync.WaitGroup
	for _, use := range uses {
		users.Go(func() {
			for range 1000 {
				use()
			}
		})
	}
	users.Wait()
	if got := e.Requests(); got != 2000 {
		t.Errorf("%d requests were counted, want 2000", got)
	}
}

func TestAFingerprintIsTheBeginningOfTheSHA256(t *testing.T) {
	if got, want := Fingerprint("abc"), "ba7816bf8f01"; got != want { // the example of FIPS 180-2
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRequestsAreCountedByToken(t *testing.T) {
	s := start(t)
	s.code(PublishedAPIKey)
	s.code("unknown")
	s.code("unknown")
	withoutToken := s.request("")
	withoutToken.Header.Del("Authorization")
	s.do(withoutToken)

	if got := s.Requests(); got != 4 {
		t.Errorf("%d in all, want 4", got)
	}
	for token, want := range map[string]int{PublishedAPIKey: 1, "unknown": 2, "": 1, "never sent": 0} {
		if got := s.RequestsFor(token); got != want {
			t.Errorf("%d for %q, want %d", got, token, want)
		}
	}
}
