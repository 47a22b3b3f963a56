// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

const (
	login = `{"kind":"Secret","stringData":{"username":"me","password":"pass word"}}`
	key   = `{"kind":"Secret","data":{"apiKey":"Ylc5aGNBPT0="}}` // bW9hcA==
)

func TestACredentialIsProvenFromWhereTheUserIs(t *testing.T) {
	ca, err := jupicotest.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	caFile := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(caFile, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		sentence string
		input    string
		api      func(*jupicotest.Emulator)
		args     []string
		code     int
		says     string
	}{
		{"a good login", login,
			func(e *jupicotest.Emulator) { e.AddAccount("me", "pass word", jupicotest.Standard) }, nil, 0,
			"the login                           Accepted (HTTP 200)\nJupico accepts it."},
		{"a login with a newline", login,
			func(e *jupicotest.Emulator) { e.AddAccount("me", "pass word", jupicotest.TrailingNewline) }, nil, 0,
			"the login, followed by a newline    Accepted (HTTP 200)\nJupico accepts it."},
		{"a wrong login", login, func(*jupicotest.Emulator) {}, nil, exitRejected, "Jupico rejects it."},
		{"a good key", key, func(e *jupicotest.Emulator) { e.AddKey("bW9hcA==") }, []string{"--key=apiKey"}, 0,
			"the API key                         Accepted (HTTP 200)"},
		{"a server that accepts everybody", login, func(e *jupicotest.Emulator) { e.AuthenticateNobody(true) }, nil,
			exitUnknown, "the endpoint has to reject a random token"},
		{"a server that is down", login, func(e *jupicotest.Emulator) { e.Inject(jupicotest.Fault{Status: 503}) }, nil,
			exitUnknown, "Nothing is proven"},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			emulator := jupicotest.New()
			t.Cleanup(emulator.Close)
			server := jupicotest.NewServer(emulator, ca)
			t.Cleanup(server.Close)
			row.api(emulator)
			args := append([]string{"prove", "-f", "-", "--endpoint=" + server.URL, "--ca-file=" + caFile}, row.args...)
			output, err := runWith(t, row.input, args...)
			code, isCode := errors.AsType[exitError](err)
			if err != nil && !isCode || int(code) != row.code {
				t.Errorf("got %v, want the exit code %d", err, row.code)
			}
			if !strings.Contains(output, row.says) {
				t.Errorf("got\n%s\nwithout %q", output, row.says)
			}
			for _, secret := range []string{"pass word", "bWU6cGFzcyB3b3Jk", "bW9hcA=="} {
				if strings.Contains(output, secret) {
					t.Errorf("the output contains a secret:\n%s", output)
				}
			}
		})
	}
}

func TestWhatCannotBeProvenIsSaid(t *testing.T) {
	const at = "--environment=Sandbox"
	for _, row := range []struct {
		sentence, input string
		args            []string
		want            string
	}{
		{"no such environment", login, []string{"--environment=Prod"}, `there is no environment "Prod"`},
		{"an endpoint without TLS", login, []string{"--endpoint=http://a.example"}, "--endpoint: "},
		{"no Secret", "pass word", []string{at}, "the file has to hold one Secret"},
		{"a Secret without a login", key, []string{at}, `the Secret has no key "username"; for an API key, name its key`},
		{"two places", login, []string{at, "--endpoint=https://a.example"},
			"[environment endpoint] are set none of the others can be"},
		{"no place", login, nil, "at least one of the flags in the group [environment endpoint] is required"},
	} {
		_, err := runWith(t, row.input, append([]string{"prove", "-f", "-"}, row.args...)...)
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "pass word") {
			t.Errorf("%s: got %v, want %q", row.sentence, err, row.want)
		}
	}
}
