// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	brokenConnection    = "the connection broke before an answer came"
	failedHandshake     = "the TLS handshake failed"
	noClientCertificate = "the endpoint asks for a client certificate, which the operator does not have" // may cause both
)

// proxyError is the HTTP status with which a proxy refused to connect to the endpoint.
type proxyError int

func (e proxyError) Error() string { return fmt.Sprintf("the proxy answered HTTP %d", int(e)) }

func refuseProxy(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return proxyError(response.StatusCode)
}

// explain turns an error of the transport into an outcome. The detail is a text of this project: that of the error may
// differ from check to check, as it holds port numbers, and it is not meant for users.
func (c *Client) explain(err error) outcome.Result {
	if status, ok := errors.AsType[proxyError](err); ok {
		result := outcome.Result{Detail: fmt.Sprintf("the proxy %s answered HTTP %d", c.proxy.Host, int(status))}
		if status == http.StatusProxyAuthRequired {
			result.Outcome = outcome.ProxyRefused
		} else {
			result.Outcome, result.AtProxy = outcome.Unreachable, true
		}
		return result
	}
	result := outcome.Result{Outcome: outcome.TLSFailure, Detail: tlsProblem(err)}
	if result.Detail == "" {
		result = outcome.Result{Outcome: outcome.Unreachable, Detail: c.networkProblem(err)}
	}
	operation, _ := errors.AsType[*net.OpError](err)
	switch {
	case operation != nil && (operation.Op == connectToProxy || operation.Op == "socks connect"):
		result.AtProxy, result.Detail = true, fmt.Sprintf("the proxy %s: %s", c.proxy.Host, result.Detail)
	case c.asksForCertificate.Load() && (result.Detail == failedHandshake || result.Detail == brokenConnection):
		// With TLS 1.3, the alert comes after the handshake, and a request that is on the way may keep it from being read.
		result = outcome.Result{Outcome: outcome.TLSFailure, Detail: noClientCertificate}
	case c.proxy != nil && result.Outcome == outcome.Unreachable:
		result.Detail += ", by way of the proxy " + c.proxy.Host
	}
	return result
}

// tlsProblem is empty when the error is about neither the certificate nor the handshake.
func tlsProblem(err error) string {
	var certificate x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "the certificate is signed by an authority that is not trusted here"
	case errors.As(err, new(x509.HostnameError)):
		return "the certificate is for another host name"
	case errors.As(err, &certificate) && certificate.Reason == x509.Expired:
		return "the certificate has expired or is not valid yet"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "the certificate could not be verified"
	case errors.As(err, new(tls.RecordHeaderError)), errors.Is(err, http.ErrSchemeMismatch):
		return "the server does not speak TLS"
	case strings.Contains(err.Error(), "tls: "): // alerts, like most errors of crypto/tls, have no types
		return failedHandshake
	default:
		return ""
	}
}

// networkProblem says why no answer came.
func (c *Client) networkProblem(err error) string {
	var netError net.Error
	switch {
	case errors.As(err, new(*net.DNSError)):
		return "the host name could not be resolved"
	case errors.As(err, &netError) && netError.Timeout(): // a context's deadline is one too
		return fmt.Sprintf("no answer within %s", c.config.Timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no route to the host"
	default:
		return brokenConnection
	}
}
