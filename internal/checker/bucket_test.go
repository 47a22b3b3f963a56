// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestWhoComesBackWhenToldHasASlot(t *testing.T) {
	const askers, qps, burst = 400, 20, 40
	f := start(t)
	f.use(Options{QPS: qps, Burst: burst, Workers: 16})
	tokens := someTokens(t, askers)
	begin, asked := f.clock.Now(), make([]int, askers)
	f.simulate(askers, time.Hour, atOnce, func(who int) time.Time {
		asked[who]++
		answer := f.ask(Request{Token: tokens[who]})
		return answer.RetryAt
	})
	for who, times := range asked {
		if times > 2 {
			t.Errorf("asker %d had to ask %d times", who, times)
		}
	}
	if n := f.Requests(); n != askers+1 {
		t.Errorf("%d requests were made", n)
	}
	took, least := f.clock.Now().Sub(begin), time.Second*(askers+1-burst)/qps
	if took < least || took > least+time.Second {
		t.Errorf("it took %s, at %d a second after the first %d", took, qps, burst)
	}
}

func TestASingleCheckDoesNotWaitForAnotherNamespacesCrowd(t *testing.T) {
	const crowd = 5000
	f := start(t)
	f.use(Options{QPS: 20, Burst: 40, Workers: 16})
	tokens := someTokens(t, crowd)
	ask := func(who int) time.Time { return f.ask(Request{Token: tokens[who], Lane: "crowd"}).RetryAt }
	f.simulate(crowd, time.Second, atOnce, ask)

	begin, requests := f.clock.Now(), f.Requests()
	var served Answer
	first := f.ask(Request{Lane: "single"})
	if wait := first.RetryAt.Sub(begin); wait <= 0 || wait > 3*time.Second/20 {
		t.Fatalf("it is to wait for %s", wait)
	}
	f.simulate(crowd+1, time.Second, func(who int) time.Duration {
		if who == crowd {
			return first.RetryAt.Sub(begin)
		}
		return time.Duration(who) * time.Millisecond // the crowd pushes
	}, func(who int) time.Time {
		if who < crowd {
			return ask(who)
		}
		served = f.ask(Request{Lane: "single"})
		if n := f.Requests() - requests; n > 4 {
			t.Errorf("it was served with %d others before it", n)
		}
		return served.RetryAt
	})
	wantResult(t, served.Result, outcome.Accepted, "HTTP 200")
	if wait := served.Began.Sub(begin); wait > 3*time.Second/20 {
		t.Errorf("it waited for %s", wait)
	}
}

func TestNamespacesAreServedInTurn(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 10, Burst: 1, Workers: 16})
	f.passControl()
	namespaces := map[int]string{}
	waits := map[string][]time.Duration{}
	for i, token := range someTokens(t, 9) {
		namespaces[i] = []string{"a", "a", "a", "a", "a", "b", "b", "b", "c"}[i]
		answer := f.ask(Request{Token: token, Lane: namespaces[i]})
		waits[namespaces[i]] = append(waits[namespaces[i]], answer.RetryAt.Sub(f.clock.Now()).Round(10*time.Millisecond))
	}
	// Those of b and c came later and pushed a's back, whose next look tells them.
	var order []string
	tokens := someTokens(t, 9)
	f.simulate(9, time.Minute, func(who int) time.Duration {
		return waits[namespaces[who]][who-map[string]int{"a": 0, "b": 5, "c": 8}[namespaces[who]]]
	}, func(who int) time.Time {
		answer := f.ask(Request{Token: tokens[who], Lane: namespaces[who]})
		if answer.RetryAt.IsZero() {
			order = append(order, namespaces[who])
		}
		return answer.RetryAt
	})
	if got := strings.Join(order, ""); got != "abcababaa" {
		t.Errorf("they were served in the order %s", got)
	}
}

// passControl spends a bucket of one on the control.
func (f *fixture) passControl() {
	f.t.Helper()
	if answer := f.ask(Request{}); answer.RetryAt.IsZero() {
		f.t.Fatalf("got %+v", answer)
	}
	f.wantRequests(1, 0)
	at, _ := f.checker.endpoint(f.at)
	at.mu.Lock()
	defer at.mu.Unlock()
	at.bucket.clear() // of the ticket that it left
}

func TestAControlTakesASlotToo(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	answer := f.ask(Request{})
	f.wantRequests(1, 0)
	if wait := answer.RetryAt.Sub(f.clock.Now()); wait < time.Second || wait > time.Second+10*time.Millisecond {
		t.Fatalf("the check is to wait for %s", wait)
	}
	f.clock.SetTime(answer.RetryAt)
	wantResult(t, f.ask(Request{}).Result, outcome.Accepted, "HTTP 200")
}

func TestAllWhoNeedTheControlWaitForOneSlot(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	f.Inject(jupicotest.Fault{Status: 403, Times: 1})
	f.ask(Request{})
	f.wantRequests(1, 0)
	var last Answer
	for i, token := range someTokens(t, 5) {
		last = f.ask(Request{Token: token, Lane: fmt.Sprintf("n%d", i)})
	}
	if n := f.gauge("jupico_checks_waiting"); n != 1 {
		t.Errorf("%v tokens wait", n)
	}
	f.clock.SetTime(last.RetryAt)
	f.ask(Request{})
	f.wantRequests(2, 0)
	if isFirst, retryAt := f.checker.Contact(f.at); isFirst || !retryAt.IsZero() {
		t.Error("the control was not made")
	}
}

func TestEqualTokensShareATicket(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	f.passControl()
	first := f.ask(Request{Lane: "n0"}).RetryAt
	for i := range 50 {
		if got := f.ask(Request{Lane: fmt.Sprintf("n%d", i)}).RetryAt; !got.Equal(first) {
			t.Fatalf("asker %d is to come %s later", i, got.Sub(first))
		}
	}
	if next := f.ask(Request{Token: someTokens(t, 1)[0]}).RetryAt; next.After(first.Add(2 * time.Second)) {
		t.Errorf("another token is to wait %s longer", next.Sub(first))
	}
	if n := f.gauge("jupico_checks_waiting"); n != 2 {
		t.Errorf("%v tokens wait", n)
	}
}

func TestATicketMovesToTheFastestOfItsLanes(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	f.passControl()
	for _, token := range someTokens(t, 100) {
		f.ask(Request{Token: token, Lane: "crowd"})
	}
	last := f.ask(Request{Lane: "crowd"}).RetryAt
	if wait := last.Sub(f.clock.Now()); wait < 100*time.Second {
		t.Errorf("behind a crowd the wait is %s", wait)
	}
	for _, namespace := range []string{"single", "crowd"} {
		if wait := f.ask(Request{Lane: namespace}).RetryAt.Sub(f.clock.Now()); wait > 3*time.Second {
			t.Errorf("in %s the wait is %s", namespace, wait)
		}
	}
}

func TestATicketThatNobodyComesForExpires(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	f.passControl()
	for _, token := range someTokens(t, 100) {
		f.ask(Request{Token: token})
	}
	if n := f.gauge("jupico_checks_waiting"); n != 100 {
		t.Errorf("%v tokens wait", n)
	}
	f.advance(100*time.Second + ticketGrace + time.Second)
	if n := f.gauge("jupico_checks_waiting"); n != 0 {
		t.Errorf("%v tokens wait", n)
	}
	// One slot was dealt to nobody at the most, since nobody asked.
	wantResult(t, f.ask(Request{}).Result, outcome.Accepted, "HTTP 200")
	at, _ := f.checker.endpoint(f.at)
	if n := len(at.bucket.tickets) + len(at.bucket.lanes) + len(at.bucket.granted); n != 0 {
		t.Errorf("%d things are kept", n)
	}
}

func TestASlotThatNobodyComesForIsLostAfterAWhile(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 4}) // two slots are dealt in advance where calls take long
	f.passControl()
	at, _ := f.checker.endpoint(f.at)
	at.room.pace = time.Second
	tokens := someTokens(t, 3)
	for _, token := range tokens[:2] {
		f.ask(Request{Token: token})
	}
	// Both come into their slots while the third asks, and stay away.
	var last Answer
	for range 3 {
		f.advance(time.Second)
		last = f.ask(Request{Token: tokens[2]})
	}
	if last.RetryAt.IsZero() {
		t.Fatal("slots were not kept for those who were told to come")
	}
	f.advance(ticketGrace + time.Second)
	if last = f.ask(Request{Token: tokens[2]}); !last.RetryAt.IsZero() {
		t.Errorf("it is to wait for another %s", last.RetryAt.Sub(f.clock.Now()))
	}
}

func TestASlotThatIsDealtEarlyIsKeptUntilItsHolderWasToldToCome(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b, r := newBucket(100, 10), newRoom(4, time.Minute) // room for one, and so two may have slots
	r.observe(20 * time.Second)
	r.inside = 2
	told, _ := b.take(identity{1}, "", &r, now)
	if told.Sub(now) < 2*ticketGrace {
		t.Fatalf("it is to come in %s", told.Sub(now))
	}
	r.inside, r.pace = 0, 20*time.Millisecond // the endpoint has recovered
	b.deal(&r, now)
	if _, isTaken := b.take(identity{2}, "", &r, told); !isTaken || len(b.granted) != 1 {
		t.Errorf("another was served: %t, and %d slots are kept", isTaken, len(b.granted))
	}
}

func TestThoseWhoStayedAwayAndThoseWhoComeAreNoMoreThanABurst(t *testing.T) {
	const burst = 10
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b, r := newBucket(10, burst), newRoom(400, 10*time.Second)
	r.observe(20 * time.Millisecond)
	served := 0
	come := func(from, to int) {
		for i := from; i < to; i++ {
			if _, isTaken := b.take(identity{byte(i)}, "", &r, now); isTaken {
				served++
			}
		}
	}
	come(0, 100)
	for range 4 { // slots are dealt to those who were told to come, and stay away
		now = now.Add(time.Second)
		b.deal(&r, now)
	}
	served = 0
	come(0, 200)
	if served != burst {
		t.Errorf("%d came at once, and the bucket holds %d", served, burst)
	}
}

func TestWhoComesFindsRoomAtAQuickEndpointAndWaitsItsTurnAtASlowOne(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for takes, isServed := range map[time.Duration]bool{20 * time.Millisecond: true, 5 * time.Second: false} {
		b, r := newBucket(1000, 1000), newRoom(4, 10*time.Second)
		r.observe(takes)
		r.inside = r.size(now)
		for i := range byte(10) {
			if _, ok := b.take(identity{i}, "crowd", &r, now); ok {
				t.Fatal("there was no room")
			}
		}
		r.inside = 0
		if _, ok := b.take(identity{10}, "crowd", &r, now); ok != isServed {
			t.Errorf("calls take %s, and who comes before those that wait is served: %t", takes, ok)
		}
	}
}

func TestAHangingEndpointHoldsAPartOfTheWorkersAndNoOtherEndpoint(t *testing.T) {
	const workers = 16
	healthy := jupicotest.New()
	healthy.AddKey(goodToken)
	f := start(t, func(emulator http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/other/", http.StripPrefix("/other", healthy))
		mux.Handle("/", emulator)
		return mux
	})
	var err error
	if f.allowed, err = jupico.NewAllowList(f.at.URL, f.at.URL+"/other"); err != nil {
		t.Fatal(err)
	}
	for _, isControlled := range []bool{false, true} {
		t.Run(fmt.Sprintf("controlled %t", isControlled), func(t *testing.T) {
			f.use(Options{QPS: 1000, Burst: 1000, Workers: workers})
			f.Clear()
			if isControlled {
				f.check(f.at)
			}
			f.Inject(jupicotest.Fault{Hang: true})
			received, held, calls := f.Requests(), workers/4, 1 // a control, which all wait for
			if isControlled {                                   // and known to be quick, until this moment
				held = workers * 3 / 4
				calls = held
			}
			answers := make(chan Answer, workers)
			for _, token := range someTokens(t, workers) {
				go func() { answers <- f.ask(Request{Token: token}) }()
			}
			times := map[time.Time]bool{}
			for range workers - held {
				answer := <-answers
				times[answer.RetryAt] = true
				wait := answer.RetryAt.Sub(f.clock.Now())
				if wait < 50*time.Millisecond || wait > f.config.Timeout {
					t.Errorf("got %+v, to wait for %s", answer, wait)
				}
			}
			if n := f.inside(); n != held {
				t.Errorf("%d are in calls", n)
			}
			if len(times) < (workers-held)*2/3 {
				t.Errorf("they are to come back at %d times", len(times))
			}
			other := f.ask(Request{Endpoint: Endpoint{URL: f.at.URL + "/other", CA: f.at.CA}})
			wantResult(t, other.Result, outcome.Accepted, "HTTP 200")
			select {
			case answer := <-answers:
				t.Errorf("got %+v", answer)
			default:
			}
			eventually(t, "calling", func() bool { return f.Requests() == received+calls })
			f.server.CloseClientConnections()
			for range held {
				wantResult(t, (<-answers).Result, outcome.Unreachable, "the connection broke before an answer came")
			}
			if n := f.inside(); n != 0 {
				t.Errorf("%d are in calls that ended", n)
			}
		})
	}
}

func TestOnlyAnEndpointWhoseCallsAreQuickHasMoreThanAQuarterOfTheWorkers(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := newRoom(64, 10*time.Second)
	want := func(size int, when string) {
		t.Helper()
		if got := r.size(now); got != size {
			t.Errorf("%s there is room for %d, not %d", when, got, size)
		}
	}
	want(16, "before the first answer")
	r.observe(20 * time.Millisecond)
	want(48, "after a quick answer")
	hanging := &call{began: now}
	r.calls[hanging] = true
	now = now.Add(quickCall)
	want(48, "while a call is under way")
	now = now.Add(time.Millisecond)
	want(16, "when a call hangs")
	delete(r.calls, hanging)
	r.observe(2 * time.Second)
	want(16, "after calls became slow")
	r = newRoom(2, 10*time.Second)
	r.observe(20 * time.Millisecond)
	want(1, "with two workers")
}

func TestOneWorkerIsEnough(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1000, Burst: 1000, Workers: 1})
	f.wantCheck(outcome.Accepted, "HTTP 200")
}

// TestThoseWithoutRoomDoNotPoll: a slow endpoint serves a crowd in turn, and nobody asks much more often than needed.
func TestThoseWithoutRoomDoNotPoll(t *testing.T) {
	const askers, size, takes = 2000, 4, 2 * time.Second
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b, r := newBucket(20, 40), newRoom(4*size, 10*time.Second)
	r.observe(takes)
	begin, end := now, now
	asked, order := 0, []int{}
	f := &fixture{t: t}
	f.clock = clocktesting.NewFakePassiveClock(now)
	until := make([]time.Time, askers) // of a call
	f.simulate(askers, 24*time.Hour, atOnce, func(who int) time.Time {
		now := f.clock.Now()
		if !until[who].IsZero() {
			r.inside--
			end = now
			return time.Time{}
		}
		asked++
		namespace := "crowd"
		if who == askers-1 {
			namespace = "single"
		}
		if retryAt, ok := b.take(identity{byte(who), byte(who >> 8)}, namespace, &r, now); !ok {
			return retryAt
		}
		if r.isFull(now) {
			t.Fatal("there is no room")
		}
		r.inside++
		order = append(order, who)
		until[who] = now.Add(takes)
		return until[who]
	})
	if len(order) != askers {
		t.Fatalf("%d were served", len(order))
	}
	least := askers / size * takes
	t.Logf("%d askers asked %d times, and all were served in %s, of %s at least", askers, asked, end.Sub(begin), least)
	if asked > 25*askers {
		t.Errorf("they asked %d times", asked)
	}
	if took := end.Sub(begin); took > least*12/10 {
		t.Errorf("it took %s", took)
	}
	for place, who := range order {
		if who == askers-1 && place > 40+4*size {
			t.Errorf("the other namespace's single one was served in place %d", place)
		}
	}
}

func TestWhoCannotBeDeferredTakesASlotOnCredit(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 2, Workers: 16})
	tokens := someTokens(t, 4)
	f.ask(Request{Token: tokens[0]}) // with the control, that is all there is
	if answer := f.ask(Request{Token: tokens[1]}); answer.RetryAt.IsZero() {
		t.Fatal("there was a slot left")
	}
	requests := f.Requests()
	answer := f.ask(Request{Token: tokens[2], Urgent: true})
	if !answer.RetryAt.IsZero() || answer.Shared || f.Requests() != requests+1 {
		t.Fatalf("it was answered %+v, with %d requests", answer, f.Requests()-requests)
	}
	wait := f.ask(Request{Token: tokens[3]}).RetryAt.Sub(f.clock.Now())
	if wait < 3*time.Second || wait > 4*time.Second {
		t.Errorf("who comes after it and another waits %s, though a slot is missing", wait)
	}
}
