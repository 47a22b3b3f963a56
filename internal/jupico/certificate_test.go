// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const wantsCertificate = "the endpoint asks for a client certificate, which the operator does not have"

func TestAnEndpointThatDemandsAClientCertificateIsSaidTo(t *testing.T) {
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const page = "<html>400 No required SSL certificate was sent</html>"
	for version, number := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		for _, tc := range []struct {
			sentence string
			demand   tls.ClientAuthType
			answer   http.HandlerFunc
			want     outcome.Outcome
			detail   string
		}{
			{"with any certificate", tls.RequireAnyClientCert, nil, outcome.TLSFailure, wantsCertificate},
			{"with one of an authority", tls.RequireAndVerifyClientCert, nil, outcome.TLSFailure, wantsCertificate},
			{"and hangs up without one", tls.RequestClientCert, hangUp, outcome.TLSFailure, wantsCertificate},
			{"and says so in a page", tls.RequestClientCert, answer(400, "text/html", page),
				outcome.UnexpectedResponse, "HTTP 400 with HTML or XML; " + wantsCertificate},
			{"and forbids the rest", tls.RequestClientCert, answer(403, "text/plain", "no"),
				outcome.Forbidden, "HTTP 403; " + wantsCertificate},
			{"but does without", tls.VerifyClientCertIfGiven, answer(200, "application/json", "{}"), outcome.Accepted, "HTTP 200"},
			{"but is out of service", tls.RequestClientCert, answer(503, "text/plain", "no"), outcome.Unavailable, "HTTP 503"},
		} {
			t.Run(tc.sentence+", over TLS "+version, func(t *testing.T) {
				emulator := jupicotest.New()
				emulator.AddKey(goodToken)
				t.Cleanup(emulator.Close)
				handler := http.Handler(emulator)
				if tc.answer != nil {
					handler = tc.answer
				}
				s := serve(t, handler, func(server *httptest.Server) {
					server.TLS.ClientAuth, server.TLS.MinVersion, server.TLS.MaxVersion = tc.demand, number, number
				})
				client := clientOf(t, s.url, s)
				for range 20 { // the alert of TLS 1.3 races with the request
					wantResult(t, client.Check(t.Context(), parse(t, goodToken)), tc.want, tc.detail)
				}
			})
		}
	}
}

// TestAnEndpointThatDidWithoutAClientCertificateIsNotBlamed: what is wrong with it must then be something else.
func TestAnEndpointThatDidWithoutAClientCertificateIsNotBlamed(t *testing.T) {
	var isPage atomic.Bool
	emulator := jupicotest.New()
	emulator.AddKey(goodToken)
	t.Cleanup(emulator.Close)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isPage.Load() {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		emulator.ServeHTTP(w, r)
	}), func(server *httptest.Server) { server.TLS.ClientAuth = tls.RequestClientCert })
	client := clientOf(t, s.url, s)
	mustAccept(t, client.Check(t.Context(), parse(t, goodToken)))
	isPage.Store(true)
	got := client.Check(t.Context(), parse(t, goodToken)) // on the same connection
	if got.Outcome != outcome.UnexpectedResponse || strings.Contains(got.Detail, "certificate") {
		t.Errorf("got %s (%s)", got.Outcome, got.Detail)
	}
}
