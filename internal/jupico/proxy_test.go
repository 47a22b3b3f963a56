// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// answering makes the proxy refuse with a status, and tells that it was asked.
func answering(asked chan<- struct{}, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.Header().Set("Proxy-Authenticate", `Basic realm="`+jupicotest.SensitiveMessage+`"`)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, jupicotest.SensitiveMessage)
	}
}

func TestAProxyThatRefusesIsToldFromTheEndpoint(t *testing.T) {
	for _, tc := range []struct {
		sentence string
		status   int
		want     outcome.Outcome
		detail   string
	}{
		{"because it wants credentials of its own", 407, outcome.ProxyRefused, "the proxy answered HTTP 407"},
		{"because it may not connect there", 403, outcome.Unreachable, "the proxy answered HTTP 403"},
		{"because it cannot connect there", 502, outcome.Unreachable, "the proxy answered HTTP 502"},
		{"with the status of a rejection", 401, outcome.Unreachable, "the proxy answered HTTP 401"},
		{"with a status of success that is no tunnel", 204, outcome.Unreachable, "the proxy answered HTTP 204"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			asked := make(chan struct{}, 1)
			theProxy.on(t, "platform.jupico.com:443", answering(asked, tc.status))
			got := clientWith(t, productionURL, nil, patience).Check(t.Context(), parse(t, goodToken))
			wantResult(t, got, tc.want, tc.detail)
			if len(asked) != 1 {
				t.Error("the proxy was not asked")
			}
		})
	}
}

func TestAProxyThatHangsUpIsUnreachable(t *testing.T) {
	theProxy.on(t, "platform.jupico.com:443", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	got := clientWith(t, productionURL, nil, patience).Check(t.Context(), parse(t, goodToken))
	wantResult(t, got, outcome.Unreachable, broken)
}

func TestACheckGoesThroughAProxyThatSeesNothingOfIt(t *testing.T) {
	emulator, s := emulate(t)
	seen := make(chan http.Header, 1)
	theProxy.on(t, "platform.jupico.com:443", func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		tunnel(w, s.host)
	})
	mustAccept(t, clientOf(t, productionURL, s).Check(t.Context(), parse(t, goodToken)))
	if n := emulator.RequestsFor(goodToken); n != 1 {
		t.Errorf("the endpoint received %d requests, want 1", n)
	}
	for name, values := range <-seen {
		if value := strings.Join(values, ", "); name == "Authorization" || strings.Contains(value, goodToken) {
			t.Errorf("the proxy was sent %s: %s", name, value)
		}
	}
}

func TestACertificateIsVerifiedThroughAProxyToo(t *testing.T) {
	emulator, s := emulate(t)
	theProxy.on(t, "sandbox-platform.jupico.com:443", func(w http.ResponseWriter, _ *http.Request) { tunnel(w, s.host) })
	got := clientOf(t, sandboxURL, s).Check(t.Context(), parse(t, goodToken))
	wantResult(t, got, outcome.TLSFailure, "the certificate is for another host name")
	if n := emulator.Requests(); n != 0 {
		t.Errorf("the endpoint received %d requests", n)
	}
}

// tunnel connects a proxy's client with a server, until one of them hangs up.
func tunnel(w http.ResponseWriter, hostPort string) {
	server, err := net.Dial("tcp", hostPort)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = server.Close() }()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = client.Close() }()
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	var directions sync.WaitGroup
	copyAll := func(to net.Conn, from io.Reader) {
		_, _ = io.Copy(to, from)
		_, _ = client.Close(), server.Close()
	}
	directions.Go(func() { copyAll(server, buffered) })
	directions.Go(func() { copyAll(client, server) })
	directions.Wait()
}
