// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// dice are rolled by many goroutines. The seed fixes the mix of faults, and not which check meets which.
type dice struct {
	mu   sync.Mutex
	rand *rand.Rand
}

func (d *dice) roll(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.IntN(n)
}

// faultyNetwork is a TCP proxy between the operator and the API.
type faultyNetwork struct {
	*dice
	listener      net.Listener
	api, impostor string // their hosts and ports
	isHealthy     atomic.Bool
	accepted      atomic.Int64 // connections so far
	open          atomic.Int64 // connections now
}

// The ways in which a connection ends once it has carried its bytes.
type ending int

const (
	closes ending = iota
	resets
	hangs // and is never closed by this side
)

// passage is what happens to one connection.
type passage struct {
	to      string        // nowhere when it is empty: the connection was accepted, and that is all
	latency time.Duration // of each piece of the answer
	limit   int64         // how many bytes come back
	ending  ending
}

// draw lets most of the connections through. What comes back is about a thousand bytes of a handshake, and then an
// answer, so that the limits fall into both.
func (n *faultyNetwork) draw() passage {
	through := passage{to: n.api, limit: math.MaxInt64}
	if n.isHealthy.Load() {
		return through
	}
	switch lot := n.roll(100); {
	case lot < 70:
	case lot < 78: // slow
		through.latency = time.Duration(1+n.roll(20)) * time.Millisecond
	case lot < 81: // half-open
		return passage{ending: hangs}
	case lot < 84: // a handshake that stalls, mostly
		through.limit, through.ending = int64(n.roll(1200)), hangs
	case lot < 89: // another certificate
		through.to = n.impostor
	case lot < 95: // closed after some bytes
		through.limit = int64(n.roll(1500))
	default: // reset after some bytes
		through.limit, through.ending = int64(n.roll(1500)), resets
	}
	return through
}

func (n *faultyNetwork) serve() {
	for {
		conn, err := n.listener.Accept()
		if err != nil {
			return
		}
		n.accepted.Add(1)
		n.open.Add(1)
		go func() {
			defer n.open.Add(-1)
			client := conn.(*net.TCPConn)
			defer client.Close()
			n.carry(client, n.draw())
		}()
	}
}

func (n *faultyNetwork) carry(client *net.TCPConn, p passage) {
	if p.to == "" {
		_, _ = io.Copy(io.Discard, client)
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	var upstream sync.WaitGroup
	upstream.Go(func() {
		defer server.Close()
		_, _ = io.Copy(server, client)
	})
	_, err = io.CopyN(client, delayed{server, p.latency}, p.limit)
	switch {
	case p.ending == hangs:
		upstream.Wait() // until the client leaves
	case p.ending == resets, err != nil && !errors.Is(err, io.EOF):
		_ = client.SetLinger(0)
	}
	_ = client.Close()
	_ = server.Close()
	upstream.Wait()
}

type delayed struct {
	io.Reader
	by time.Duration
}

func (d delayed) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if d.by > 0 {
		<-time.After(d.by)
	}
	return n, err
}

// faultyAPI is the emulator, in whose place something else answers now and then.
type faultyAPI struct {
	*dice
	emulator  atomic.Pointer[jupicotest.Emulator]
	isHealthy atomic.Bool
}

// renew forgets what the emulator counted, which would look like growth.
func (a *faultyAPI) renew() {
	emulator := jupicotest.New()
	emulator.AddKey(goodToken)
	if old := a.emulator.Swap(emulator); old != nil {
		old.Close()
	}
}

func (a *faultyAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.URL.Path = r.URL.Path[strings.LastIndex(r.URL.Path, "/"):]
	isGood := r.Header.Get("Authorization") == "Basic "+goodToken
	if !a.isHealthy.Load() && a.roll(4) == 0 {
		if answer := oddAnswers[a.roll(len(oddAnswers))]; isGood || answer.toEverybody {
			answer.write(w)
			return
		}
	}
	a.emulator.Load().ServeHTTP(w, r)
}

// oddAnswer is written instead of the API's: a head, and then more for as long as the connection lasts.
type oddAnswer struct {
	head, more  string
	ending      ending
	toEverybody bool // also to tokens that the API refuses
}

func (o *oddAnswer) write(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, err = io.WriteString(conn, o.head)
	for o.more != "" && err == nil {
		<-time.After(time.Millisecond)
		_, err = io.WriteString(conn, o.more)
	}
	switch o.ending {
	case hangs:
		_, _ = io.Copy(io.Discard, conn)
	case resets:
		_ = conn.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
		_ = conn.(*tls.Conn).NetConn().Close()
	case closes:
	}
}

const (
	goodBody = `{"success":true}`
	page     = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in</body></html>"
	mark     = "\uFEFF"
)

// framed is an answer that says how long it is. Some say more than is true.
func framed(status, contentType, body string, headers ...string) string {
	all := append([]string{
		"HTTP/1.1 " + status, "Content-Type: " + contentType, fmt.Sprintf("Content-Length: %d", len(body)),
	}, headers...)
	return strings.Join(all, "\r\n") + "\r\n\r\n" + body
}

func compressed(text string) string {
	var b bytes.Buffer
	writer := gzip.NewWriter(&b)
	_, _ = io.WriteString(writer, text)
	_ = writer.Close()
	return b.String()
}

// oddAnswers are those that servers, gateways and sign-in pages were seen to give. None refuses a good token in the
// API's name, and none accepts a bad one.
var oddAnswers = []oddAnswer{
	{head: framed("200 OK", "application/json; charset=utf-8", mark+goodBody)},
	{head: framed("200 OK", "application/json", compressed(goodBody), "Content-Encoding: gzip")},
	{head: framed("200 OK", "application/json; charset=utf-8; charset=iso-8859-1", goodBody)},
	{head: framed("200 OK", "application/json; charset=bogus-8", goodBody)},
	{head: framed("200 OK", "text/html; charset=utf-8; charset=iso-8859-1", page), toEverybody: true},
	{head: framed("200 OK", "text/html, charset=utf-8", page), toEverybody: true},
	{head: framed("200 OK", "text/html charset=utf-8", page), toEverybody: true},
	{head: framed("200 OK", "text/plain", page), toEverybody: true},
	{head: framed("200 OK", "application/octet-stream", mark+page), toEverybody: true},
	{head: framed("200 OK", "text/xml", "<?xml version='1.0'?><AuthRequired/>"), toEverybody: true},
	{head: framed("200 OK", "application/octet-stream", compressed(page), "Content-Encoding: gzip"), toEverybody: true},
	{head: framed("200 OK", "application/javascript", "location='/login'")},
	{head: "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ending: hangs, toEverybody: true},
	{head: "HTTP/1.1 101 Switching\r\n\r\n", ending: hangs, toEverybody: true},
	{head: strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", 20) + framed("200 OK", "application/json", goodBody)},
	{more: "HTTP/1.1 102 Processing\r\n\r\n", toEverybody: true},
	{head: "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + goodBody},
	{head: goodBody, toEverybody: true},
	{head: "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + goodBody, toEverybody: true},
	{head: "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + goodBody, ending: resets, toEverybody: true},
	{head: "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n", more: " ", toEverybody: true},
	{head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" + goodBody + "\r\n", ending: hangs, toEverybody: true},
	{head: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("y", 1000)+"\r\n", 100) + "\r\n", toEverybody: true},
	{head: framed("200 OK", "application/json", goodBody)},
	{head: framed("429 Slow down", "application/json", "{}", "Retry-After: 4294967295"), toEverybody: true},
	{head: framed("503 Away", "application/json", "{}", "Retry-After: soon"), toEverybody: true},
	{head: framed("401 No", "text/plain", "", "WWW-Authenticate: Negotiate"), toEverybody: true},
	{head: framed("302 Found", "text/plain", "", "Location: https://127.0.0.1:1/login"), toEverybody: true},
	{head: framed("407 Proxy", "application/json", "{}"), toEverybody: true},
	{head: framed("408 Late", "application/json", "{}"), toEverybody: true},
	{head: framed("404 Lost", "application/json", "{}"), toEverybody: true},
	{ending: resets, toEverybody: true},
	{ending: hangs, toEverybody: true},
}

// askers is a Checker, its clock, and who asks it: somebody with a good token and two with bad ones.
type askers struct {
	*fixture
	bad   []check.Request
	round int
}

// askAll lets all three ask at the same time, when no pause is left from before. Every other time they trust the
// authorities in another spelling, of which there are more than a Checker remembers.
func (a *askers) askAll() []check.Answer {
	a.advance(longestPause + time.Second)
	now, at := a.clock.Now(), a.at
	if a.round++; a.round%2 == 0 {
		at.CA += strings.Repeat("\n", a.round/2%(maxEndpoints+4))
	}
	requests := []check.Request{{}, a.bad[0], a.bad[1]}
	for i := range requests {
		requests[i].Endpoint, requests[i].NotBefore = at, now
	}
	return a.together(requests)
}

// rig is a faulty network with a faulty API behind it, and many askers before it.
type rig struct {
	t       *testing.T
	network *faultyNetwork
	api     *faultyAPI
	askers  []*askers
	idle    int // goroutines before the first check

	mu       sync.Mutex
	checks   int // that were sent
	outcomes map[outcome.Outcome]int
}

const (
	rigSize    = 12
	rigTimeout = 50 * time.Millisecond
	// patientTimeout is that of one asker, who meets every kind of answer on a slow machine too.
	patientTimeout = 2 * time.Second
)

func newRig(t *testing.T) *rig {
	t.Helper()
	lots := &dice{rand: rand.New(rand.NewPCG(1, 13))}
	r := &rig{t: t, api: &faultyAPI{dice: lots}, network: &faultyNetwork{dice: lots}, outcomes: map[outcome.Outcome]int{}}
	r.api.renew()
	t.Cleanup(func() { r.api.emulator.Load().Close() })
	f := start(t, func(http.Handler) http.Handler { return r.api })
	host := func(at endpoint.Endpoint) string { return strings.TrimPrefix(at.URL, "https://") }
	r.network.api, r.network.impostor = host(f.at), host(f.serve(r.api))
	var err error
	if r.network.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.network.listener.Close() })
	go r.network.serve()

	for i := range rigSize {
		own := *f
		own.at.URL = fmt.Sprintf("https://%s/e%d", r.network.listener.Addr(), i)
		if own.allowed, err = endpoint.NewAllowList(own.at.URL); err != nil {
			t.Fatal(err)
		}
		own.config = jupico.Config{Timeout: rigTimeout, UserAgent: "jupico-operator/test"}
		if i == 0 {
			own.config.Timeout = patientTimeout
		}
		own.clock = clocktesting.NewFakePassiveClock(f.clock.Now())
		own.use(Options{QPS: 1000, Burst: 1000, Workers: 4 * atATime})
		bad := someTokens(t, 2)
		r.askers = append(r.askers, &askers{fixture: &own, bad: []check.Request{{Token: bad[0]}, {Token: bad[1]}}})
	}
	r.idle = runtime.NumGoroutine()
	return r
}

// run makes checks until there are n in all.
func (r *rig) run(n int) {
	r.t.Helper()
	var all sync.WaitGroup
	for _, a := range r.askers {
		all.Go(func() {
			for made := 0; made < n; {
				made = r.record(a.askAll())
			}
		})
	}
	all.Wait()
}

// record counts answers, and returns how many checks were sent so far. A network can make an endpoint look away, and
// never make a token look other than it is.
func (r *rig) record(answers []check.Answer) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, answer := range answers {
		class := answer.Outcome.Class()
		if !answer.RetryAt.IsZero() || answer.Outcome == "" {
			r.t.Errorf("a check was put off: %+v", answer)
		}
		if isGood := i == 0; isGood && class == outcome.Rejection || !isGood && class == outcome.Acceptance {
			r.t.Errorf("asker %d got %s (%s)", i, answer.Outcome, answer.Detail)
		}
		r.outcomes[answer.Outcome]++
		if !answer.Shared {
			r.checks++
		}
	}
	return r.checks
}

// settle waits until nothing is left of the checks so far, and returns how much of the heap is in use.
func (r *rig) settle() uint64 {
	r.t.Helper()
	kept := r.network.open.Load()
	for _, a := range r.askers {
		for _, site := range a.checker.sites {
			for _, e := range site.endpoints {
				e.client.CloseIdleConnections()
			}
		}
	}
	g := gomega.NewWithT(r.t)
	g.Eventually(r.network.open.Load, 10*time.Second, time.Millisecond).Should(gomega.BeZero(), "open connections")
	g.Eventually(runtime.NumGoroutine, 10*time.Second, time.Millisecond).
		Should(gomega.BeNumerically("<=", r.idle), "goroutines")
	r.api.renew()
	var memory runtime.MemStats
	for range 3 { // pools lose what is in them with the second
		runtime.GC()
	}
	runtime.ReadMemStats(&memory)
	r.t.Logf("after %d checks and %d connections: %d connections were kept for later; without those there are %d, "+
		"%d goroutines (%d before), and %d KiB of heap", r.checks, r.network.accepted.Load(), kept,
		r.network.open.Load(), runtime.NumGoroutine(), r.idle, memory.HeapAlloc>>10)
	return memory.HeapAlloc
}

func TestAFaultyNetworkLeavesNothingBehindAndTurnsNoVerdict(t *testing.T) {
	const few, many, growth = 1_000, 10_000, 512 << 10
	r := newRig(t)
	r.run(few)
	before := r.settle()
	r.run(many)
	if after := r.settle(); after > before+growth {
		t.Errorf("the heap grew from %d to %d KiB", before>>10, after>>10)
	}
	for _, name := range slices.Sorted(maps.Keys(r.outcomes)) {
		t.Logf("%6d %s", r.outcomes[name], name)
	}
	for _, want := range []outcome.Outcome{
		outcome.Accepted, outcome.Rejected, outcome.UnexpectedResponse, outcome.TLSFailure, outcome.Unreachable,
		outcome.Unavailable, outcome.RateLimited,
	} {
		if r.outcomes[want] == 0 {
			t.Errorf("no check ended in %s", want)
		}
	}

	r.network.isHealthy.Store(true)
	r.api.isHealthy.Store(true)
	for _, a := range r.askers { // not always at once: on a slow machine, a check may take longer than the timeout
		eventually(t, "an acceptance", func() bool { return a.askAll()[0].Outcome == outcome.Accepted })
	}
}
