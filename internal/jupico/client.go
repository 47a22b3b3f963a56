// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package jupico is the client of Jupico's API. It makes one kind of request, an authenticated GET /status.
package jupico

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Config applies to the requests to all endpoints.
type Config struct {
	Timeout   time.Duration // of a whole check: connecting, handshake, request and body
	UserAgent string
}

// Client checks tokens at one base URL with one set of TLS settings. It is safe for concurrent use.
type Client struct {
	config Config
	status string // the URL of /status
	// transport is used without an http.Client, which would parse redirects even if it were told not to follow them.
	transport *http.Transport
}

// NewClient returns a client for a canonical base URL. The endpoint's certificate must be signed by one of the roots;
// nil means the system's. HTTPS_PROXY and NO_PROXY are honoured.
func NewClient(baseURL string, roots *x509.CertPool, config Config) *Client {
	return &Client{
		config: config,
		status: baseURL + "/status",
		transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment,
			// The transport may go on connecting after the check has ended, and must not hang for ever then.
			DialContext:         (&net.Dialer{Timeout: config.Timeout}).DialContext,
			TLSHandshakeTimeout: config.Timeout,
			// A firewall may drop a connection silently. A ping finds that out, and the connection is given up.
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: config.Timeout, PingTimeout: config.Timeout},
			OnProxyConnectResponse: refuseProxy,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // bodies are small, and what they decompress to is not bounded
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// Check sends one authenticated GET /status. Whatever happens, the result is an outcome.
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

// CloseIdleConnections closes the connections that are kept for later checks.
func (c *Client) CloseIdleConnections() { c.transport.CloseIdleConnections() }

func (c *Client) send(ctx context.Context, token credential.Token) (outcome.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.status, nil)
	if err != nil {
		return outcome.Response{}, err
	}
	request.Header.Set("Authorization", token.Authorization())
	request.Header.Set("Content-Type", "application/json") // the API demands it even for a GET
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
		Body:        body,
	}, nil
}
