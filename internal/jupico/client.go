// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package jupico is the client of Jupico's API: it makes one kind of call, an authenticated GET /status.
package jupico

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	// maxHeaders bounds a response's header, in bytes.
	maxHeaders = 64 << 10
	// maxIdleConnections bounds the connections to one endpoint that are kept for the next check.
	maxIdleConnections = 16
	// idleTimeout is how long a connection is kept for the next check.
	idleTimeout = 90 * time.Second
)

// Config of the requests to every endpoint.
type Config struct {
	// Timeout of one check in all: connecting, handshake, request and body.
	Timeout time.Duration
	// UserAgent is sent with every request.
	UserAgent string
}

// Client checks tokens at one base URL with one set of TLS settings. It is safe for concurrent use.
type Client struct {
	config Config
	status string // the URL of /status
	// transport is used without an http.Client, which would look at redirects even to not follow them.
	transport *http.Transport
}

// NewClient returns a client for a canonical base URL. roots are the authorities that the endpoint's certificate is
// verified against; nil means the system's. HTTPS_PROXY and NO_PROXY are honoured.
func NewClient(baseURL string, roots *x509.CertPool, config Config) *Client {
	return &Client{
		config: config,
		status: baseURL + "/status",
		transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment,
			// A connection may outlive the check that asked for it, and must not hang for ever then.
			DialContext:         (&net.Dialer{Timeout: config.Timeout}).DialContext,
			TLSHandshakeTimeout: config.Timeout,
			// A firewall may forget a connection without telling anybody: it is then pinged, and given up.
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: config.Timeout, PingTimeout: config.Timeout},
			OnProxyConnectResponse: refuseProxy,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // a body is small, and a decompressed one is not bounded
			MaxIdleConnsPerHost:    maxIdleConnections,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeaders,
		},
	}
}

// Check sends one authenticated GET /status. Whatever happens is an outcome.
func (c *Client) Check(ctx context.Context, token credential.Token) outcome.Result {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	response, err := c.send(ctx, token)
	now := time.Now()
	result := outcome.Classify(response, now)
	if err != nil {
		result = c.explain(err)
	}
	result.Duration = now.Sub(start)
	return result
}

// CloseIdleConnections lets go of the connections that wait for the next check.
func (c *Client) CloseIdleConnections() { c.transport.CloseIdleConnections() }

func (c *Client) send(ctx context.Context, token credential.Token) (outcome.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.status, nil)
	if err != nil {
		return outcome.Response{}, err
	}
	request.Header.Set("Authorization", token.Authorization())
	request.Header.Set("Content-Type", "application/json") // the API asks for it, even on a GET
	request.Header.Set("User-Agent", c.config.UserAgent)
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return outcome.Response{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, outcome.MaxBody+1))
	if err != nil {
		return outcome.Response{}, err
	}
	return outcome.Response{
		Status:      response.StatusCode,
		ContentType: response.Header.Get("Content-Type"),
		RetryAfter:  response.Header.Get("Retry-After"),
		Body:        body[:min(len(body), outcome.MaxBody)],
		Truncated:   len(body) > outcome.MaxBody,
	}, nil
}

// proxyError is a proxy's refusal to connect us to the endpoint.
type proxyError struct{ status int }

func (e *proxyError) Error() string { return fmt.Sprintf("the proxy answered HTTP %d", e.status) }

func refuseProxy(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{response.StatusCode}
}

// explain turns an error of the transport into an outcome. Its text is ours: the error's own may differ from check to
// check (it holds port numbers), and is not made for users.
func (c *Client) explain(err error) outcome.Result {
	if proxy, ok := errors.AsType[*proxyError](err); ok {
		if proxy.status == http.StatusProxyAuthRequired {
			return outcome.Result{Outcome: outcome.ProxyRefused, Detail: proxy.Error()}
		}
		return outcome.Result{Outcome: outcome.Unreachable, Detail: proxy.Error()}
	}
	if detail := tlsProblem(err); detail != "" {
		return outcome.Result{Outcome: outcome.TLSFailure, Detail: detail}
	}
	return outcome.Result{Outcome: outcome.Unreachable, Detail: networkProblem(err, c.config.Timeout)}
}
