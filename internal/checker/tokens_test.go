// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestAThousandCallersWithTenTokensCauseTenRequestsPerTTL(t *testing.T) {
	const callers, distinct = 1000, 10
	for _, workers := range []int{16, callers} {
		t.Run(fmt.Sprintf("%d workers", workers), func(t *testing.T) {
			f := start(t)
			f.use(Options{QPS: 20, Burst: 40, Workers: workers})
			tokens := someTokens(t, distinct)
			for _, token := range tokens {
				f.AddKey(token.Reveal())
			}
			for ttl := range 3 {
				begin, before := f.clock.Now(), f.Requests()
				var waiting []check.Request
				for i := range callers {
					waiting = append(waiting, check.Request{Token: tokens[i%distinct], Namespace: fmt.Sprintf("n%d", i)})
				}
				for len(waiting) > 0 {
					waiting = f.wave(waiting, workers)
				}
				if took := f.clock.Now().Sub(begin); took > acceptanceTTL {
					t.Fatalf("it took %s", took)
				}
				n := f.Requests() - before
				if ttl == 0 {
					n-- // the control
				}
				if n != distinct {
					t.Errorf("%d requests were made in TTL %d", n, ttl)
				}
				f.clock.SetTime(begin.Add(2 * acceptanceTTL))
			}
		})
	}
}

// wave makes all requests, as many at a time as there are workers. It returns those that were deferred, and sets the
// clock to the time at which the first of them is to come back.
func (f *fixture) wave(requests []check.Request, workers int) []check.Request {
	var putOff []check.Request
	var next time.Time
	for len(requests) > 0 {
		n := min(workers, len(requests))
		for i, answer := range f.together(requests[:n]) {
			switch {
			case answer.RetryAt.IsZero():
				wantResult(f.t, answer.Result, outcome.Accepted, "HTTP 200")
				continue
			case next.IsZero() || answer.RetryAt.Before(next):
				next = answer.RetryAt
			}
			putOff = append(putOff, requests[i])
		}
		requests = requests[n:]
	}
	if len(putOff) > 0 {
		f.clock.SetTime(next)
	}
	return putOff
}

func TestASharedAnswerTakesOverTheTimeOfItsCheck(t *testing.T) {
	f := start(t)
	first := f.ask(check.Request{})
	if first.Shared || first.Duration <= 0 || !first.Began.Equal(f.clock.Now()) {
		t.Errorf("the first answer is %+v", first)
	}
	for _, step := range []struct {
		passed time.Duration
		shared bool
	}{{time.Second, true}, {acceptanceTTL - time.Second - 1, true}, {1, false}} {
		f.advance(step.passed)
		answer := f.ask(check.Request{})
		wantResult(t, answer.Result, outcome.Accepted, "HTTP 200")
		if answer.Shared != step.shared || answer.Began.Equal(first.Began) != step.shared || (answer.Duration == 0) != step.shared {
			t.Errorf("after another %s the answer is %+v", step.passed, answer)
		}
	}
	f.wantRequests(1, 2)
}

func TestACallerThatWantsAFreshCheckJoinsNoOlderOne(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	old := f.begin(check.Request{})
	oldCall := <-hold.arrived
	begin := f.clock.Now()
	f.advance(time.Second)
	fresh := f.begin(check.Request{NotBefore: f.clock.Now()})
	freshCall := <-hold.arrived // a request of its own
	joined := []<-chan check.Answer{f.begin(check.Request{}), f.begin(check.Request{NotBefore: f.clock.Now()})}
	eventually(t, "joining", func() bool { return f.inFlight() == 4 })

	freshCall <- accept
	for _, answers := range append(joined, fresh) {
		answer := <-answers
		wantResult(t, answer.Result, outcome.Accepted, "HTTP 200")
		if !answer.Began.Equal(begin.Add(time.Second)) {
			t.Errorf("the answer began at %s", answer.Began)
		}
	}
	// The older check is answered later, and its answer does not replace that of the later check.
	oldCall <- refuse
	answer := <-old
	wantResult(t, answer.Result, outcome.Rejected, "HTTP 401")
	if !answer.Began.Equal(begin) {
		t.Errorf("the old answer began at %s", answer.Began)
	}
	wantResult(t, f.ask(check.Request{LongestBackoff: time.Hour}).Result, outcome.Accepted, "HTTP 200")
	f.wantRequests(1, 0) // the emulator does not see the requests that are held back
}

func TestACheckThatMayNotBeginYetIsPutOff(t *testing.T) {
	f := start(t)
	at := f.clock.Now().Add(time.Second)
	if answer := f.ask(check.Request{NotBefore: at}); !answer.RetryAt.Equal(at) {
		t.Errorf("got %+v", answer)
	}
	f.wantNothingSent()
}

func TestNoAnswerIsOlderThanTheCallerWants(t *testing.T) {
	f := start(t)
	random := rand.New(rand.NewPCG(1, 2))
	tokens := someTokens(t, 5)
	f.AddKey(tokens[0].Reveal())
	shared := 0
	for range 1000 {
		f.advance(time.Duration(random.IntN(20_000)) * time.Millisecond)
		request := check.Request{Token: tokens[random.IntN(len(tokens))], LongestBackoff: time.Hour}
		if random.IntN(4) > 0 {
			request.NotBefore = f.clock.Now().Add(-time.Duration(random.IntN(600)) * time.Second)
		}
		answer := f.ask(request)
		if !answer.Outcome.IsEvidence() || answer.Began.Before(request.NotBefore) || answer.Began.After(f.clock.Now()) {
			t.Fatalf("asked at %s for a check that begins at %s or later: %+v", f.clock.Now(), request.NotBefore, answer)
		}
		if answer.Shared {
			shared++
		}
	}
	if shared == 0 || shared > 900 {
		t.Errorf("%d answers were shared", shared)
	}
}

func TestOneWrongPasswordOfFiftyResourcesCostsAFewRequestsADay(t *testing.T) {
	for _, tc := range []struct {
		sentence string
		longest  time.Duration
		most     int
	}{{"in production", time.Hour, 30}, {"in the shared sandbox", 15 * time.Minute, 100}} {
		t.Run(tc.sentence, func(t *testing.T) {
			const callers, every = 50, 5 * time.Minute
			f := start(t)
			wrong := someTokens(t, 1)[0]
			f.simulate(callers, day, func(who int) time.Duration { return every * time.Duration(who) / callers },
				func(who int) time.Time {
					answer := f.ask(check.Request{Token: wrong, LongestBackoff: tc.longest, Namespace: fmt.Sprintf("n%d", who)})
					wantResult(t, answer.Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
					return f.clock.Now().Add(every)
				})
			n := f.RequestsFor(wrong.Reveal())
			t.Logf("%d resources with one wrong password caused %d requests in a day", callers, n)
			if n > tc.most || n < tc.most*8/10 {
				t.Errorf("%d requests were made, want at most %d, and not many fewer", n, tc.most)
			}
		})
	}
}

func TestARejectionStandsForFurtherChecksLongerEachTime(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	for _, wait := range []time.Duration{5, 10, 20, 40, 60, 60} {
		wait *= time.Minute
		if answer := f.ask(check.Request{LongestBackoff: time.Hour}); answer.Shared {
			t.Fatalf("before a wait of %s the answer is %+v", wait, answer)
		}
		f.advance(wait - 1)
		answer := f.ask(check.Request{LongestBackoff: time.Hour})
		wantResult(t, answer.Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
		if !answer.Shared {
			t.Errorf("a moment before %s are over, a request was made", wait)
		}
		f.advance(1)
	}
}

func TestTheBackoffEndsForACallerThatCountsInWholeSeconds(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	f.advance(900 * time.Millisecond)
	for _, wait := range []time.Duration{5, 10, 20} {
		if answer := f.ask(check.Request{LongestBackoff: time.Hour}); answer.Shared {
			t.Fatalf("before a wait of %d minutes it is answered by the old rejection, as if there were another", wait)
		}
		now := f.clock.Now()
		f.advance(now.Truncate(time.Second).Add(wait * time.Minute).Sub(now))
	}
}

func TestACallerInABackoffIsToldHowLongItLasts(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	f.ask(check.Request{LongestBackoff: time.Hour})
	f.advance(5 * time.Minute)
	began := f.clock.Now()
	if answer := f.ask(check.Request{LongestBackoff: time.Hour}); answer.Shared || !answer.BackoffUntil.IsZero() {
		t.Fatalf("who makes the check is answered %+v", answer)
	}
	f.advance(time.Minute)
	answer := f.ask(check.Request{LongestBackoff: time.Hour})
	if want := began.Add(10 * time.Minute); !answer.Shared || !answer.BackoffUntil.Equal(want) {
		t.Errorf("a newcomer is told %s, want %s", answer.BackoffUntil, want)
	}
}

func TestOneWrongPasswordOfEverNewResourcesCostsAFewRequestsADay(t *testing.T) {
	const newcomers, every = 72, 20 * time.Minute
	f := start(t)
	wrong := someTokens(t, 1)[0]
	wait := make([]time.Duration, newcomers)
	f.simulate(newcomers, day, func(who int) time.Duration { return every * time.Duration(who) },
		func(who int) time.Time {
			answer := f.ask(check.Request{Token: wrong, LongestBackoff: time.Hour})
			wantResult(t, answer.Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
			wait[who] = min(max(5*time.Minute, 2*wait[who]), time.Hour) // each resource has its own schedule, which has just begun
			at := f.clock.Now().Add(wait[who])
			if answer.BackoffUntil.After(at) {
				at = answer.BackoffUntil
			}
			return at
		})
	if n := f.RequestsFor(wrong.Reveal()); n > 30 {
		t.Errorf("%d newcomers with one wrong password caused %d requests in a day", newcomers, n)
	}
}

func TestACallerIsNotAnsweredByAnAcceptanceThatItKnows(t *testing.T) {
	f := start(t)
	first := f.ask(check.Request{})
	f.advance(20 * time.Second)
	if answer := f.ask(check.Request{}); !answer.Shared {
		t.Fatalf("somebody else is answered %+v", answer)
	}
	answer := f.ask(check.Request{AcceptedAfter: first.Began})
	wantResult(t, answer.Result, outcome.Accepted, "HTTP 200")
	if answer.Shared || !answer.Began.After(first.Began) {
		t.Errorf("who knows of it is answered %+v", answer)
	}
}

func TestAnAcceptanceEndsTheBackoff(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	for range 3 {
		f.ask(check.Request{LongestBackoff: time.Hour})
		f.advance(time.Hour)
	}
	f.Restore(goodToken)
	wantResult(t, f.ask(check.Request{LongestBackoff: time.Hour}).Result, outcome.Accepted, "HTTP 200")
	f.Revoke(goodToken)
	f.advance(time.Minute)
	f.wantCheck(outcome.Rejected, "HTTP 401 auth_invalid_api_token")
	f.advance(5*time.Minute - 1)
	if answer := f.ask(check.Request{LongestBackoff: time.Hour}); !answer.Shared {
		t.Errorf("got %+v", answer)
	}
	f.advance(1)
	if answer := f.ask(check.Request{LongestBackoff: time.Hour}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
}

func TestAnOutageLeavesTheBackoffAsItIs(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	for range 2 {
		answer := f.begin(check.Request{NotBefore: f.clock.Now(), LongestBackoff: time.Hour})
		<-hold.arrived <- refuse
		<-answer
		f.advance(5 * time.Minute)
	}
	answer := f.begin(check.Request{NotBefore: f.clock.Now(), LongestBackoff: time.Hour})
	<-hold.arrived <- fail
	wantResult(t, (<-answer).Result, outcome.Unavailable, "HTTP 503")
	wantResult(t, f.ask(check.Request{LongestBackoff: time.Hour}).Result, outcome.Rejected, "HTTP 401")
}

func TestInsistingDoesNotLengthenTheBackoff(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	for range 10 {
		f.advance(time.Second)
		if answer := f.ask(check.Request{LongestBackoff: time.Hour, NotBefore: f.clock.Now()}); answer.Shared {
			t.Fatalf("got %+v", answer)
		}
	}
	f.advance(5*time.Minute - 1)
	if answer := f.ask(check.Request{LongestBackoff: time.Hour}); !answer.Shared {
		t.Errorf("got %+v", answer)
	}
	f.advance(1)
	if answer := f.ask(check.Request{LongestBackoff: time.Hour}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
}

func TestAnEditIsTriedAtOnceInABackoffToo(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	f.ask(check.Request{LongestBackoff: time.Hour})
	f.advance(editBackoff)
	f.Restore(goodToken)
	wantResult(t, f.ask(check.Request{LongestBackoff: time.Hour, Edited: f.clock.Now()}).Result, outcome.Accepted, "HTTP 200")
	f.wantRequests(1, 2)
}

func TestAnEditIsAnsweredByAnEarlierAcceptance(t *testing.T) {
	f := start(t)
	f.ask(check.Request{})
	f.advance(time.Second)
	first := f.ask(check.Request{Edited: f.clock.Now()})
	if !first.Shared {
		t.Errorf("got %+v", first)
	}
	if again := f.ask(check.Request{Edited: f.clock.Now(), AcceptedAfter: first.Began}); again.Shared || !again.RetryAt.IsZero() {
		t.Errorf("who knows of the acceptance got %+v", again)
	}
}

func TestAThousandEditsAtOnceOfOneWrongPasswordShareTwoRequests(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	ask := func(edited time.Time) check.Answer {
		return f.ask(check.Request{LongestBackoff: time.Hour, Edited: edited})
	}
	first := f.clock.Now()
	edits := make([]time.Time, 0, 1000)
	for range 1000 {
		f.advance(time.Millisecond)
		edited := f.clock.Now()
		if answer := ask(edited); answer.RetryAt.IsZero() {
			continue
		} else if want := first.Add(time.Millisecond + editBackoff); !answer.RetryAt.Equal(want) {
			t.Fatalf("it was put off until %s, want %s", answer.RetryAt, want)
		}
		edits = append(edits, edited)
	}
	f.advance(editBackoff)
	for _, edited := range edits {
		wantResult(t, ask(edited).Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
	}
	f.wantRequests(1, 2)
}

func TestAnUrgentEditDoesNotWaitForOthers(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	f.ask(check.Request{})
	f.advance(time.Millisecond)
	if answer := f.ask(check.Request{Edited: f.clock.Now()}); answer.RetryAt.IsZero() {
		t.Errorf("an edit that can wait got %+v", answer)
	}
	if answer := f.ask(check.Request{Edited: f.clock.Now(), LongestBackoff: time.Hour, Urgent: true}); answer.Shared || !answer.RetryAt.IsZero() {
		t.Errorf("an urgent one got %+v", answer)
	}
}

func TestAnEditIsNotAnsweredByARejectionThatWasUnderWay(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	f.begin(check.Request{LongestBackoff: time.Hour})
	call := <-hold.arrived
	f.advance(editBackoff)
	edit := f.begin(check.Request{LongestBackoff: time.Hour, Edited: f.clock.Now()})
	eventually(t, "joining", func() bool { return f.inFlight() == 2 })
	call <- refuse
	<-hold.arrived <- accept
	wantResult(t, (<-edit).Result, outcome.Accepted, "HTTP 200")
}

func TestEveryCallerHasALongestBackoffOfItsOwn(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	f.ask(check.Request{LongestBackoff: time.Hour})
	f.advance(2 * time.Minute)
	if answer := f.ask(check.Request{LongestBackoff: time.Hour}); !answer.Shared {
		t.Errorf("got %+v", answer)
	}
	if answer := f.ask(check.Request{LongestBackoff: time.Minute}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
	f.advance(1)
	if answer := f.ask(check.Request{}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
}

func TestTheSameTokenAtAnotherEndpointIsAnother(t *testing.T) {
	f := start(t)
	f.ask(check.Request{})
	other := endpoint.Endpoint{URL: f.at.URL, CA: f.at.CA + "\n"}
	if answer := f.ask(check.Request{Endpoint: other}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
	f.wantRequests(2, 2)
}

func TestATokenThatNobodyAskedAboutForTwoDaysIsForgotten(t *testing.T) {
	f := start(t)
	wrong := someTokens(t, 1)[0]
	f.ask(check.Request{})
	f.ask(check.Request{Token: wrong})
	at, _ := f.checker.find(f.at)
	for _, step := range []struct {
		passed time.Duration
		kept   int
	}{{0, 2}, {day, 2}, {day, 2}, {1, 1}} {
		f.advance(step.passed)
		f.ask(check.Request{})
		if n := len(at.tokens.byID); n != step.kept || at.tokens.recent.Len() != n {
			t.Errorf("after another %s %d tokens are kept, want %d", step.passed, n, step.kept)
		}
	}
}

func TestTheNumberOfTokensIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newTokens()
	first := identity{1}
	accepted := reply{result: outcome.Result{Outcome: outcome.Accepted}, began: now}
	s.end(&call{token: s.get(&caller{id: first}, now), reply: accepted}, now)
	for i := range maxTokens {
		s.get(&caller{id: identity{2, byte(i), byte(i >> 8), byte(i >> 16)}}, now)
	}
	if s.byID[first] != nil || len(s.byID) != maxTokens || len(s.mass.good) != 0 {
		t.Errorf("%d are kept, and %d of them good", len(s.byID), len(s.mass.good))
	}
}

func TestEvidenceOfATokenThatIsForgottenCountsForNothing(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newTokens()
	accepted := reply{result: outcome.Result{Outcome: outcome.Accepted}, began: now}
	c := &call{token: s.get(&caller{id: identity{1}}, now), reply: accepted}
	now = now.Add(tokenTTL + 1)
	s.get(&caller{id: identity{2}}, now)
	s.end(c, now)
	if len(s.byID) != 1 || len(s.mass.good) != 0 {
		t.Errorf("%d are kept, and %d count as good", len(s.byID), len(s.mass.good))
	}
}

func TestACallWhoseSenderGivesUpIsSentByAnotherWithoutAWaitForASlot(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	f.use(Options{QPS: 1, Burst: 2, Workers: 16}) // two slots: for the control and for the call
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan check.Answer, 1)
	go func() {
		given <- f.checker.Check(ctx, check.Request{Endpoint: f.at, Token: parse(t, goodToken), Namespace: "shop"})
	}()
	<-hold.arrived
	other := f.begin(check.Request{})
	eventually(t, "joining", func() bool { return f.inFlight() == 2 })
	cancel()
	wantResult(t, (<-given).Result, outcome.Unreachable, "it was given up")
	select {
	case call := <-hold.arrived:
		call <- accept
	case answer := <-other:
		t.Fatalf("the other was answered %+v", answer)
	}
	answer := <-other
	wantResult(t, answer.Result, outcome.Accepted, "HTTP 200")
	if answer.Shared {
		t.Error("the answer is shared")
	}
}

func TestACallerThatGivesUpWaitingEndsNoCall(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	sender := f.begin(check.Request{})
	call := <-hold.arrived
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan check.Answer, 1)
	go func() {
		given <- f.checker.Check(ctx, check.Request{Endpoint: f.at, Token: parse(t, goodToken), Namespace: "shop"})
	}()
	eventually(t, "joining", func() bool { return f.inFlight() == 2 })
	cancel()
	wantResult(t, (<-given).Result, outcome.Unreachable, "it was given up")
	call <- accept
	wantResult(t, (<-sender).Result, outcome.Accepted, "HTTP 200")
}

func TestAPanicLeavesNobodyWaiting(t *testing.T) {
	f := start(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("there was no panic")
			}
		}()
		var none context.Context
		f.checker.Check(none, check.Request{Endpoint: f.at, Token: parse(t, goodToken)})
	}()
	if n := f.inFlight(); n != 0 {
		t.Errorf("%d are in calls", n)
	}
	f.wantCheck(outcome.Accepted, "HTTP 200")
}
