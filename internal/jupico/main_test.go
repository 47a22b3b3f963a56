// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Jupico's own endpoints, which no test reaches.
const (
	sandboxURL    = "https://sandbox-platform.jupico.com"
	productionURL = "https://platform.jupico.com"
)

// patience is the timeout of checks that are not about it.
const patience = time.Minute

// theProxy is what HTTPS_PROXY names in all tests of this package but those about it.
var theProxy = &proxy{connect: map[string]http.HandlerFunc{}}

var (
	theProxyHost string // with the port
	throughProxy func(*url.URL) *url.URL
	systemCA     *jupicotest.CA // is the system's only authority
)

// TestMain keeps the tests on this machine: a host that is not loopback is reached through theProxy, and one under
// .invalid directly, but no name server knows it. crypto/x509 reads SSL_CERT_FILE only once.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	names, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go serveNoNames(names)
	net.DefaultResolver = &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "udp", names.LocalAddr().String())
		},
	}
	if systemCA, err = jupicotest.NewCA(); err != nil {
		log.Fatal(err)
	}
	directory, err := os.MkdirTemp("", "jupico-test-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(directory) }()
	authorities := filepath.Join(directory, "ca.crt")
	if err := os.WriteFile(authorities, systemCA.PEM(), 0o600); err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(theProxy)
	theProxyHost = server.Listener.Addr().String()
	for name, value := range map[string]string{
		"HTTPS_PROXY": server.URL, "https_proxy": "", "NO_PROXY": ".invalid", "no_proxy": "",
		"SSL_CERT_FILE": authorities, "SSL_CERT_DIR": directory,
	} {
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
	}
	if throughProxy, err = ProxyFromEnvironment(); err != nil {
		log.Fatal(err)
	}
	return m.Run()
}

// serveNoNames answers every question with NXDOMAIN, but those about silent.invalid, which it does not answer.
func serveNoNames(conn net.PacketConn) {
	message := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(message)
		if err != nil {
			return
		}
		if bytes.Contains(message[:n], []byte("silent")) {
			continue
		}
		message[2] |= 0x80                  // an answer
		message[3] = message[3]&0xf0 | 0x03 // of code NXDOMAIN
		_, _ = conn.WriteTo(message[:n], from)
	}
}

// proxy is an HTTP proxy that knows how to connect to the hosts of the test at hand, and to nowhere else.
type proxy struct {
	mu      sync.Mutex
	connect map[string]http.HandlerFunc // by host and port
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	answer := p.connect[r.RequestURI]
	p.mu.Unlock()
	if answer == nil || r.Method != http.MethodConnect {
		answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	}
	answer(w, r)
}

// on sets what the proxy does when it is asked to connect to a host and port, until the test ends.
func (p *proxy) on(t *testing.T, hostPort string, answer http.HandlerFunc) {
	set := func(answer http.HandlerFunc) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.connect[hostPort] = answer
	}
	set(answer)
	t.Cleanup(func() { set(nil) })
}

// site is an HTTPS server on loopback.
type site struct {
	url    string
	host   string // with the port
	ca     *jupicotest.CA
	server *httptest.Server
}

// serve starts an HTTPS server for 127.0.0.1, with HTTP/2 and whatever adapt makes of it.
func serve(t *testing.T, handler http.Handler, adapt ...func(*httptest.Server)) *site {
	t.Helper()
	ca, err := jupicotest.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.Issue("127.0.0.1", "platform.jupico.com")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.TLS = jupicotest.ServerTLS(certificate)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	for _, adapt := range adapt {
		adapt(server)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return &site{url: server.URL, host: strings.TrimPrefix(server.URL, "https://"), ca: ca, server: server}
}

// emulate starts a server with the emulated API, which also knows goodToken.
func emulate(t *testing.T, adapt ...func(*httptest.Server)) (*jupicotest.Emulator, *site) {
	t.Helper()
	emulator := jupicotest.New()
	emulator.AddKey(goodToken)
	s := serve(t, emulator, adapt...)
	t.Cleanup(emulator.Close) // before the server, which waits for its requests
	return emulator, s
}

// trusting returns the authorities of these sites.
func trusting(sites ...*site) *x509.CertPool {
	roots := x509.NewCertPool()
	for _, s := range sites {
		roots.AppendCertsFromPEM(s.ca.PEM())
	}
	return roots
}

// clientOf returns a client of a base URL that trusts these sites.
func clientOf(t *testing.T, baseURL string, trusted ...*site) *Client {
	t.Helper()
	return clientWith(t, baseURL, trusting(trusted...), patience)
}

func clientWith(t *testing.T, baseURL string, roots *x509.CertPool, timeout time.Duration) *Client {
	t.Helper()
	config := Config{Timeout: timeout, UserAgent: "jupico-operator/test", Proxy: throughProxy}
	client := NewClient(baseURL, roots, config)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// clientThrough returns a client that HTTPS_PROXY gives another proxy than theProxy.
func clientThrough(t *testing.T, proxy, baseURL string, roots *x509.CertPool, timeout time.Duration) *Client {
	t.Helper()
	setProxy(t, map[string]string{"HTTPS_PROXY": proxy})
	chosen, err := ProxyFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	client := NewClient(baseURL, roots, Config{Timeout: timeout, UserAgent: "jupico-operator/test", Proxy: chosen})
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// goodToken looks like nothing else, so that a test can find it wherever it should not be.
const goodToken = "a2V5.1111-2222_3333~4444+5555/6666=="

func parse(t *testing.T, encoded string) credential.Token {
	t.Helper()
	token, ok := credential.ParseToken([]byte(encoded))
	if !ok {
		t.Fatalf("%q is no token", encoded)
	}
	return token
}

// mustAccept ends the test unless the check came through.
func mustAccept(t *testing.T, got outcome.Result) {
	t.Helper()
	if wantResult(t, got, outcome.Accepted, "HTTP 200"); t.Failed() {
		t.FailNow()
	}
}

// wantResult compares what a user gets to see.
func wantResult(t *testing.T, got outcome.Result, want outcome.Outcome, detail string) {
	t.Helper()
	if got.Outcome != want || got.Detail != detail {
		t.Errorf("got %s (%s), want %s (%s)", got.Outcome, got.Detail, want, detail)
	}
}
