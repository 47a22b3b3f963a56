// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// serve starts an emulator, and returns it with its URL and a client that trusts it.
func serve(t *testing.T) (*jupicotest.Emulator, string, *http.Client) {
	t.Helper()
	ca, err := jupicotest.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	emulator := jupicotest.New()
	server := jupicotest.NewServer(emulator, ca)
	t.Cleanup(server.Close)
	t.Cleanup(emulator.Close)
	client := newClient()
	client.Transport.(*http.Transport).TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).
		TLSClientConfig.RootCAs
	return emulator, server.URL, client
}

func TestTheConclusionFollowsFromTheAnswers(t *testing.T) {
	tests := []struct {
		name     string
		given    func(*jupicotest.Emulator)
		wantCode int
		want     []string
	}{
		{"newline form only", func(*jupicotest.Emulator) {}, 0, []string{
			"login, RFC 7617 form:        Rejected (HTTP 401 auth_invalid_api_token, application/json)",
			"login, newline form:         Accepted (HTTP 200, application/json)",
			"random token:                Rejected (HTTP 401 auth_invalid_api_token, application/json)",
			"in the newline form only",
			"It answers auth_header_not_present to a request with no Authorization header, as documented",
			"It answers auth_invalid_content_type to a request with no content type, as documented",
		}},
		{"RFC form only", func(e *jupicotest.Emulator) { e.SetPublishedForms(jupicotest.Standard) }, 0,
			[]string{"in the RFC 7617 form only"}},
		{"both forms", func(e *jupicotest.Emulator) { e.SetPublishedForms(jupicotest.Both) }, 0,
			[]string{"in both forms"}},
		{"no account", (*jupicotest.Emulator).Wipe, 1, []string{"in neither form"}},
		{"anybody", func(e *jupicotest.Emulator) { e.AuthenticateNobody(true) }, 1,
			[]string{"accepts a random token, so nothing that it accepts is proven"}},
		{"a firewall", func(e *jupicotest.Emulator) { e.Inject(jupicotest.Fault{Status: 403, HTML: true}) }, 1,
			[]string{"Forbidden (HTTP 403 with HTML or XML, text/html)", "No conclusion"}},
		{"no answer", func(e *jupicotest.Emulator) { e.Inject(jupicotest.Fault{ResetConnection: true}) }, 1,
			[]string{"no answer (", "No conclusion: not every request was answered"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			emulator, url, client := serve(t)
			test.given(emulator)
			var out strings.Builder
			if code := run(t.Context(), []string{"--url=" + url + "/"}, client, &out); code != test.wantCode {
				t.Errorf("exit code %d, want %d", code, test.wantCode)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("missing %q", want)
				}
			}
			for _, secret := range []string{
				publishedPassword, jupicotest.PublishedAPIKey, jupicotest.PublishedStandardToken, jupicotest.SensitiveMessage,
			} {
				if strings.Contains(out.String(), secret) {
					t.Errorf("%q was printed", secret)
				}
			}
			t.Log(out.String())
		})
	}
}

func TestALoginOfOnesOwnIsReadFromAFile(t *testing.T) {
	emulator, url, client := serve(t)
	emulator.AddAccount("me", "own-password", jupicotest.Standard)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("own-password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if code := run(t.Context(), []string{"--url=" + url, "--username=me", "--password-file=" + file}, client, &out); code != 0 {
		t.Errorf("exit code %d:\n%s", code, out.String())
	}
	token := base64.StdEncoding.EncodeToString([]byte("me:own-password"))
	if got := emulator.RequestsFor(token); got != 2 { // once with a complete header, once without a content type
		t.Errorf("%d requests with the login's token, want 2", got)
	}
}

func TestAWrongCommandLineIsExplained(t *testing.T) {
	for args, want := range map[string]string{
		"--port=1":               "not defined: -port",
		"now":                    `unexpected argument "now"`,
		"--url=http://localhost": "must begin with https://",
		"--username=me":          "needs --password-file",
		"--password-file=/none":  "--password-file: open /none",
		"--help":                 "-password-file",
	} {
		t.Run(args, func(t *testing.T) {
			wantCode := 2
			if args == "--help" {
				wantCode = 0
			}
			var out strings.Builder
			if code := run(t.Context(), []string{args}, newClient(), &out); code != wantCode {
				t.Errorf("exit code %d, want %d", code, wantCode)
			}
			if !strings.Contains(out.String(), want) {
				t.Errorf("missing %q in %q", want, out.String())
			}
		})
	}
}
