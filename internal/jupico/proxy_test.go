// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// answering makes the proxy refuse with a status, and tells that it was asked.
func answering(asked chan<- struct{}, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.Header().Set("Proxy-Authenticate", `Basic realm="`+jupicotest.SensitiveMessage+`"`)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, jupicotest.SensitiveMessage)
	}
}

func TestAProxyThatRefusesIsToldFromTheEndpoint(t *testing.T) {
	for _, tc := range []struct {
		sentence string
		status   int
		want     outcome.Outcome
		detail   string
	}{
		{"because it wants credentials of its own", 407, outcome.ProxyRefused, "answered HTTP 407"},
		{"because it may not connect there", 403, outcome.Unreachable, "answered HTTP 403"},
		{"because it cannot connect there", 502, outcome.Unreachable, "answered HTTP 502"},
		{"with the status of a rejection", 401, outcome.Unreachable, "answered HTTP 401"},
		{"with a status of success that is no tunnel", 204, outcome.Unreachable, "answered HTTP 204"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			asked := make(chan struct{}, 1)
			theProxy.on(t, "platform.jupico.com:443", answering(asked, tc.status))
			got := clientWith(t, productionURL, nil, patience).Check(t.Context(), parse(t, goodToken))
			wantResult(t, got, tc.want, "the proxy "+theProxyHost+" "+tc.detail)
			if isOther := tc.want == outcome.Unreachable; got.AtProxy != isOther {
				t.Errorf("it is the proxy that is out of reach: %t", got.AtProxy)
			}
			if len(asked) != 1 {
				t.Error("the proxy was not asked")
			}
		})
	}
}

func TestAProxyThatHangsUpIsUnreachable(t *testing.T) {
	theProxy.on(t, "platform.jupico.com:443", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	got := clientWith(t, productionURL, nil, patience).Check(t.Context(), parse(t, goodToken))
	wantResult(t, got, outcome.Unreachable, broken+", by way of the proxy "+theProxyHost)
}

func TestACheckGoesThroughAProxyThatSeesNothingOfIt(t *testing.T) {
	emulator, s := emulate(t)
	seen := make(chan http.Header, 1)
	theProxy.on(t, "platform.jupico.com:443", func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		tunnel(w, s.host)
	})
	mustAccept(t, clientOf(t, productionURL, s).Check(t.Context(), parse(t, goodToken)))
	if n := emulator.RequestsFor(goodToken); n != 1 {
		t.Errorf("the endpoint received %d requests, want 1", n)
	}
	for name, values := range <-seen {
		if value := strings.Join(values, ", "); name == "Authorization" || strings.Contains(value, goodToken) {
			t.Errorf("the proxy was sent %s: %s", name, value)
		}
	}
}

func TestACertificateIsVerifiedThroughAProxyToo(t *testing.T) {
	emulator, s := emulate(t)
	theProxy.on(t, "sandbox-platform.jupico.com:443", func(w http.ResponseWriter, _ *http.Request) { tunnel(w, s.host) })
	got := clientOf(t, sandboxURL, s).Check(t.Context(), parse(t, goodToken))
	wantResult(t, got, outcome.TLSFailure, "the certificate is for another host name")
	if n := emulator.Requests(); n != 0 {
		t.Errorf("the endpoint received %d requests", n)
	}
}

func TestAProxyThatCannotBeReachedIsNamedWithoutItsUser(t *testing.T) {
	refusing := listen(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 512))
		_, _ = conn.Write([]byte{5, 0}) // SOCKS 5, no authentication
		_, _ = conn.Read(make([]byte, 512))
		_, _ = conn.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0}) // not allowed
	})
	silent := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	const short = 300 * time.Millisecond // in which a port on loopback is connected to
	for _, tc := range []struct {
		sentence, scheme, host string
		timeout                time.Duration
		detail                 string // with %s for the host
		isReached              bool
	}{
		{"because it is down", "http", closedHost(t), patience, "the proxy %s: the connection was refused", false},
		{"because its name is unknown", "http", "proxy.invalid:3128", patience, "the proxy %s: the host name could not be resolved", false},
		{"because its name servers are silent", "http", "silent.invalid:3128", short, "the proxy %s: no answer within 300ms", false},
		{"over TLS, because it is down", "https", closedHost(t), patience, "the proxy %s: the connection was refused", false},
		{"over TLS, because its name is unknown", "https", "proxy.invalid:3128", patience, "the proxy %s: the host name could not be resolved", false},
		{"over SOCKS, because it is down", "socks5", closedHost(t), patience, "the proxy %s: the connection was refused", false},
		{"over SOCKS, because it refuses", "socks5", strings.TrimPrefix(refusing, "https://"), patience, "the proxy %s: " + broken, false},
		{"though its port is open", "http", strings.TrimPrefix(silent, "https://"), short, "no answer within 300ms, by way of the proxy %s", true},
		{"over TLS, though its port is open", "https", strings.TrimPrefix(silent, "https://"), short, "no answer within 300ms, by way of the proxy %s", true},
		{"over SOCKS, though its port is open", "socks5", strings.TrimPrefix(silent, "https://"), short, "no answer within 300ms, by way of the proxy %s", true},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			proxy := tc.scheme + "://svc:hunter2@" + tc.host
			got := clientThrough(t, proxy, productionURL, nil, tc.timeout).Check(t.Context(), parse(t, goodToken))
			wantResult(t, got, outcome.Unreachable, fmt.Sprintf(tc.detail, tc.host))
			if got.AtProxy == tc.isReached {
				t.Errorf("it is the proxy that is out of reach: %t", got.AtProxy)
			}
		})
	}
}

// closedHost returns a host and port where nobody listens: the near end of a connection, so that nobody else can either.
func closedHost(t *testing.T) string {
	t.Helper()
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Dial("tcp", open.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = open.Close(), taken.Close() })
	return taken.LocalAddr().String()
}

func TestAProxyIsVerifiedByTheSystemAndTheEndpointByItsBundle(t *testing.T) {
	const untrusted = "the certificate is signed by an authority that is not trusted here"
	emulator, s := emulate(t)
	theProxy.on(t, "platform.jupico.com:443", func(w http.ResponseWriter, _ *http.Request) { tunnel(w, s.host) })
	issue := func(ca *jupicotest.CA, host string) *tls.Config {
		certificate, err := ca.Issue(host)
		if err != nil {
			t.Fatal(err)
		}
		return jupicotest.ServerTLS(certificate)
	}
	outdated := issue(systemCA, "127.0.0.1")
	outdated.MinVersion, outdated.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	demanding := issue(systemCA, "127.0.0.1")
	demanding.ClientAuth, demanding.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
	for _, tc := range []struct {
		sentence string
		proxy    *tls.Config // nil: it does not speak TLS
		roots    *x509.CertPool
		want     outcome.Outcome
		detail   string // with %s for the proxy
	}{
		{"when both are good", issue(systemCA, "127.0.0.1"), trusting(s), outcome.Accepted, "HTTP 200"},
		{"when the bundle vouches for the proxy too", issue(s.ca, "127.0.0.1"), trusting(s), outcome.TLSFailure, "the proxy %s: " + untrusted},
		{"when the proxy's is for another name", issue(systemCA, "proxy.example"), trusting(s), outcome.TLSFailure,
			"the proxy %s: the certificate is for another host name"},
		{"when the proxy does not speak TLS", nil, trusting(s), outcome.TLSFailure, "the proxy %s: the server does not speak TLS"},
		{"when the proxy speaks an old TLS", outdated, trusting(s), outcome.TLSFailure, "the proxy %s: the TLS handshake failed"},
		{"when the proxy asks for a certificate", demanding, trusting(s), outcome.TLSFailure, "the proxy %s: the TLS handshake failed"},
		{"when the system does not vouch for the endpoint", issue(systemCA, "127.0.0.1"), nil, outcome.TLSFailure, untrusted},
		{"when the bundle does not vouch for the endpoint", issue(systemCA, "127.0.0.1"), x509.NewCertPool(), outcome.TLSFailure, untrusted},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			server := httptest.NewUnstartedServer(theProxy)
			server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
			if server.TLS = tc.proxy; tc.proxy == nil {
				server.Start()
			} else {
				server.StartTLS()
			}
			t.Cleanup(server.Close)
			host := server.Listener.Addr().String()
			client := clientThrough(t, "https://svc:hunter2@"+host, productionURL, tc.roots, patience)
			got := client.Check(t.Context(), parse(t, goodToken))
			isProxys := strings.Contains(tc.detail, "%s")
			wantResult(t, got, tc.want, strings.ReplaceAll(tc.detail, "%s", host))
			if got.AtProxy != isProxys {
				t.Errorf("it is the proxy's fault: %t", got.AtProxy)
			}
		})
	}
	if n := emulator.Requests(); n != 1 {
		t.Errorf("the endpoint received %d requests, want that of the good one", n)
	}
}

func TestTheRootsOfTheConfigCountAsTheSystemsForProxyAndEndpoint(t *testing.T) {
	_, s := emulate(t)
	theProxy.on(t, "platform.jupico.com:443", func(w http.ResponseWriter, _ *http.Request) { tunnel(w, s.host) })
	certificate, err := s.ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(theProxy)
	server.TLS = jupicotest.ServerTLS(certificate)
	server.StartTLS()
	t.Cleanup(server.Close)
	setProxy(t, map[string]string{"HTTPS_PROXY": server.URL})
	chosen, err := ProxyFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		sentence   string
		roots, own *x509.CertPool
		want       outcome.Outcome
		detail     string
	}{
		{"both", trusting(s), nil, outcome.Accepted, "HTTP 200"},
		{"an endpoint with a bundle, which counts instead", trusting(s), x509.NewCertPool(), outcome.TLSFailure,
			"the certificate is signed by an authority that is not trusted here"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			client := NewClient(productionURL, tc.own, Config{Timeout: patience, Proxy: chosen, Roots: tc.roots})
			t.Cleanup(client.CloseIdleConnections)
			wantResult(t, client.Check(t.Context(), parse(t, goodToken)), tc.want, tc.detail)
		})
	}
}

// tunnel connects a proxy's client with a server, until one of them hangs up.
func tunnel(w http.ResponseWriter, hostPort string) {
	server, err := net.Dial("tcp", hostPort)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = server.Close() }()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = client.Close() }()
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	var directions sync.WaitGroup
	copyAll := func(to net.Conn, from io.Reader) {
		_, _ = io.Copy(to, from)
		_, _ = client.Close(), server.Close()
	}
	directions.Go(func() { copyAll(server, buffered) })
	directions.Go(func() { copyAll(client, server) })
	directions.Wait()
}
