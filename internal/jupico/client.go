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
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Config applies to the requests to all endpoints.
type Config struct {
	Timeout   time.Duration // of a whole check: connecting, handshake, request and body
	UserAgent string
	// Proxy returns the proxy on the way to a base URL. When it is nil or returns nil, there is none.
	Proxy func(target *url.URL) *url.URL
	// Roots are the authorities that count as the system's. Nil means those that it has.
	Roots *x509.CertPool
}

// Client checks tokens at one base URL with one set of TLS settings. It is safe for concurrent use.
type Client struct {
	config Config
	status string   // the URL of /status
	proxy  *url.URL // on the way to it; nil for none
	// asksForCertificate: since its last evidence, the endpoint has asked for a client certificate. It may do without one.
	asksForCertificate atomic.Bool
	// transport is used without an http.Client, which would parse redirects even if it were told not to follow them. It
	// speaks HTTP/1.1 only: over HTTP/2, it would repeat a request as often as the server asks for that.
	transport *http.Transport
}

// connectToProxy is how net/http marks an error that came about before a proxy was connected to.
const connectToProxy = "proxyconnect"

// NewClient returns a client for a canonical base URL. The endpoint's certificate must be signed by one of the roots;
// nil means the system's. That of a proxy must be signed by one of the system's.
func NewClient(baseURL string, roots *x509.CertPool, config Config) *Client {
	c := &Client{config: config, status: baseURL + "/status"}
	if roots == nil {
		roots = config.Roots
	}
	if target, err := url.Parse(baseURL); err == nil && config.Proxy != nil {
		c.proxy = config.Proxy(target)
	}
	// The transport may go on connecting after the check has ended, and must not hang for ever then. The check ends first,
	// so that the same fault always has the same detail.
	limit := 2 * config.Timeout
	dialer := &net.Dialer{Timeout: limit}
	c.transport = &http.Transport{
		Proxy:                  http.ProxyURL(c.proxy),
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    limit,
		OnProxyConnectResponse: refuseProxy,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			RootCAs:    roots,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				c.asksForCertificate.Store(true)
				return &tls.Certificate{}, nil // none
			},
		},
		DisableCompression:     true, // bodies are small, and what they decompress to is not bounded
		MaxIdleConnsPerHost:    64,   // times in a status have whole seconds, so that many checks begin together
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	if c.proxy != nil && c.proxy.Scheme == "https" {
		// This is called for the connection to the proxy alone. TLSClientConfig is left to the endpoint's inside of it.
		toProxy := &tls.Dialer{NetDialer: dialer, Config: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: config.Roots}}
		c.transport.DialTLSContext = toProxy.DialContext
	}
	return c
}

// Check sends one authenticated GET /status. Whatever happens, the result is an outcome.
func (c *Client) Check(ctx context.Context, token credential.Token) outcome.Result {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	response, attempts, err := c.send(ctx, token)
	if err == nil {
		err = ctx.Err() // what a server says because its client hangs up is no answer: often it is 200
	}
	now := time.Now()
	result := outcome.Classify(response, now)
	if err != nil {
		result = c.explain(err)
	}
	result.Attempts, result.Duration = attempts, now.Sub(start)
	switch {
	case result.Outcome.IsEvidence():
		c.asksForCertificate.Store(false)
	case result.Outcome == outcome.UnexpectedResponse, result.Outcome == outcome.Forbidden:
		if c.asksForCertificate.Load() { // some servers say so in a page only
			result.Detail += "; " + noClientCertificate
		}
	}
	isOut := result.Outcome.Class() == outcome.Transient && result.Outcome != outcome.RateLimited
	if isOut || result.Outcome == outcome.UnexpectedResponse {
		c.transport.CloseIdleConnections() // the next check looks the name up again, which may lead to another server
	}
	return result
}

// CloseIdleConnections closes the connections that are kept for later checks.
func (c *Client) CloseIdleConnections() { c.transport.CloseIdleConnections() }

// send sends the request, and reports how often it was sent: the transport repeats it after it found a kept connection
// closed. If one was closed, the others likely were too, so the second attempt gets a new one, and is the last.
func (c *Client) send(ctx context.Context, token credential.Token) (_ outcome.Response, attempts int, _ error) {
	var isConnected atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) {
			if attempts++; attempts > 1 {
				c.transport.CloseIdleConnections()
			}
		},
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				isConnected.Store(true)
			}
		},
		GotConn: func(httptrace.GotConnInfo) { isConnected.Store(true) },
	}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, c.status, nil)
	if err != nil {
		return outcome.Response{}, 0, err
	}
	request.Header.Set("Authorization", token.Authorization())
	request.Header.Set("Content-Type", "application/json") // the API demands it even for a GET
	request.Header.Set("User-Agent", c.config.UserAgent)
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		if c.proxy != nil && !isConnected.Load() { // which a timeout does not say by itself
			err = &net.OpError{Op: connectToProxy, Err: err}
		}
		return outcome.Response{}, attempts, err
	}
	defer func() { _ = response.Body.Close() }()
	received := outcome.Response{
		Status:      response.StatusCode,
		ContentType: response.Header.Get("Content-Type"),
		RetryAfter:  response.Header.Get("Retry-After"),
		Challenges:  response.Header.Values("WWW-Authenticate"),
	}
	if received.Status == http.StatusSwitchingProtocols {
		return received, attempts, nil // no body follows, but whatever the server likes
	}
	received.Body, err = io.ReadAll(io.LimitReader(response.Body, outcome.MaxBody+1))
	return received, attempts, err
}
