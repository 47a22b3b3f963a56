// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestAThousandAskersWithTenTokensCauseTenRequestsPerTTL(t *testing.T) {
	const askers, distinct = 1000, 10
	for _, workers := range []int{16, askers} {
		t.Run(fmt.Sprintf("%d workers", workers), func(t *testing.T) {
			f := start(t)
			f.use(Options{QPS: 20, Burst: 40, Workers: workers})
			tokens := someTokens(t, distinct)
			for _, token := range tokens {
				f.AddKey(token.Reveal())
			}
			for ttl := range 3 {
				begin, before := f.clock.Now(), f.Requests()
				var waiting []Request
				for i := range askers {
					waiting = append(waiting, Request{Token: tokens[i%distinct], Lane: fmt.Sprintf("n%d", i)})
				}
				for len(waiting) > 0 {
					waiting = f.wave(waiting, workers)
				}
				if took := f.clock.Now().Sub(begin); took > acceptanceServes {
					t.Fatalf("it took %s", took)
				}
				n := f.Requests() - before
				if ttl == 0 {
					n-- // the control
				}
				if n != distinct {
					t.Errorf("%d requests were made in TTL %d", n, ttl)
				}
				f.clock.SetTime(begin.Add(2 * acceptanceServes))
			}
		})
	}
}

// wave lets as many as there are workers ask at the same time, until all did. It returns those who are to come back, and
// goes on to when the first of them is.
func (f *fixture) wave(requests []Request, workers int) []Request {
	var putOff []Request
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
	first := f.ask(Request{})
	if first.Shared || first.Duration <= 0 || !first.Began.Equal(f.clock.Now()) {
		t.Errorf("the first answer is %+v", first)
	}
	for _, step := range []struct {
		passed time.Duration
		shared bool
	}{{time.Second, true}, {acceptanceServes - time.Second - 1, true}, {1, false}} {
		f.advance(step.passed)
		answer := f.ask(Request{})
		wantResult(t, answer.Result, outcome.Accepted, "HTTP 200")
		if answer.Shared != step.shared || answer.Began.Equal(first.Began) != step.shared || (answer.Duration == 0) != step.shared {
			t.Errorf("after another %s the answer is %+v", step.passed, answer)
		}
	}
	f.wantRequests(1, 2)
}

func TestWhoAsksForACheckThatIsNotBegunJoinsNoOlderOne(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	old := f.begin(Request{})
	oldCall := <-hold.arrived
	begin := f.clock.Now()
	f.advance(time.Second)
	fresh := f.begin(Request{NotBefore: f.clock.Now()})
	freshCall := <-hold.arrived // a request of its own
	joined := []<-chan Answer{f.begin(Request{}), f.begin(Request{NotBefore: f.clock.Now()})}
	eventually(t, "joining", func() bool { return f.inside() == 4 })

	freshCall <- accept
	for _, answers := range append(joined, fresh) {
		answer := <-answers
		wantResult(t, answer.Result, outcome.Accepted, "HTTP 200")
		if !answer.Began.Equal(begin.Add(time.Second)) {
			t.Errorf("the answer began at %s", answer.Began)
		}
	}
	// The older check's answer comes later, and is not taken for the later one.
	oldCall <- refuse
	answer := <-old
	wantResult(t, answer.Result, outcome.Rejected, "HTTP 401")
	if !answer.Began.Equal(begin) {
		t.Errorf("the old answer began at %s", answer.Began)
	}
	wantResult(t, f.ask(Request{Latch: time.Hour}).Result, outcome.Accepted, "HTTP 200")
	f.wantRequests(1, 0) // what is held back, the emulator does not see
}

func TestACheckThatIsAskedForInTheFutureIsPutOff(t *testing.T) {
	f := start(t)
	at := f.clock.Now().Add(time.Second)
	if answer := f.ask(Request{NotBefore: at}); !answer.RetryAt.Equal(at) {
		t.Errorf("got %+v", answer)
	}
	f.wantNothingSent()
}

func TestNoAnswerIsOlderThanWasAskedFor(t *testing.T) {
	f := start(t)
	random := rand.New(rand.NewPCG(1, 2))
	tokens := someTokens(t, 5)
	f.AddKey(tokens[0].Reveal())
	shared := 0
	for range 1000 {
		f.advance(time.Duration(random.IntN(20_000)) * time.Millisecond)
		request := Request{Token: tokens[random.IntN(len(tokens))], Latch: time.Hour}
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
		latch    time.Duration
		most     int
	}{{"in production", time.Hour, 30}, {"in the shared sandbox", 15 * time.Minute, 100}} {
		t.Run(tc.sentence, func(t *testing.T) {
			const askers, every = 50, 5 * time.Minute
			f := start(t)
			wrong := someTokens(t, 1)[0]
			f.simulate(askers, day, func(who int) time.Duration { return every * time.Duration(who) / askers },
				func(who int) time.Time {
					answer := f.ask(Request{Token: wrong, Latch: tc.latch, Lane: fmt.Sprintf("n%d", who)})
					wantResult(t, answer.Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
					return f.clock.Now().Add(every)
				})
			n := f.RequestsFor(wrong.Reveal())
			t.Logf("%d resources with one wrong password caused %d requests in a day", askers, n)
			if n > tc.most || n < tc.most*8/10 {
				t.Errorf("%d requests were made, want at most %d, and not many fewer", n, tc.most)
			}
		})
	}
}

func TestARejectionServesLongerEachTime(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	for _, wait := range []time.Duration{5, 10, 20, 40, 60, 60} {
		wait *= time.Minute
		if answer := f.ask(Request{Latch: time.Hour}); answer.Shared {
			t.Fatalf("before a wait of %s the answer is %+v", wait, answer)
		}
		f.advance(wait - 1)
		answer := f.ask(Request{Latch: time.Hour})
		wantResult(t, answer.Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
		if !answer.Shared {
			t.Errorf("a moment before %s are over, a request was made", wait)
		}
		f.advance(1)
	}
}

func TestTheLatchDoesNotOutlastTheWaitOfWhoCountsInWholeSeconds(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	f.advance(900 * time.Millisecond)
	for _, wait := range []time.Duration{5, 10, 20} {
		if answer := f.ask(Request{Latch: time.Hour}); answer.Shared {
			t.Fatalf("before a wait of %d minutes it is answered by the latch, as if rejected once more", wait)
		}
		now := f.clock.Now()
		f.advance(now.Truncate(time.Second).Add(wait * time.Minute).Sub(now))
	}
}

func TestWhoIsAnsweredByTheLatchIsToldHowLongItStands(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	f.ask(Request{Latch: time.Hour})
	f.advance(5 * time.Minute)
	began := f.clock.Now()
	if answer := f.ask(Request{Latch: time.Hour}); answer.Shared || !answer.LatchedUntil.IsZero() {
		t.Fatalf("who makes the check is answered %+v", answer)
	}
	f.advance(time.Minute)
	answer := f.ask(Request{Latch: time.Hour})
	if want := began.Add(10 * time.Minute); !answer.Shared || !answer.LatchedUntil.Equal(want) {
		t.Errorf("a newcomer is told %s, want %s", answer.LatchedUntil, want)
	}
}

func TestOneWrongPasswordOfEverNewResourcesCostsAFewRequestsADay(t *testing.T) {
	const newcomers, every = 72, 20 * time.Minute
	f := start(t)
	wrong := someTokens(t, 1)[0]
	wait := make([]time.Duration, newcomers)
	f.simulate(newcomers, day, func(who int) time.Duration { return every * time.Duration(who) },
		func(who int) time.Time {
			answer := f.ask(Request{Token: wrong, Latch: time.Hour})
			wantResult(t, answer.Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
			wait[who] = min(max(5*time.Minute, 2*wait[who]), time.Hour) // each has a young schedule of its own
			at := f.clock.Now().Add(wait[who])
			if answer.LatchedUntil.After(at) {
				at = answer.LatchedUntil
			}
			return at
		})
	if n := f.RequestsFor(wrong.Reveal()); n > 30 {
		t.Errorf("%d newcomers with one wrong password caused %d requests in a day", newcomers, n)
	}
}

func TestAnAcceptanceIsNoNewsToWhoKnowsIt(t *testing.T) {
	f := start(t)
	first := f.ask(Request{})
	f.advance(20 * time.Second)
	if answer := f.ask(Request{}); !answer.Shared {
		t.Fatalf("somebody else is answered %+v", answer)
	}
	answer := f.ask(Request{Known: first.Began})
	wantResult(t, answer.Result, outcome.Accepted, "HTTP 200")
	if answer.Shared || !answer.Began.After(first.Began) {
		t.Errorf("who knows of it is answered %+v", answer)
	}
}

func TestAnAcceptanceEndsTheLatch(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	for range 3 {
		f.ask(Request{Latch: time.Hour})
		f.advance(time.Hour)
	}
	f.Restore(goodToken)
	wantResult(t, f.ask(Request{Latch: time.Hour}).Result, outcome.Accepted, "HTTP 200")
	f.Revoke(goodToken)
	f.advance(time.Minute)
	f.wantCheck(outcome.Rejected, "HTTP 401 auth_invalid_api_token")
	f.advance(5*time.Minute - 1)
	if answer := f.ask(Request{Latch: time.Hour}); !answer.Shared {
		t.Errorf("got %+v", answer)
	}
	f.advance(1)
	if answer := f.ask(Request{Latch: time.Hour}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
}

func TestAnOutageLeavesTheLatchAsItIs(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	for range 2 {
		answer := f.begin(Request{NotBefore: f.clock.Now(), Latch: time.Hour})
		<-hold.arrived <- refuse
		<-answer
		f.advance(5 * time.Minute)
	}
	answer := f.begin(Request{NotBefore: f.clock.Now(), Latch: time.Hour})
	<-hold.arrived <- fail
	wantResult(t, (<-answer).Result, outcome.Unavailable, "HTTP 503")
	wantResult(t, f.ask(Request{Latch: time.Hour}).Result, outcome.Rejected, "HTTP 401")
}

func TestInsistingDoesNotLengthenTheLatch(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	for range 10 {
		f.advance(time.Second)
		if answer := f.ask(Request{Latch: time.Hour, NotBefore: f.clock.Now()}); answer.Shared {
			t.Fatalf("got %+v", answer)
		}
	}
	f.advance(5*time.Minute - 1)
	if answer := f.ask(Request{Latch: time.Hour}); !answer.Shared {
		t.Errorf("got %+v", answer)
	}
	f.advance(1)
	if answer := f.ask(Request{Latch: time.Hour}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
}

func TestAnEditIsTriedAtOnceThoughTheTokenIsLatched(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	f.ask(Request{Latch: time.Hour})
	f.advance(rejectionRests)
	f.Restore(goodToken)
	wantResult(t, f.ask(Request{Latch: time.Hour, Edited: f.clock.Now()}).Result, outcome.Accepted, "HTTP 200")
	f.wantRequests(1, 2)
}

func TestAnEditIsServedByAnAcceptanceOfBefore(t *testing.T) {
	f := start(t)
	f.ask(Request{})
	f.advance(time.Second)
	first := f.ask(Request{Edited: f.clock.Now()})
	if !first.Shared {
		t.Errorf("got %+v", first)
	}
	if again := f.ask(Request{Edited: f.clock.Now(), Known: first.Began}); again.Shared || !again.RetryAt.IsZero() {
		t.Errorf("who knows of the acceptance got %+v", again)
	}
}

func TestAThousandEditsAtOnceOfOneWrongPasswordShareTwoRequests(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	ask := func(edited time.Time) Answer { return f.ask(Request{Latch: time.Hour, Edited: edited}) }
	first := f.clock.Now()
	edits := make([]time.Time, 0, 1000)
	for range 1000 {
		f.advance(time.Millisecond)
		edited := f.clock.Now()
		if answer := ask(edited); answer.RetryAt.IsZero() {
			continue
		} else if want := first.Add(time.Millisecond + rejectionRests); !answer.RetryAt.Equal(want) {
			t.Fatalf("it was put off until %s, want %s", answer.RetryAt, want)
		}
		edits = append(edits, edited)
	}
	f.advance(rejectionRests)
	for _, edited := range edits {
		wantResult(t, ask(edited).Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
	}
	f.wantRequests(1, 2)
}

func TestAnEditIsNotAnsweredByARejectionThatWasUnderWay(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	f.begin(Request{Latch: time.Hour})
	call := <-hold.arrived
	f.advance(rejectionRests)
	edit := f.begin(Request{Latch: time.Hour, Edited: f.clock.Now()})
	eventually(t, "joining", func() bool { return f.inside() == 2 })
	call <- refuse
	<-hold.arrived <- accept
	wantResult(t, (<-edit).Result, outcome.Accepted, "HTTP 200")
}

func TestEveryAskerHasALatchOfItsOwn(t *testing.T) {
	f := start(t)
	f.Revoke(goodToken)
	f.ask(Request{Latch: time.Hour})
	f.advance(2 * time.Minute)
	if answer := f.ask(Request{Latch: time.Hour}); !answer.Shared {
		t.Errorf("got %+v", answer)
	}
	if answer := f.ask(Request{Latch: time.Minute}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
	f.advance(1)
	if answer := f.ask(Request{}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
}

func TestTheSameTokenAtAnotherEndpointIsAnother(t *testing.T) {
	f := start(t)
	f.ask(Request{})
	other := Endpoint{URL: f.at.URL, CA: f.at.CA + "\n"}
	if answer := f.ask(Request{Endpoint: other}); answer.Shared {
		t.Errorf("got %+v", answer)
	}
	f.wantRequests(2, 2)
}

func TestATokenThatNobodyAskedAboutForADayIsForgotten(t *testing.T) {
	f := start(t)
	wrong := someTokens(t, 1)[0]
	f.ask(Request{})
	f.ask(Request{Token: wrong})
	at, _ := f.checker.endpoint(f.at)
	for _, step := range []struct {
		passed time.Duration
		kept   int
	}{{0, 2}, {day / 2, 2}, {day / 2, 2}, {1, 1}} {
		f.advance(step.passed)
		f.ask(Request{})
		if n := len(at.tokens.byID); n != step.kept || at.tokens.recent.Len() != n {
			t.Errorf("after another %s %d tokens are kept, want %d", step.passed, n, step.kept)
		}
	}
}

func TestTheNumberOfTokensIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newTokens()
	first := identity{1}
	s.record(&call{of: s.get(first, now), result: outcome.Result{Outcome: outcome.Accepted}, began: now}, now)
	for i := range maxTokens {
		s.get(identity{2, byte(i), byte(i >> 8), byte(i >> 16)}, now)
	}
	if s.byID[first] != nil || len(s.byID) != maxTokens || s.mass.good != 0 {
		t.Errorf("%d are kept, and %d of them good", len(s.byID), s.mass.good)
	}
}

func TestEvidenceOfATokenThatIsForgottenCountsForNothing(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newTokens()
	c := &call{of: s.get(identity{1}, now), result: outcome.Result{Outcome: outcome.Accepted}, began: now}
	now = now.Add(tokenKept + 1)
	s.get(identity{2}, now)
	s.record(c, now)
	if len(s.byID) != 1 || s.mass.good != 0 {
		t.Errorf("%d are kept, and %d count as good", len(s.byID), s.mass.good)
	}
}

func TestACallThatItsMakerGivesUpIsMadeByAnother(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan Answer, 1)
	go func() {
		given <- f.checker.Check(ctx, Request{Endpoint: f.at, Token: parse(t, goodToken), Lane: "shop"})
	}()
	<-hold.arrived
	other := f.begin(Request{})
	eventually(t, "joining", func() bool { return f.inside() == 2 })
	cancel()
	wantResult(t, (<-given).Result, outcome.Unreachable, "it was given up")
	<-hold.arrived <- accept
	answer := <-other
	wantResult(t, answer.Result, outcome.Accepted, "HTTP 200")
	if answer.Shared {
		t.Error("the answer is shared")
	}
}

func TestWhoGivesUpWaitingEndsNoCall(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	maker := f.begin(Request{})
	call := <-hold.arrived
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan Answer, 1)
	go func() {
		given <- f.checker.Check(ctx, Request{Endpoint: f.at, Token: parse(t, goodToken), Lane: "shop"})
	}()
	eventually(t, "joining", func() bool { return f.inside() == 2 })
	cancel()
	wantResult(t, (<-given).Result, outcome.Unreachable, "it was given up")
	call <- accept
	wantResult(t, (<-maker).Result, outcome.Accepted, "HTTP 200")
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
		f.checker.Check(none, Request{Endpoint: f.at, Token: parse(t, goodToken)})
	}()
	if n := f.inside(); n != 0 {
		t.Errorf("%d are in calls", n)
	}
	f.wantCheck(outcome.Accepted, "HTTP 200")
}
