// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"time"
)

// CA is a certificate authority that exists only in memory.
type CA struct{ certificate tls.Certificate }

// NewCA makes a certificate authority that is valid for 2 years.
func NewCA() (*CA, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Jupico emulator CA"},
		NotAfter:              time.Now().AddDate(2, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	certificate, err := new(CA).sign(template)
	return &CA{certificate}, err
}

// PEM returns the certificate that clients must trust.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.certificate.Leaf.Raw})
}

// Issue returns a server certificate for these DNS names and IP addresses, valid for 1 year, with its key.
func (ca *CA) Issue(hosts ...string) (tls.Certificate, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Jupico emulator"},
		NotAfter:    time.Now().AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return ca.sign(template)
}

// sign makes a key and a certificate for it. If the CA has no certificate yet, this becomes its own, and the new key
// signs it. The certificate is valid from an hour ago, for clients whose clock is slow.
func (ca *CA) sign(template *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	issuer, issuerKey := ca.certificate.Leaf, ca.certificate.PrivateKey
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// ServerTLS returns the TLS settings of a server with that certificate: 1.2 or newer.
func ServerTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

// NewServer starts an HTTPS server with HTTP/2 on a free port of 127.0.0.1. Its certificate is issued by ca for
// 127.0.0.1, ::1 and localhost. Like the functions of httptest, it panics if it fails.
func NewServer(h http.Handler, ca *CA) *httptest.Server {
	cert, err := ca.Issue("127.0.0.1", "::1", "localhost")
	if err != nil {
		panic("jupicotest: " + err.Error())
	}
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.TLS = ServerTLS(cert)
	// Tests make handshakes fail on purpose, and each failure would add a line to their output.
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	return server
}
