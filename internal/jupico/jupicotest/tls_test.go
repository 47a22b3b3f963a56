// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestACertificateIsValidOnlyForItsHosts(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Issue("gateway.example", "10.1.2.3", "fd00::1")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(issued.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"gateway.example", "10.1.2.3", "fd00::1"} {
		if err := cert.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	for _, host := range []string{"other.example", "10.1.2.4", "localhost"} {
		if cert.VerifyHostname(host) == nil {
			t.Errorf("the certificate is valid for %s", host)
		}
	}
}

func TestAServerIsTrustedOnlyThroughItsOwnCA(t *testing.T) {
	s := start(t)
	s.wantCode(PublishedAPIKey, "")

	other, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	s.client = newClient(t, other)
	if response, err := s.client.Do(s.request(PublishedAPIKey)); err == nil {
		_ = response.Body.Close()
		t.Error("a client trusts a server of another CA")
	}
	if got := s.Requests(); got != 1 {
		t.Errorf("%d requests were counted, want 1", got)
	}
}

func TestCertificatesAreValidForAYearAndTheCAForTwo(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Issue("localhost")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(issued.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	day := 24 * time.Hour
	for days, want := range map[time.Duration]bool{-1: false, 0: true, 364: true, 367: false} {
		_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: time.Now().Add(days * day)})
		if (err == nil) != want {
			t.Errorf("%d days from now, verification gives %v", days, err)
		}
	}
	for days, want := range map[time.Duration]bool{729: true, 732: false} {
		if got := ca.certificate.Leaf.NotAfter.After(time.Now().Add(days * day)); got != want {
			t.Errorf("the CA is valid until %s", ca.certificate.Leaf.NotAfter)
		}
	}
}

func TestAServersCertificateIsValidForLoopback(t *testing.T) {
	s := start(t)
	for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
		if err := s.server.Certificate().VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

func TestTLSOlderThan12IsRefused(t *testing.T) {
	s := start(t)
	address := strings.TrimPrefix(s.server.URL, "https://")
	config := s.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	for version, want := range map[uint16]bool{
		tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, version
		conn, err := tls.Dial("tcp", address, config)
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != want {
			t.Errorf("the handshake with %s gives %v", tls.VersionName(version), err)
		}
	}
}

func TestPlainHTTPIsNotServed(t *testing.T) {
	s := start(t)
	r := s.request(PublishedAPIKey)
	r.URL.Scheme = "http"
	response, _ := s.do(r)
	if response.StatusCode != http.StatusBadRequest || s.Requests() != 0 {
		t.Errorf("got %s and %d requests", response.Status, s.Requests())
	}
}
