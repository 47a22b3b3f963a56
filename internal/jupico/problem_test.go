// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const broken = "the connection broke before an answer came"

func TestAServerThatHangsIsUnreachable(t *testing.T) {
	const timeout = 50 * time.Millisecond
	_, silent := emulate(t)
	for sentence, fault := range map[string]jupicotest.Fault{
		"before its answer":        {Hang: true},
		"in the body":              {Hang: true, Body: `{"success":`},
		"after the whole body":     {Hang: true, Status: 200},
		"in the body of a refusal": {Hang: true, Status: 401},
		"slowly":                   {Latency: time.Hour},
	} {
		t.Run(sentence, func(t *testing.T) {
			emulator, s := emulate(t)
			emulator.Inject(fault)
			got := clientWith(t, s.url, trusting(s), timeout).Check(t.Context(), parse(t, goodToken))
			wantResult(t, got, outcome.Unreachable, "no answer within 50ms")
			if got.Duration < timeout {
				t.Errorf("it gave up after %s", got.Duration)
			}
		})
	}
	t.Run("before the handshake", func(t *testing.T) {
		baseURL := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		got := clientWith(t, baseURL, trusting(silent), timeout).Check(t.Context(), parse(t, goodToken))
		wantResult(t, got, outcome.Unreachable, "no answer within 50ms")
	})
}

// TestAHandshakeThatHangsIsNotLeftBehind: net/http goes on connecting for the next request when this one has given up.
func TestAHandshakeThatHangsIsNotLeftBehind(t *testing.T) {
	hungUp := make(chan struct{}, 1)
	baseURL := listen(t, func(conn net.Conn) {
		_, _ = io.Copy(io.Discard, conn)
		hungUp <- struct{}{}
	})
	client := clientWith(t, baseURL, nil, 50*time.Millisecond)
	wantResult(t, client.Check(t.Context(), parse(t, goodToken)), outcome.Unreachable, "no answer within 50ms")
	select {
	case <-hungUp:
	case <-time.After(patience): // only when it fails
		t.Error("the connection is still open")
	}
}

// TestAConnectionThatWentDeadIsReplaced: a firewall or a NAT in between forgets a connection without telling anybody.
func TestAConnectionThatWentDeadIsReplaced(t *testing.T) {
	const attempts = 50 // at most; fewer than a connection may carry at once
	_, s := emulate(t)
	var opened, dead atomic.Int64
	baseURL := listen(t, func(conn net.Conn) {
		number := opened.Add(1)
		relay(t, conn, s.host, func() bool { return number <= dead.Load() })
	})
	client := clientWith(t, baseURL, trusting(s), 200*time.Millisecond)
	wantAccepted := func(sentence string) {
		t.Helper()
		var got outcome.Result
		for range attempts {
			if got = client.Check(t.Context(), parse(t, goodToken)); got.Outcome == outcome.Accepted {
				return
			}
		}
		t.Fatalf("%s %d checks in a row failed, the last as %s (%s)", sentence, attempts, got.Outcome, got.Detail)
	}
	wantAccepted("at first")
	dead.Store(opened.Load())
	wantAccepted("when the connection was dead")
}

// relay carries bytes between a connection and a server until one of them hangs up, but drops them while it is dead.
func relay(t *testing.T, client net.Conn, hostPort string, isDead func() bool) {
	server, err := net.Dial("tcp", hostPort)
	if err != nil {
		t.Error(err)
		return
	}
	carry := func(to, from net.Conn) {
		defer func() { _, _ = client.Close(), server.Close() }()
		for buffer := make([]byte, 4096); ; {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			if isDead() {
				continue
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	var directions sync.WaitGroup
	directions.Go(func() { carry(server, client) })
	directions.Go(func() { carry(client, server) })
	directions.Wait()
}

func TestAConnectionThatBreaksIsUnreachable(t *testing.T) {
	for sentence, fault := range map[string]jupicotest.Fault{
		"before the answer": {ResetConnection: true},
		"in the answer":     {ResetConnection: true, Status: 200},
	} {
		t.Run(sentence, func(t *testing.T) {
			emulator, s := emulate(t)
			emulator.Inject(fault)
			got := clientOf(t, s.url, s).Check(t.Context(), parse(t, goodToken))
			wantResult(t, got, outcome.Unreachable, broken)
		})
	}
	for sentence, end := range map[string]func(*net.TCPConn) error{
		"by a reset in the handshake":   func(conn *net.TCPConn) error { return conn.SetLinger(0) },
		"by a hang-up in the handshake": (*net.TCPConn).CloseWrite,
	} {
		t.Run(sentence, func(t *testing.T) {
			baseURL := listen(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				if err := end(conn.(*net.TCPConn)); err != nil {
					t.Error(err)
				}
			})
			got := clientWith(t, baseURL, nil, patience).Check(t.Context(), parse(t, goodToken))
			wantResult(t, got, outcome.Unreachable, broken)
		})
	}
}

func TestAClosedPortIsUnreachable(t *testing.T) {
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	// Nobody listens at the near end of a connection, and nobody else can either.
	taken, err := net.Dial("tcp", open.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	client := clientWith(t, "https://"+taken.LocalAddr().String(), nil, patience)
	got := client.Check(t.Context(), parse(t, goodToken))
	wantResult(t, got, outcome.Unreachable, "the connection was refused")
}

func TestAHostThatDoesNotExistIsUnreachable(t *testing.T) {
	asked := make(chan struct{}, 1)
	theProxy.on(t, "gateway.invalid:443", answering(asked, 502))
	got := clientWith(t, "https://gateway.invalid", nil, patience).Check(t.Context(), parse(t, goodToken))
	wantResult(t, got, outcome.Unreachable, "the host name could not be resolved")
	if len(asked) != 0 {
		t.Error("the proxy was asked, in spite of NO_PROXY")
	}
}

func TestErrorsThatNoTestCanProvokeAreUnderstood(t *testing.T) {
	dial := func(number syscall.Errno) error {
		return &url.Error{Op: "Get", URL: "https://host/status", Err: &net.OpError{
			Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", number),
		}}
	}
	for _, tc := range []struct {
		sentence string
		err      error
		detail   string
	}{
		{"no route to the host", dial(syscall.EHOSTUNREACH), "there is no route to the host"},
		{"no route to the network", dial(syscall.ENETUNREACH), "there is no route to the host"},
		{"the system's own timeout", dial(syscall.ETIMEDOUT), "no answer within 10s"},
		{"a deadline", fmt.Errorf("wrapped: %w", context.DeadlineExceeded), "no answer within 10s"},
		{"a name server that does not answer", &net.DNSError{Err: "i/o timeout", IsTimeout: true}, "the host name could not be resolved"},
		{"anything else", errors.New("something"), broken},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			client := NewClient(productionURL, nil, Config{Timeout: 10 * time.Second})
			wantResult(t, client.explain(tc.err), outcome.Unreachable, tc.detail)
		})
	}
}

func TestABadCertificateIsATLSFailure(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		sentence string
		change   func(*x509.Certificate)
		detail   string
	}{
		{"that has expired", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) },
			"the certificate has expired or is not valid yet"},
		{"that is not valid yet", func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) },
			"the certificate has expired or is not valid yet"},
		{"of another host name", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"gateway.example"}, nil },
			"the certificate is for another host name"},
		{"of no host name", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil },
			"the certificate is for another host name"},
		{"that is not a server's", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
			"the certificate could not be verified"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			certificate, roots := selfSigned(t, tc.change)
			emulator, s := emulate(t, func(server *httptest.Server) { server.TLS = jupicotest.ServerTLS(certificate) })
			got := clientWith(t, s.url, roots, patience).Check(t.Context(), parse(t, goodToken))
			wantResult(t, got, outcome.TLSFailure, tc.detail)
			if n := emulator.Requests(); n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestACertificateOfAnUnknownAuthorityIsATLSFailure(t *testing.T) {
	emulator, s := emulate(t)
	_, other := emulate(t)
	for sentence, roots := range map[string]*x509.CertPool{
		"because another is trusted":     trusting(other),
		"because none is trusted":        x509.NewCertPool(),
		"because the system's are meant": nil,
	} {
		t.Run(sentence, func(t *testing.T) {
			got := clientWith(t, s.url, roots, patience).Check(t.Context(), parse(t, goodToken))
			wantResult(t, got, outcome.TLSFailure, "the certificate is signed by an authority that is not trusted here")
			if n := emulator.Requests(); n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

// selfSigned returns a certificate for 127.0.0.1 that is good but for a change, and the authorities that vouch for it.
func selfSigned(t *testing.T, change func(*x509.Certificate)) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestTLSOlderThan12IsATLSFailure(t *testing.T) {
	t.Run("as a server that says so", func(t *testing.T) {
		emulator, s := emulate(t, func(server *httptest.Server) {
			server.TLS.MinVersion, server.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		})
		got := clientOf(t, s.url, s).Check(t.Context(), parse(t, goodToken))
		wantResult(t, got, outcome.TLSFailure, "the TLS handshake failed")
		if n := emulator.Requests(); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
	t.Run("as a server that goes ahead with it", func(t *testing.T) {
		hello := slices.Concat(
			[]byte{22, 3, 2, 0, 42},     // a handshake record of TLS 1.1
			[]byte{2, 0, 0, 38, 3, 2},   // ServerHello, TLS 1.1
			make([]byte, 32), []byte{0}, // random, and no session
			[]byte{0xc0, 0x13, 0}, // a cipher suite, and no compression
		)
		got := clientWith(t, speak(t, hello), nil, patience).Check(t.Context(), parse(t, goodToken))
		wantResult(t, got, outcome.TLSFailure, "the TLS handshake failed")
	})
}

func TestAPortWithoutTLSIsATLSFailure(t *testing.T) {
	for sentence, reply := range map[string]string{
		"but HTTP":           "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" + jupicotest.SensitiveMessage,
		"but something else": "SSH-2.0-" + jupicotest.SensitiveMessage + "\r\n",
	} {
		t.Run(sentence, func(t *testing.T) {
			got := clientWith(t, speak(t, []byte(reply)), nil, patience).Check(t.Context(), parse(t, goodToken))
			wantResult(t, got, outcome.TLSFailure, "the server does not speak TLS")
		})
	}
}

// speak returns the base URL of a server that answers whatever it is sent first with reply, and listens on.
func speak(t *testing.T, reply []byte) string {
	return listen(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write(reply)
		_, _ = io.Copy(io.Discard, conn)
	})
}

// listen returns the base URL of a TCP server on loopback that handles each connection and closes it.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				handle(conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return "https://" + listener.Addr().String()
}
