// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestAnOutageCausesFewerAndFewerRequestsAndItsEndIsNoticed(t *testing.T) {
	const askers, lasting, healed = 1000, 70 * time.Minute, time.Hour + 10*time.Second
	f := start(t)
	f.use(Options{QPS: 20, Burst: 40, Workers: 16})
	tokens := someTokens(t, askers)
	for _, token := range tokens {
		f.AddKey(token.Reveal())
	}
	f.Inject(jupicotest.Fault{Status: 503})
	begin, isHealed := f.clock.Now(), false
	waits := make([]time.Duration, askers)
	minutes := make([]int, lasting/time.Minute)
	accepted, noticed := map[int]bool{}, time.Duration(0)
	f.simulate(askers, lasting, func(who int) time.Duration { return 5 * time.Minute * time.Duration(who) / askers },
		func(who int) time.Time {
			now := f.clock.Now()
			passed := now.Sub(begin)
			if passed >= healed && !isHealed {
				isHealed = true
				f.Clear()
			}
			before := f.Requests()
			answer := f.ask(Request{Token: tokens[who], Lane: fmt.Sprintf("n%d", who%7)})
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
			wantResult(t, answer.Result, outcome.Unavailable, "HTTP 503 service_unavailable")
			waits[who] = min(max(10*time.Second, 2*waits[who]), 5*time.Minute)
			return now.Add(waits[who])
		})

	t.Logf("requests a minute, of %d resources, until the endpoint healed after %s: %v", askers, healed, minutes[:60])
	t.Logf("and then: %v; noticed after %s", minutes[60:], noticed-healed)
	if minutes[0] > 10 {
		t.Errorf("%d requests were made in the first minute", minutes[0])
	}
	for minute, n := range minutes[2:60] {
		if n > 2 {
			t.Errorf("%d requests were made in minute %d", n, minute+2)
		}
	}
	if noticed < healed || noticed > healed+time.Minute {
		t.Errorf("healing after %s was noticed after %s", healed, noticed)
	}
	if len(accepted) != askers {
		t.Errorf("%d were accepted in the end", len(accepted))
	}
}

func TestTheOpenBreakerAnswersWithTheFailureThatOpenedIt(t *testing.T) {
	f := start(t)
	f.check(f.at)
	f.advance(acceptanceServes)
	f.Inject(jupicotest.Fault{Status: 503, Times: 4})
	for range 4 {
		f.check(f.at)
	}
	f.Inject(jupicotest.Fault{ResetConnection: true})
	f.check(f.at)
	began := f.clock.Now()
	const detail = "the connection broke before an answer came"
	for sentence, request := range map[string]Request{
		"this token": {}, "another": {Token: someTokens(t, 1)[0]}, "a fresh check": {NotBefore: began},
	} {
		answer := f.ask(request)
		wantResult(t, answer.Result, outcome.Unreachable, detail)
		if !answer.Shared || !answer.Began.Equal(began) || answer.Duration != 0 || !answer.RetryAt.IsZero() {
			t.Errorf("%s: got %+v", sentence, answer)
		}
	}
	f.wantRequests(1, 6)
	if f.gauge("jupico_endpoint_breaker_open") != 1 {
		t.Error("no metric says so")
	}
	// An endpoint is known by its TLS settings too.
	f.Clear()
	wantResult(t, f.check(Endpoint{URL: f.at.URL, CA: f.at.CA + "\n"}), outcome.Accepted, "HTTP 200")

	f.advance(shortestOpen)
	f.wantCheck(outcome.Accepted, "HTTP 200")
	if f.gauge("jupico_endpoint_breaker_open") != 0 {
		t.Error("the metric stays")
	}
}

func TestTheBreakerOpensForLongerWithEachProbeThatFails(t *testing.T) {
	f := start(t)
	for range 2 { // after it closed, all begins anew
		f.Inject(jupicotest.Fault{Status: 503})
		for range failuresToOpen {
			f.check(f.at)
		}
		for _, open := range []time.Duration{5, 10, 20, 40, 60, 60} {
			open *= time.Second
			f.advance(open - 1)
			before := f.Requests()
			f.check(f.at)
			if f.Requests() != before {
				t.Errorf("a moment before %s were over, a request was made", open)
			}
			f.advance(1)
			f.check(f.at)
			if f.Requests() != before+1 {
				t.Errorf("after %s, %d probes were made", open, f.Requests()-before)
			}
		}
		f.Clear()
		f.advance(time.Minute)
		f.wantCheck(outcome.Accepted, "HTTP 200")
		f.advance(1)
		f.wantCheck(outcome.Accepted, "HTTP 200")
		f.advance(1)
	}
}

func TestOneProbeIsMadeAtATime(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	for range failuresToOpen {
		answer := f.begin(Request{NotBefore: f.clock.Now()})
		<-hold.arrived <- fail
		<-answer
	}
	f.advance(shortestOpen)
	probe := f.begin(Request{})
	call := <-hold.arrived
	for _, token := range someTokens(t, 3) {
		if answer := f.ask(Request{Token: token}); !answer.Shared || answer.Outcome != outcome.Unavailable {
			t.Errorf("got %+v", answer)
		}
	}
	call <- accept
	wantResult(t, (<-probe).Result, outcome.Accepted, "HTTP 200")
	if answer := f.ask(Request{Token: someTokens(t, 1)[0]}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
}

// TestWhatOpensABreaker: outcomes in a row, and what the breaker is thereafter.
func TestWhatOpensABreaker(t *testing.T) {
	const failed = outcome.Unavailable
	for sentence, row := range map[string][]outcome.Outcome{
		"five failures open it":                   {failed, failed, failed, failed, failed, "open"},
		"four do not":                             {failed, failed, failed, failed, "closed"},
		"failures of both kinds count":            {failed, outcome.Unreachable, failed, outcome.Unreachable, failed, "open"},
		"an acceptance in between begins anew":    {failed, failed, failed, failed, outcome.Accepted, failed, "closed"},
		"a rejection too":                         {failed, failed, failed, failed, outcome.Rejected, failed, "closed"},
		"an answer without evidence too":          {failed, failed, failed, failed, outcome.Forbidden, failed, "closed"},
		"TLS failures do not count":               {outcome.TLSFailure, outcome.TLSFailure, outcome.TLSFailure, outcome.TLSFailure, outcome.TLSFailure, outcome.TLSFailure, "closed"},
		"nor does a TLS failure begin anew":       {failed, failed, failed, failed, outcome.TLSFailure, failed, "open"},
		"rate limits do not count":                {outcome.RateLimited, outcome.RateLimited, outcome.RateLimited, outcome.RateLimited, outcome.RateLimited, "closed"},
		"nor does a rate limit begin anew":        {failed, failed, failed, failed, outcome.RateLimited, failed, "open"},
		"what began before it opened leaves it":   {failed, failed, failed, failed, failed, failed, failed, "open"},
		"but an answer to that closes it":         {failed, failed, failed, failed, failed, outcome.Accepted, "closed"},
		"a TLS failure does not close it, either": {failed, failed, failed, failed, failed, outcome.TLSFailure, "open"},
	} {
		t.Run(sentence, func(t *testing.T) {
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			var b breaker
			for _, o := range row[:len(row)-1] {
				b.report(&call{result: outcome.Result{Outcome: o}, began: now}, now)
			}
			if want := row[len(row)-1] == "open"; b.isOpen() != want {
				t.Errorf("open is %t", b.isOpen())
			}
			if b.isOpen() && b.openFor != shortestOpen {
				t.Errorf("it is open for %s", b.openFor)
			}
		})
	}
}

func TestAProbeWithoutAFindingIsFollowedByAnother(t *testing.T) {
	for sentence, end := range map[string]func(*breaker, *call, time.Time){
		"a TLS failure": func(b *breaker, c *call, now time.Time) {
			c.result.Outcome = outcome.TLSFailure
			b.report(c, now)
		},
		"a probe that was given up": func(b *breaker, c *call, _ time.Time) { b.giveUp(c) },
	} {
		t.Run(sentence, func(t *testing.T) {
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			b := breaker{openFor: shortestOpen, until: now}
			probe := &call{isProbe: b.probe()}
			if !probe.isProbe || !b.blocks(now) {
				t.Fatal("the probe is none")
			}
			end(&b, probe, now)
			if b.blocks(now) || !b.probe() {
				t.Error("no other probe is let through")
			}
		})
	}
}

func TestAProbeWhoseMakerGivesUpIsFollowedByAnother(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	for range failuresToOpen {
		answer := f.begin(Request{NotBefore: f.clock.Now()})
		<-hold.arrived <- fail
		<-answer
	}
	f.advance(shortestOpen)
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan Answer, 1)
	go func() { given <- f.checker.Check(ctx, Request{Endpoint: f.at, Token: parse(t, goodToken)}) }()
	<-hold.arrived
	cancel()
	wantResult(t, (<-given).Result, outcome.Unreachable, "it was given up")
	answer := f.begin(Request{})
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
				for _, request := range []Request{{}, {Token: other[0]}, {NotBefore: f.clock.Now()}} {
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

func TestAnswersThatServeDoSoInAPauseToo(t *testing.T) {
	f := start(t)
	f.ask(Request{})
	f.Inject(jupicotest.Fault{Status: 429, RetryAfter: "10", Times: 1})
	f.ask(Request{Token: someTokens(t, 1)[0]})
	wantResult(t, f.ask(Request{}).Result, outcome.Accepted, "HTTP 200")
}

func TestAPauseVoidsTickets(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	f.passControl()
	for _, token := range someTokens(t, 10) {
		f.ask(Request{Token: token})
	}
	f.Inject(jupicotest.Fault{Status: 429, RetryAfter: "10", Times: 1})
	f.advance(time.Second + time.Millisecond)
	f.ask(Request{Token: someTokens(t, 1)[0]})
	if n := f.gauge("jupico_checks_waiting"); n != 0 {
		t.Errorf("%v tokens wait", n)
	}
}
