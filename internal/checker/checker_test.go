// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	goodToken = "a2V5LW9mLXRoZS1zaG9w"
	day       = 24 * time.Hour
)

// fixture is a Checker, and the emulated API at the only endpoint that it may ask.
type fixture struct {
	*jupicotest.Emulator
	t       *testing.T
	checker *Checker
	clock   *clocktesting.FakePassiveClock
	allowed endpoint.AllowList
	config  jupico.Config
	at      endpoint.Endpoint
	server  *httptest.Server // of the endpoint
	opened  *atomic.Int32    // connections
}

// start wraps the emulator in the given handlers, the outermost last.
func start(t *testing.T, wrap ...func(http.Handler) http.Handler) *fixture {
	t.Helper()
	f := &fixture{
		Emulator: jupicotest.New(), t: t, opened: &atomic.Int32{},
		clock: clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
	f.AddKey(goodToken)
	var handler http.Handler = f.Emulator
	for _, wrap := range wrap {
		handler = wrap(handler)
	}
	f.at = f.serve(handler)
	allowed, err := endpoint.NewAllowList(f.at.URL)
	if err != nil {
		t.Fatal(err)
	}
	f.config = jupico.Config{Timeout: time.Minute, UserAgent: "jupico-operator/test"}
	f.allowed = allowed
	f.use(Options{QPS: 1000, Burst: 1000, Workers: 4 * atATime})
	t.Cleanup(func() {
		for _, site := range f.checker.sites {
			for _, e := range site.endpoints {
				e.client.CloseIdleConnections()
			}
		}
	})
	return f
}

// use replaces the Checker by one with these options, which knows nothing yet.
func (f *fixture) use(options Options) {
	options.Clock = f.clock
	f.checker = New(f.allowed, f.config, options)
}

// serve starts an HTTPS server that counts its connections.
func (f *fixture) serve(handler http.Handler) endpoint.Endpoint {
	f.t.Helper()
	ca, err := jupicotest.NewCA()
	if err != nil {
		f.t.Fatal(err)
	}
	certificate, err := ca.Issue("127.0.0.1")
	if err != nil {
		f.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.TLS = jupicotest.ServerTLS(certificate)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			f.opened.Add(1)
		}
	}
	server.StartTLS()
	if f.server == nil {
		f.server = server
	}
	f.t.Cleanup(server.Close)
	f.t.Cleanup(f.Close) // before the server, which waits for its requests
	return endpoint.Endpoint{URL: server.URL, CA: string(ca.PEM())}
}

// advance lets time pass.
func (f *fixture) advance(by time.Duration) { f.clock.SetTime(f.clock.Now().Add(by)) }

// check checks goodToken, and does not share an older answer.
func (f *fixture) check(where endpoint.Endpoint) outcome.Result {
	f.t.Helper()
	answer := f.ask(check.Request{Endpoint: where, NotBefore: f.clock.Now()})
	if !answer.RetryAt.IsZero() {
		f.t.Errorf("the check was put off by %s", answer.RetryAt.Sub(f.clock.Now()))
	}
	return answer.Result
}

// ask has goodToken checked for the namespace shop at the emulator, unless the request says otherwise.
func (f *fixture) ask(request check.Request) check.Answer {
	f.t.Helper()
	if request.Endpoint.URL == "" && request.Endpoint.CA == "" {
		request.Endpoint = f.at
	}
	if request.Token.IsZero() {
		request.Token = parse(f.t, goodToken)
	}
	if request.Namespace == "" {
		request.Namespace = "shop"
	}
	return f.checker.Check(f.t.Context(), request)
}

// someTokens makes tokens that the emulator does not know.
func someTokens(t *testing.T, n int) []credential.Token {
	t.Helper()
	made := make([]credential.Token, n)
	for i := range made {
		made[i] = parse(t, fmt.Sprintf("a2V5LW51bWJlci%07d", i))
	}
	return made
}

func parse(t *testing.T, encoded string) credential.Token {
	t.Helper()
	token, ok := credential.ParseToken([]byte(encoded))
	if !ok {
		t.Fatalf("%q is no token", encoded)
	}
	return token
}

func (f *fixture) wantCheck(want outcome.Outcome, detail string) {
	f.t.Helper()
	wantResult(f.t, f.check(f.at), want, detail)
}

func wantResult(t *testing.T, got outcome.Result, want outcome.Outcome, detail string) {
	t.Helper()
	if got.Outcome != want || got.Detail != detail {
		t.Errorf("got %s (%s), want %s (%s)", got.Outcome, got.Detail, want, detail)
	}
}

// wantRequests counts all requests so far, by their kind.
func (f *fixture) wantRequests(controls, checks int) {
	f.t.Helper()
	gotChecks := f.RequestsFor(goodToken)
	gotControls := f.Requests() - gotChecks
	if gotControls != controls || gotChecks != checks {
		f.t.Errorf("%d controls and %d checks were received, want %d and %d", gotControls, gotChecks, controls, checks)
	}
}

// wantNothingSent counts connections too.
func (f *fixture) wantNothingSent() {
	f.t.Helper()
	f.wantRequests(0, 0)
	if n := f.opened.Load(); n != 0 {
		f.t.Errorf("%d connections were opened", n)
	}
}

func TestARandomTokenIsSentBeforeTheFirstCheck(t *testing.T) {
	sent := make(chan bool, 2) // whether it was goodToken
	f := start(t, func(emulator http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent <- r.Header.Get("Authorization") == "Basic "+goodToken
			emulator.ServeHTTP(w, r)
		})
	})
	f.wantCheck(outcome.Accepted, "HTTP 200")
	f.wantRequests(1, 1)
	if first, second := <-sent, <-sent; first || !second {
		t.Error("the random token was not the first")
	}
}

func TestTheControlHoldsForAnHour(t *testing.T) {
	var sent sync.Map
	f := start(t, func(api http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			header := r.Header.Get("Authorization")
			if _, isRepeated := sent.Swap(header, true); isRepeated && header != "Basic "+goodToken {
				t.Error("a random token was used twice")
			}
			api.ServeHTTP(w, r)
		})
	})
	for _, step := range []struct {
		sentence         string
		passed           time.Duration
		controls, checks int
	}{
		{"at first", 0, 1, 1},
		{"at once again", 1, 1, 2},
		{"a moment before the hour is over", time.Hour - 2, 1, 3},
		{"after an hour", 1, 2, 4},
		{"in the second hour", time.Hour - 1, 2, 5},
		{"after an hour and more", time.Hour, 3, 6},
	} {
		f.advance(step.passed)
		t.Log(step.sentence)
		f.wantCheck(outcome.Accepted, "HTTP 200")
		f.wantRequests(step.controls, step.checks)
	}
}

func TestARejectionIsReportedAfterAControlToo(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	f.wantCheck(outcome.Rejected, "HTTP 401 auth_invalid_api_token")
	f.wantRequests(1, 1)
}

// atATime is how many callers check at the same time.
const atATime = 20

func TestThoseWhoNeedTheControlAtOnceShareItAndTheCheck(t *testing.T) {
	release := make(chan struct{})
	f := start(t, func(emulator http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Basic "+goodToken {
				<-release
			}
			emulator.ServeHTTP(w, r)
		})
	})
	var begun, ended sync.WaitGroup
	begun.Add(atATime)
	for range atATime {
		ended.Go(func() {
			begun.Done()
			f.wantCheck(outcome.Accepted, "HTTP 200")
		})
	}
	begun.Wait()
	close(release)
	ended.Wait()
	f.wantRequests(1, 1)
}

func TestAFailedControlIsSharedToo(t *testing.T) {
	release := make(chan struct{})
	f := start(t, func(emulator http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-release
			emulator.ServeHTTP(w, r)
		})
	})
	f.AuthenticateNobody(true)
	var begun, ended sync.WaitGroup
	begun.Add(atATime)
	for range atATime {
		ended.Go(func() {
			begun.Done()
			f.wantCheck(outcome.EndpointDoesNotAuthenticate, "HTTP 200")
		})
	}
	begun.Wait()
	close(release)
	ended.Wait()
	if n := f.RequestsFor(goodToken); n != 0 {
		t.Errorf("the token was sent %d times", n)
	}
}

func TestAnEndpointThatAcceptsARandomTokenIsNotSentTheRealOne(t *testing.T) {
	for sentence, tc := range map[string]struct {
		arrange func(*fixture)
		detail  string
	}{
		"as it is open to everybody": {func(f *fixture) { f.AuthenticateNobody(true) }, "HTTP 200"},
		"as it recognises everybody": {func(f *fixture) { f.Inject(jupicotest.Fault{Code: "auth_invalid_role"}) },
			"HTTP 401 auth_invalid_role"},
	} {
		t.Run(sentence, func(t *testing.T) {
			f := start(t)
			tc.arrange(f)
			got := f.check(f.at)
			wantResult(t, got, outcome.EndpointDoesNotAuthenticate, tc.detail)
			if got.Duration <= 0 {
				t.Errorf("it took %s", got.Duration)
			}
			f.wantCheck(outcome.EndpointDoesNotAuthenticate, tc.detail)
			f.wantRequests(2, 0)

			f.AuthenticateNobody(false)
			f.Clear()
			f.wantCheck(outcome.Accepted, "HTTP 200")
			f.wantRequests(3, 1)
		})
	}
}

func TestAnEndpointThatNoLongerAuthenticatesIsFoundOutWithinADay(t *testing.T) {
	f := start(t)
	f.wantCheck(outcome.Accepted, "HTTP 200")
	f.AuthenticateNobody(true)
	f.advance(day)
	f.wantCheck(outcome.EndpointDoesNotAuthenticate, "HTTP 200")
	f.wantRequests(2, 1)
}

func TestAControlWithoutEvidenceStandsForTheCheckAndIsRepeated(t *testing.T) {
	for _, tc := range []struct {
		sentence string
		fault    jupicotest.Fault
		want     outcome.Outcome
		detail   string
		wait     time.Duration
	}{
		{"an outage", jupicotest.Fault{Status: 503, RetryAfter: "120"}, outcome.Unavailable, "HTTP 503 service_unavailable", 2 * time.Minute},
		{"too many requests", jupicotest.Fault{Status: 429, RetryAfter: "7"}, outcome.RateLimited, "HTTP 429", 7 * time.Second},
		{"a firewall", jupicotest.Fault{Status: 403}, outcome.Forbidden, "HTTP 403 forbidden", 0},
		{"a login page", jupicotest.Fault{HTML: true}, outcome.UnexpectedResponse, "HTTP 200 with HTML or XML", 0},
		{"a login page with 401", jupicotest.Fault{HTML: true, Status: 401}, outcome.UnexpectedResponse, "HTTP 401 with HTML or XML", 0},
		{"a header that was lost", jupicotest.Fault{Code: "auth_header_not_present"}, outcome.RequestAltered, "HTTP 401 auth_header_not_present", 0},
		{"a connection that broke", jupicotest.Fault{ResetConnection: true}, outcome.Unreachable, "the connection broke before an answer came", 0},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			f := start(t)
			f.Inject(tc.fault)
			for range 2 {
				got := f.check(f.at)
				wantResult(t, got, tc.want, tc.detail)
				f.advance(tc.wait)
				if got.RetryAfter != tc.wait || got.Duration <= 0 {
					t.Errorf("it took %s and asks for %s, want %s", got.Duration, got.RetryAfter, tc.wait)
				}
			}
			f.wantRequests(2, 0)

			f.Clear()
			f.wantCheck(outcome.Accepted, "HTTP 200")
			f.wantRequests(3, 1)
		})
	}
}

func TestNothingIsSentToADeniedEndpoint(t *testing.T) {
	const noHTTPS, notListed = "it is not an https:// URL", "it is not on the operator's list"
	f := start(t)
	unlisted := f.serve(f.Emulator)
	plain := httptest.NewServer(f.Emulator)
	defer plain.Close()
	for _, tc := range []struct{ sentence, url, detail string }{
		{"plain HTTP", plain.URL, noHTTPS},
		{"the listed one over plain HTTP", strings.Replace(f.at.URL, "https", "http", 1), noHTTPS},
		{"one that is not listed", unlisted.URL, notListed},
		{"another path than the listed one", f.at.URL + "/v1", notListed},
		{"another name of the listed one", strings.Replace(f.at.URL, "127.0.0.1", "localhost", 1), notListed},
		{"no URL", "https://%zz", "it is not a URL"},
		{"nothing", "", noHTTPS},
		{"userinfo", strings.Replace(f.at.URL, "https://", "https://a:b@", 1),
			"it is a URL with userinfo, query or fragment, of which a base URL has none"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			got := f.check(endpoint.Endpoint{URL: tc.url, CA: unlisted.CA})
			if want := (outcome.Result{Outcome: outcome.EndpointDenied, Detail: tc.detail}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			f.wantNothingSent()
		})
	}
}

func TestNothingIsSentWhenTheCAIsInvalid(t *testing.T) {
	f := start(t)
	for _, tc := range []struct{ sentence, ca, detail string }{
		{"a word", "none", "it holds no PEM certificate"},
		{"a broken PEM behind a good one", f.at.CA + strings.Replace(f.at.CA, "-----END", "", 1), "block 2 of 2 has no END line"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			for range 2 {
				got := f.check(endpoint.Endpoint{URL: f.at.URL, CA: tc.ca})
				if want := (outcome.Result{Outcome: outcome.CAInvalid, Detail: tc.detail}); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
			f.wantNothingSent()
		})
	}
	f.wantCheck(outcome.Accepted, "HTTP 200")
}

func TestSpellingsOfOneURLAreOneEndpoint(t *testing.T) {
	f := start(t)
	for _, url := range []string{f.at.URL, f.at.URL + "/", strings.Replace(f.at.URL, "https", "HTTPS", 1)} {
		f.advance(1)
		wantResult(t, f.check(endpoint.Endpoint{URL: url, CA: f.at.CA}), outcome.Accepted, "HTTP 200")
	}
	f.wantRequests(1, 3)
}

func TestOneURLWithTwoCASettingsIsTwoEndpoints(t *testing.T) {
	f := start(t)
	other := f.serve(f.Emulator).CA
	f.wantCheck(outcome.Accepted, "HTTP 200")
	f.wantRequests(1, 1)

	const untrusted = "the certificate is signed by an authority that is not trusted here"
	wantResult(t, f.check(endpoint.Endpoint{URL: f.at.URL, CA: other}), outcome.TLSFailure, untrusted)
	wantResult(t, f.check(endpoint.Endpoint{URL: f.at.URL}), outcome.TLSFailure, untrusted)
	f.wantRequests(1, 1)

	both := endpoint.Endpoint{URL: f.at.URL, CA: f.at.CA + other}
	wantResult(t, f.check(both), outcome.Accepted, "HTTP 200")
	f.wantRequests(2, 2)
	f.advance(1)
	f.wantCheck(outcome.Accepted, "HTTP 200")
	wantResult(t, f.check(both), outcome.Accepted, "HTTP 200")
	f.wantRequests(2, 4)
}

func TestAnEndpointThatIsNotUsedForTwoDaysIsForgotten(t *testing.T) {
	f := start(t)
	idle, busy := f.at, endpoint.Endpoint{URL: f.at.URL, CA: f.at.CA + "\n"}
	f.check(idle)
	f.check(busy)
	site := f.checker.site(f.at.URL)
	forgotten := site.endpoints[idle.CA]
	f.advance(endpointTTL)
	f.check(busy)
	f.gather()
	if n := len(site.endpoints); n != 2 {
		t.Fatalf("after two days, %d endpoints are known", n)
	}
	f.advance(1)
	f.gather()
	if n := len(site.endpoints); n != 1 || site.endpoints[busy.CA] == nil {
		t.Fatalf("after more than that, %d endpoints are known", n)
	}
	opened := f.opened.Load()
	forgotten.client.Check(t.Context(), parse(t, goodToken))
	if f.opened.Load() == opened {
		t.Error("the connection to a forgotten endpoint was kept")
	}
	forgotten.client.CloseIdleConnections()
}

func TestOfManyEndpointsOfOneURLThoseUsedLastAreKept(t *testing.T) {
	f := start(t)
	for n := range 3 * maxEndpoints {
		f.check(endpoint.Endpoint{URL: f.at.URL, CA: f.at.CA + strings.Repeat("\n", n+1)})
		f.advance(time.Second)
		f.check(f.at)
	}
	site := f.checker.site(f.at.URL)
	if n := len(site.endpoints); n != maxEndpoints || site.endpoints[f.at.CA] == nil {
		t.Errorf("%d are known", n)
	}
}

func TestEndpointsOfOneURLShareItsLimits(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 4, Workers: 4})
	f.check(f.at) // after its control
	other := endpoint.Endpoint{URL: f.at.URL, CA: f.at.CA + "\n"}
	f.check(other)
	answer := f.ask(check.Request{Endpoint: other, Token: someTokens(t, 1)[0]})
	if wait := answer.RetryAt.Sub(f.clock.Now()); wait < time.Second {
		t.Errorf("it waits for %s, though the other endpoint used the slots: %+v", wait, answer)
	}

	f.advance(time.Hour)
	f.Inject(jupicotest.Fault{Status: 429})
	f.check(f.at)
	f.Clear()
	received := f.Requests()
	wantResult(t, f.check(other), outcome.RateLimited, "HTTP 429")
	if n := f.Requests() - received; n != 0 {
		t.Errorf("%d requests were sent during the pause", n)
	}
}
