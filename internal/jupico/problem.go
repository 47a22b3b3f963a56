// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// tlsProblem says what is wrong with the certificate or the handshake. It is empty when the error is another.
func tlsProblem(err error) string {
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var certificate x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return "the certificate is signed by an authority that is not trusted here"
	case errors.As(err, &hostname):
		return "the certificate is for another host name"
	case errors.As(err, &certificate) && certificate.Reason == x509.Expired:
		return "the certificate has expired or is not valid yet"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate could not be verified"
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch) {
		return "the endpoint does not speak TLS"
	}
	if strings.Contains(err.Error(), "tls: ") { // alerts, and the rest of crypto/tls, have no types
		return "the TLS handshake failed"
	}
	return ""
}

// networkProblem says why no answer came.
func networkProblem(err error, timeout time.Duration) string {
	var dns *net.DNSError
	var netError net.Error
	switch {
	case errors.As(err, &dns):
		return "the host name could not be resolved"
	case errors.As(err, &netError) && netError.Timeout(): // a context's deadline is one too
		return fmt.Sprintf("no answer within %s", timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no route to the host"
	default:
		return "the connection broke before an answer came"
	}
}
