// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestAnOutageCausesFewerAndFewerRequestsAndItsEndIsNoticed(t *testing.T) {
	for sentence, row := range map[string]struct {
		fault       jupicotest.Fault
		want        outcome.Outcome
		detail      string
		authorities int // that the callers trust, each its own
	}{
		"an outage":                           {jupicotest.Fault{Status: 503}, outcome.Unavailable, "HTTP 503 service_unavailable", 1},
		"a limit":                             {jupicotest.Fault{Status: 429}, outcome.RateLimited, "HTTP 429", 1},
		"a limit of 30 s, and 60 authorities": {jupicotest.Fault{Status: 429, RetryAfter: "30"}, outcome.RateLimited, "HTTP 429", 60},
		"a firewall":                          {jupicotest.Fault{Status: 403}, outcome.Forbidden, "HTTP 403 forbidden", 1},
		"a page":                              {jupicotest.Fault{HTML: true}, outcome.UnexpectedResponse, "HTTP 200 with HTML or XML", 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			last := emulateHour(t, row.fault, row.authorities)
			wantResult(t, last, row.want, row.detail)
		})
	}
}

// emulateHour lets 600 callers, each with a token of its own, meet a fault for an hour. It returns the last result of
// that hour.
func emulateHour(t *testing.T, fault jupicotest.Fault, authorities int) (last outcome.Result) {
	t.Helper()
	const callers, lasting, healed = 600, 80 * time.Minute, time.Hour + 10*time.Second
	f := start(t)
	f.use(Options{QPS: 20, Burst: 40, Workers: 16})
	tokens := someTokens(t, callers)
	for _, token := range tokens {
		f.AddKey(token.Reveal())
	}
	f.Inject(fault)
	begin, isHealed := f.clock.Now(), false
	waits := make([]time.Duration, callers)
	minutes := make([]int, lasting/time.Minute)
	accepted, noticed := map[int]bool{}, time.Duration(0)
	f.simulate(callers, lasting, func(who int) time.Duration { return 5 * time.Minute * time.Duration(who) / callers },
		func(who int) time.Time {
			now := f.clock.Now()
			passed := now.Sub(begin)
			if passed >= healed && !isHealed {
				isHealed = true
				f.Clear()
			}
			before := f.Requests()
			at := endpoint.Endpoint{URL: f.at.URL, CA: f.at.CA + strings.Repeat("\n", who%authorities)}
			answer := f.ask(check.Request{Endpoint: at, Token: tokens[who], Namespace: fmt.Sprintf("n%d", who%7)})
			minutes[passed/time.Minute] += f.Requests() - before
			switch {
			case !answer.RetryAt.IsZero():
				return answer.RetryAt
			case answer.Outcome == outcome.Accepted:
				if noticed == 0 {
					noticed = passed
				}
				accepted[who] = true
				return now.Add(5 * time.Minute)
			}
			last = answer.Result
			waits[who] = min(max(10*time.Second, 2*waits[who]), 5*time.Minute)
			return now.Add(waits[who])
		})

	t.Logf("requests a minute, of %d resources, until the endpoint healed after %s: %v", callers, healed, minutes[:60])
	t.Logf("and then: %v; noticed after %s", minutes[60:], noticed-healed)
	if minutes[0] > 10 {
		t.Errorf("%d requests were made in the first minute", minutes[0])
	}
	for minute, n := range minutes[1:60] {
		if n > 2 {
			t.Errorf("%d requests were made in minute %d", n, minute+1)
		}
	}
	if noticed < healed || noticed > healed+longestPause+time.Minute {
		t.Errorf("healing after %s was noticed after %s", healed, noticed)
	}
	if len(accepted) != callers {
		t.Errorf("%d were accepted in the end", len(accepted))
	}
	return last
}

func TestTokensThatAreGivenNoEvidenceAloneKeepNobodyElseWaiting(t *testing.T) {
	for sentence, fault := range map[string]jupicotest.Fault{
		"a header that is too long":  {Status: 400, HTML: true},
		"a firewall that knows them": {Status: 403},
		"an error that they provoke": {Status: 500},
	} {
		t.Run(sentence, func(t *testing.T) {
			const crowd = 50
			tokens := someTokens(t, crowd)
			troubled := jupicotest.New()
			troubled.Inject(fault)
			f := start(t, func(api http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					isTroubled := func(token credential.Token) bool { return r.Header.Get("Authorization") == token.Authorization() }
					if slices.ContainsFunc(tokens, isTroubled) {
						troubled.ServeHTTP(w, r)
						return
					}
					api.ServeHTTP(w, r)
				})
			})
			checks := 0
			waits := make([]time.Duration, crowd)
			f.simulate(crowd+1, time.Hour, atOnce, func(who int) time.Time {
				now := f.clock.Now()
				if who == crowd {
					f.wantCheck(outcome.Accepted, "HTTP 200")
					checks++
					return now.Add(time.Minute)
				}
				answer := f.ask(check.Request{Token: tokens[who], Namespace: "another"})
				if !answer.RetryAt.IsZero() {
					return answer.RetryAt
				}
				waits[who] = min(max(10*time.Second, 2*waits[who]), 5*time.Minute)
				return now.Add(waits[who])
			})
			t.Logf("%d checks of a good token in an hour, of %d requests in all", checks, f.Requests()+troubled.Requests())
			if checks != 60 {
				t.Errorf("a good token was checked %d times in an hour", checks)
			}
		})
	}
}

func TestAPauseAnswersWithTheFailureThatBeganIt(t *testing.T) {
	f := start(t)
	f.check(f.at)
	f.advance(acceptanceTTL)
	f.Inject(jupicotest.Fault{Status: 503, Times: 4})
	for range 4 {
		f.check(f.at)
	}
	f.Inject(jupicotest.Fault{ResetConnection: true})
	f.check(f.at)
	began := f.clock.Now()
	const detail = "the connection broke before an answer came"
	for sentence, request := range map[string]check.Request{
		"this token": {}, "another": {Token: someTokens(t, 1)[0]}, "a fresh check": {NotBefore: began},
	} {
		answer := f.ask(request)
		wantResult(t, answer.Result, outcome.Unreachable, detail)
		if !answer.Shared || !answer.Began.Equal(began) || answer.Duration != 0 || !answer.RetryAt.IsZero() {
			t.Errorf("%s: got %+v", sentence, answer)
		}
	}
	f.wantRequests(2, 5)
	if f.gauge("jupico_endpoint_breaker_open") != 1 {
		t.Error("no metric says so")
	}
	f.Clear()
	f.advance(shortestPause)
	f.wantCheck(outcome.Accepted, "HTTP 200")
	if f.gauge("jupico_endpoint_breaker_open") != 0 {
		t.Error("the metric stays")
	}
}

func TestEachPauseIsTwiceAsLongAsTheLast(t *testing.T) {
	f := start(t)
	for range 2 { // after an acceptance, the first is the shortest again
		f.Inject(jupicotest.Fault{Status: 503})
		for range failuresToPause {
			f.check(f.at)
		}
		for _, length := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
			length *= time.Second
			f.advance(length - 1)
			before := f.Requests()
			f.check(f.at)
			if f.Requests() != before {
				t.Errorf("a moment before %s were over, a request was made", length)
			}
			f.advance(1)
			f.check(f.at)
			if f.Requests() != before+1 {
				t.Errorf("after %s, %d requests were made", length, f.Requests()-before)
			}
		}
		f.Clear()
		f.advance(longestPause)
		f.wantCheck(outcome.Accepted, "HTTP 200")
		f.advance(1)
		f.wantCheck(outcome.Accepted, "HTTP 200")
		f.advance(1)
	}
}

func TestAPauseAfterAShortOneIsNoShorterThanTheShortest(t *testing.T) {
	f := start(t)
	f.Inject(jupicotest.Fault{Status: 503, RetryAfter: "1", Times: 1})
	f.check(f.at)
	f.Inject(jupicotest.Fault{Status: 503})
	f.advance(time.Second)
	f.check(f.at)
	f.advance(shortestPause - 1)
	f.check(f.at)
	f.wantRequests(2, 0)
	f.advance(1)
	f.check(f.at)
	f.wantRequests(3, 0)
}

// startAfterPause returns an endpoint that failed until it was paused, at the end of that pause.
func startAfterPause(t *testing.T) (*fixture, *holdBack) {
	t.Helper()
	hold := newHoldBack()
	hold.all.Store(true)
	f := start(t, hold.wrap)
	for range failuresToPause {
		answer := f.begin(check.Request{NotBefore: f.clock.Now()})
		<-hold.arrived <- fail
		<-answer
	}
	f.advance(shortestPause)
	return f, hold
}

func TestOneControlAtATimeIsLetThroughAfterAPause(t *testing.T) {
	f, hold := startAfterPause(t)
	first := f.begin(check.Request{})
	call := <-hold.arrived
	for _, token := range someTokens(t, 3) {
		if answer := f.ask(check.Request{Token: token}); !answer.Shared || answer.Outcome != outcome.Unavailable {
			t.Errorf("got %+v", answer)
		}
	}
	call <- refuse
	<-hold.arrived <- accept
	wantResult(t, (<-first).Result, outcome.Accepted, "HTTP 200")
	hold.all.Store(false)
	if answer := f.ask(check.Request{Token: someTokens(t, 1)[0]}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
}

// Each row lists outcomes in a row, and how long the endpoint is paused after them.
func TestWhatBeginsAPause(t *testing.T) {
	const failed, limited, tls = outcome.Unavailable, outcome.RateLimited, outcome.TLSFailure
	for sentence, row := range map[string]struct {
		outcomes []outcome.Outcome
		length   time.Duration
	}{
		"five failures do":                       {[]outcome.Outcome{failed, failed, failed, failed, failed}, shortestPause},
		"four do not":                            {[]outcome.Outcome{failed, failed, failed, failed}, 0},
		"failures of all kinds count":            {[]outcome.Outcome{failed, outcome.Unreachable, outcome.Forbidden, outcome.UnexpectedResponse, outcome.ProxyRefused}, shortestPause},
		"so does an accepted random token":       {[]outcome.Outcome{failed, failed, failed, failed, outcome.EndpointDoesNotAuthenticate}, shortestPause},
		"an acceptance in between begins anew":   {[]outcome.Outcome{failed, failed, failed, failed, outcome.Accepted, failed}, 0},
		"a rejection too":                        {[]outcome.Outcome{failed, failed, failed, failed, outcome.Rejected, failed}, 0},
		"TLS failures do not count":              {[]outcome.Outcome{tls, tls, tls, tls, tls, tls}, 0},
		"nor does a TLS failure begin anew":      {[]outcome.Outcome{failed, failed, failed, failed, tls, failed}, shortestPause},
		"nor does a call that was given up":      {[]outcome.Outcome{failed, failed, failed, failed, "", failed}, shortestPause},
		"one rate limit is enough":               {[]outcome.Outcome{limited}, shortestPause},
		"what began before leaves it as it is":   {[]outcome.Outcome{failed, failed, failed, failed, failed, failed, limited}, shortestPause},
		"an acceptance that began before, too":   {[]outcome.Outcome{failed, failed, failed, failed, failed, outcome.Accepted}, shortestPause},
		"a TLS failure that began before it too": {[]outcome.Outcome{failed, failed, failed, failed, failed, tls}, shortestPause},
	} {
		t.Run(sentence, func(t *testing.T) {
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			var p pause
			for _, o := range row.outcomes {
				p.end(&call{reply: reply{result: outcome.Result{Outcome: o}, began: now}}, now)
			}
			if left := p.until.Sub(now); p.length != row.length || p.length > 0 && left != p.length {
				t.Errorf("it is paused for %s, and %s are left", p.length, left)
			}
		})
	}
}

func TestAControlAfterAPauseThatFindsNothingOutIsFollowedByAnother(t *testing.T) {
	for sentence, o := range map[string]outcome.Outcome{
		"a TLS failure": outcome.TLSFailure, "a control that was given up": "",
	} {
		t.Run(sentence, func(t *testing.T) {
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			first := &call{reply: reply{result: outcome.Result{Outcome: o}}}
			p := pause{length: shortestPause, until: now, trial: first}
			isPaused := func() bool {
				_, is := p.answer(now)
				return is
			}
			if !isPaused() {
				t.Fatal("another control is let through beside it")
			}
			p.end(first, now)
			if isPaused() || p.length != shortestPause {
				t.Error("no other control is let through")
			}
		})
	}
}

func TestAControlAfterAPauseWhoseSenderGivesUpIsFollowedByAnother(t *testing.T) {
	f, hold := startAfterPause(t)
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan check.Answer, 1)
	go func() { given <- f.checker.Check(ctx, check.Request{Endpoint: f.at, Token: parse(t, goodToken)}) }()
	<-hold.arrived
	cancel()
	wantResult(t, (<-given).Result, outcome.Unreachable, "it was given up")
	answer := f.begin(check.Request{})
	<-hold.arrived <- refuse
	<-hold.arrived <- accept
	wantResult(t, (<-answer).Result, outcome.Accepted, "HTTP 200")
}

func TestRetryAfterIsHonouredForTheWholeEndpoint(t *testing.T) {
	for _, tc := range []struct {
		sentence string
		fault    jupicotest.Fault
		want     outcome.Outcome
		pause    time.Duration
	}{
		{"too many requests", jupicotest.Fault{Status: 429, RetryAfter: "120", Times: 1}, outcome.RateLimited, 2 * time.Minute},
		{"an outage", jupicotest.Fault{Status: 503, RetryAfter: "120", Times: 1}, outcome.Unavailable, 2 * time.Minute},
		{"no longer than 5 min", jupicotest.Fault{Status: 503, RetryAfter: "3600", Times: 1}, outcome.Unavailable, 5 * time.Minute},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			f := start(t)
			other := someTokens(t, 2)
			f.check(f.at)
			f.Inject(tc.fault)
			f.advance(time.Minute)
			began, requests := f.clock.Now(), f.Requests()+1
			if got := f.check(f.at); got.Outcome != tc.want {
				t.Fatalf("got %+v", got)
			}
			for _, passed := range []time.Duration{time.Second, tc.pause - time.Second - 1} {
				f.advance(passed)
				left := began.Add(tc.pause).Sub(f.clock.Now())
				for _, request := range []check.Request{{}, {Token: other[0]}, {NotBefore: f.clock.Now()}} {
					answer := f.ask(request)
					if answer.Outcome != tc.want || !answer.Shared || answer.RetryAfter != left || !answer.Began.Equal(began) {
						t.Errorf("got %+v, with %s left", answer, left)
					}
				}
			}
			if n := f.Requests(); n != requests {
				t.Errorf("%d requests were made in the pause", n-requests)
			}
			f.advance(1)
			f.wantCheck(outcome.Accepted, "HTTP 200")
		})
	}
}

func TestAnAcceptanceIsSharedInAPauseToo(t *testing.T) {
	f := start(t)
	f.ask(check.Request{})
	f.Inject(jupicotest.Fault{Status: 429, RetryAfter: "10", Times: 1})
	f.ask(check.Request{Token: someTokens(t, 1)[0]})
	wantResult(t, f.ask(check.Request{}).Result, outcome.Accepted, "HTTP 200")
}

func TestNobodyWaitsForASlotAtAnEndpointThatIsSentNothing(t *testing.T) {
	for sentence, fault := range map[string]jupicotest.Fault{
		"it asked for a pause": {Status: 429, RetryAfter: "10", Times: 1},
		"it fails":             {Status: 503, Times: failuresToPause},
	} {
		t.Run(sentence, func(t *testing.T) {
			f := start(t)
			f.use(Options{QPS: 1, Burst: 1, Workers: 16})
			f.passControl()
			tokens := someTokens(t, 10)
			for _, token := range tokens {
				f.ask(check.Request{Token: token})
			}
			f.Inject(fault)
			for _, token := range tokens[:fault.Times] {
				f.advance(time.Second + time.Millisecond)
				if answer := f.ask(check.Request{Token: token}); answer.Outcome.Class() != outcome.Transient {
					t.Fatalf("got %+v", answer)
				}
			}
			if n := f.gauge("jupico_checks_waiting"); n != 0 {
				t.Errorf("%v tokens wait", n)
			}
		})
	}
}

func TestTheLongestRetryAfterCounts(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var p pause
	for _, seconds := range []time.Duration{10, 30, 20} {
		retryAfter := seconds * time.Second
		p.end(&call{reply: reply{result: outcome.Result{Outcome: outcome.Unavailable, RetryAfter: retryAfter}, began: now}}, now)
	}
	if last, isPaused := p.answer(now); !isPaused || last.result.RetryAfter != 30*time.Second {
		t.Errorf("got %+v", last)
	}
}

func TestAPauseThatTheAPIDidNotAskForHasNoRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var p pause
	p.end(&call{reply: reply{result: outcome.Result{Outcome: outcome.RateLimited}, began: now}}, now)
	if last, isPaused := p.answer(now); !isPaused || last.result.RetryAfter != 0 {
		t.Errorf("got %+v", last)
	}
}

func TestAPauseIsFollowedByOneControlAtATimeWhenTheAPIAskedForItToo(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	answer := f.begin(check.Request{})
	<-hold.arrived <- func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	wantResult(t, (<-answer).Result, outcome.RateLimited, "HTTP 429")
	f.advance(30 * time.Second)
	hold.all.Store(true)
	first := f.begin(check.Request{})
	call := <-hold.arrived
	other := f.ask(check.Request{Token: someTokens(t, 1)[0]})
	wantResult(t, other.Result, outcome.RateLimited, "HTTP 429")
	if !other.Shared || other.RetryAfter != 0 {
		t.Errorf("got %+v", other)
	}
	call <- refuse
	<-hold.arrived <- accept
	wantResult(t, (<-first).Result, outcome.Accepted, "HTTP 200")
}
