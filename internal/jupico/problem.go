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
	if proxy, ok := errors.AsType[proxyError](err); ok {
		if proxy == http.StatusProxyAuthRequired {
			return outcome.Result{Outcome: outcome.ProxyRefused, Detail: proxy.Error()}
		}
		return outcome.Result{Outcome: outcome.Unreachable, Detail: proxy.Error()}
	}
	if detail := tlsProblem(err); detail != "" {
		return outcome.Result{Outcome: outcome.TLSFailure, Detail: detail}
	}
	return outcome.Result{Outcome: outcome.Unreachable, Detail: c.networkProblem(err)}
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
		return "the endpoint does not speak TLS"
	case strings.Contains(err.Error(), "tls: "): // alerts, like most errors of crypto/tls, have no types
		return "the TLS handshake failed"
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
		return "the connection broke before an answer came"
	}
}
