// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestACallerThatComesBackWhenToldHasASlot(t *testing.T) {
	const callers, qps, burst = 400, 20, 40
	f := start(t)
	f.use(Options{QPS: qps, Burst: burst, Workers: 16})
	tokens := someTokens(t, callers)
	begin, asked := f.clock.Now(), make([]int, callers)
	f.simulate(callers, time.Hour, atOnce, func(who int) time.Time {
		asked[who]++
		answer := f.ask(check.Request{Token: tokens[who]})
		return answer.RetryAt
	})
	for who, times := range asked {
		if times > 2 {
			t.Errorf("caller %d had to ask %d times", who, times)
		}
	}
	if n := f.Requests(); n != callers+1 {
		t.Errorf("%d requests were made", n)
	}
	took, least := f.clock.Now().Sub(begin), time.Second*(callers+1-burst)/qps
	if took < least || took > least+time.Second {
		t.Errorf("it took %s, at %d a second after the first %d", took, qps, burst)
	}
}

func TestASingleCheckDoesNotWaitForAnotherNamespacesCrowd(t *testing.T) {
	const crowd = 5000
	f := start(t)
	f.use(Options{QPS: 20, Burst: 40, Workers: 16})
	tokens := someTokens(t, crowd)
	ask := func(who int) time.Time { return f.ask(check.Request{Token: tokens[who], Namespace: "crowd"}).RetryAt }
	f.simulate(crowd, time.Second, atOnce, ask)

	begin, requests := f.clock.Now(), f.Requests()
	var served check.Answer
	first := f.ask(check.Request{Namespace: "single"})
	if wait := first.RetryAt.Sub(begin); wait <= 0 || wait > 3*time.Second/20 {
		t.Fatalf("it is to wait for %s", wait)
	}
	f.simulate(crowd+1, time.Second, func(who int) time.Duration {
		if who == crowd {
			return first.RetryAt.Sub(begin)
		}
		return time.Duration(who) * time.Millisecond // the crowd comes earlier than it was told
	}, func(who int) time.Time {
		if who < crowd {
			return ask(who)
		}
		served = f.ask(check.Request{Namespace: "single"})
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
		answer := f.ask(check.Request{Token: token, Namespace: namespaces[i]})
		waits[namespaces[i]] = append(waits[namespaces[i]], answer.RetryAt.Sub(f.clock.Now()).Round(10*time.Millisecond))
	}
	// Those of b and c came later, and are served before some of a, who learn of it when they come back.
	var order []string
	tokens := someTokens(t, 9)
	f.simulate(9, time.Minute, func(who int) time.Duration {
		return waits[namespaces[who]][who-map[string]int{"a": 0, "b": 5, "c": 8}[namespaces[who]]]
	}, func(who int) time.Time {
		answer := f.ask(check.Request{Token: tokens[who], Namespace: namespaces[who]})
		if answer.RetryAt.IsZero() {
			order = append(order, namespaces[who])
		}
		return answer.RetryAt
	})
	if got := strings.Join(order, ""); got != "abcababaa" {
		t.Errorf("they were served in the order %s", got)
	}
}

func TestAnAwaitedCheckDoesNotWaitBehindTheOthersOfItsNamespace(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	f.passControl()
	tokens := someTokens(t, 31)
	for _, token := range tokens[:10] {
		f.ask(check.Request{Token: token, Namespace: "shop"})
	}
	for _, token := range tokens[10:30] {
		f.ask(check.Request{Token: token, Namespace: "crowd", IsAwaited: true})
	}
	// The namespace's routine checks, the crowd's new resources, and this one, are served in turn.
	wait := f.ask(check.Request{Token: tokens[30], Namespace: "shop", IsAwaited: true}).RetryAt.Sub(f.clock.Now())
	if wait > 3*time.Second+10*time.Millisecond {
		t.Errorf("it is to wait for %s", wait)
	}
}

// passControl spends the only slot on the control.
func (f *fixture) passControl() {
	f.t.Helper()
	if answer := f.ask(check.Request{}); answer.RetryAt.IsZero() {
		f.t.Fatalf("got %+v", answer)
	}
	f.wantRequests(1, 0)
	at, _ := f.checker.find(f.at)
	at.site.mu.Lock()
	defer at.site.mu.Unlock()
	at.site.bucket.clear() // there is still the ticket of the check
}

func TestAControlTakesASlotToo(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	answer := f.ask(check.Request{})
	f.wantRequests(1, 0)
	if wait := answer.RetryAt.Sub(f.clock.Now()); wait < time.Second || wait > time.Second+10*time.Millisecond {
		t.Fatalf("the check is to wait for %s", wait)
	}
	f.clock.SetTime(answer.RetryAt)
	wantResult(t, f.ask(check.Request{}).Result, outcome.Accepted, "HTTP 200")
}

func TestAControlTakesASlotOnCreditUnlessOneIsMissingAlready(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	f.Inject(jupicotest.Fault{Status: 403, Times: 2})
	for controls := 1; controls <= 2; controls++ {
		wantResult(t, f.ask(check.Request{}).Result, outcome.Forbidden, "HTTP 403 forbidden")
		f.wantRequests(controls, 0)
	}
	answer := f.ask(check.Request{})
	f.wantRequests(2, 0)
	if wait := answer.RetryAt.Sub(f.clock.Now()); wait < 2*time.Second {
		t.Errorf("the third is to wait for %s", wait)
	}
}

func TestEqualTokensShareATicket(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	f.passControl()
	first := f.ask(check.Request{Namespace: "n0"}).RetryAt
	for i := range 50 {
		if got := f.ask(check.Request{Namespace: fmt.Sprintf("n%d", i)}).RetryAt; !got.Equal(first) {
			t.Fatalf("caller %d is to come %s later", i, got.Sub(first))
		}
	}
	if next := f.ask(check.Request{Token: someTokens(t, 1)[0]}).RetryAt; next.After(first.Add(2 * time.Second)) {
		t.Errorf("another token is to wait %s longer", next.Sub(first))
	}
	if n := f.gauge("jupico_checks_waiting"); n != 2 {
		t.Errorf("%v tokens wait", n)
	}
}

func TestATicketMovesToTheFastestOfItsQueues(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	f.passControl()
	for _, token := range someTokens(t, 50) {
		f.ask(check.Request{Token: token, Namespace: "crowd"})
	}
	last := f.ask(check.Request{Namespace: "crowd"}).RetryAt
	if wait := last.Sub(f.clock.Now()); wait < 50*time.Second {
		t.Errorf("behind a crowd the wait is %s", wait)
	}
	for _, namespace := range []string{"single", "crowd"} {
		if wait := f.ask(check.Request{Namespace: namespace}).RetryAt.Sub(f.clock.Now()); wait > 3*time.Second {
			t.Errorf("in %s the wait is %s", namespace, wait)
		}
	}
}

func TestATicketExpiresWhenNobodyComesBackForIt(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 1, Workers: 16})
	f.passControl()
	f.advance(time.Second)
	f.check(f.at) // so that its acceptances are known
	for _, token := range someTokens(t, 100) {
		f.ask(check.Request{Token: token})
	}
	if n := f.gauge("jupico_checks_waiting"); n != 100 {
		t.Errorf("%v tokens wait", n)
	}
	f.advance(100*time.Second + ticketGrace + time.Second)
	if n := f.gauge("jupico_checks_waiting"); n != 0 {
		t.Errorf("%v tokens wait", n)
	}
	wantResult(t, f.ask(check.Request{}).Result, outcome.Accepted, "HTTP 200")
	at, _ := f.checker.find(f.at)
	at.site.bucket.dropExpired(f.clock.Now())
	if n := len(at.site.bucket.tickets) + len(at.site.bucket.queues); n != 0 {
		t.Errorf("%d things are kept", n)
	}
}

func TestAHangingEndpointHoldsHalfOfTheWorkersAndNoOtherEndpoint(t *testing.T) {
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
	if f.allowed, err = endpoint.NewAllowList(f.at.URL, f.at.URL+"/other"); err != nil {
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
			received, held, calls := f.Requests(), workers/2, 1 // all wait for the control
			if isControlled {
				calls = held
			}
			answers := make(chan check.Answer, workers)
			for _, token := range someTokens(t, workers) {
				go func() { answers <- f.ask(check.Request{Token: token}) }()
			}
			for range workers - held {
				answer := <-answers
				if wait := answer.RetryAt.Sub(f.clock.Now()); wait <= 0 || wait > time.Second {
					t.Errorf("got %+v, to wait for %s", answer, wait)
				}
			}
			if n := f.inFlight(); n != held {
				t.Errorf("%d are in flight", n)
			}
			other := f.ask(check.Request{Endpoint: endpoint.Endpoint{URL: f.at.URL + "/other", CA: f.at.CA}})
			wantResult(t, other.Result, outcome.Accepted, "HTTP 200")
			select {
			case answer := <-answers:
				t.Errorf("got %+v", answer)
			default:
			}
			eventually(t, "calling", func() bool { return f.Requests() == received+calls })
			f.Inject(jupicotest.Fault{ResetConnection: true}) // for those that are repeated
			f.server.CloseClientConnections()
			for range held {
				wantResult(t, (<-answers).Result, outcome.Unreachable, "the connection broke before an answer came")
			}
			if n := f.inFlight(); n != 0 {
				t.Errorf("%d are in flight after all calls ended", n)
			}
		})
	}
}

func TestARequestThatIsRepeatedTakesTwoSlots(t *testing.T) {
	var requests atomic.Int32
	f := start(t, func(api http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) == 2 { // the first after the control, and on its connection
				panic(http.ErrAbortHandler)
			}
			api.ServeHTTP(w, r)
		})
	})
	f.use(Options{QPS: 1, Burst: 3, Workers: 4})
	f.wantCheck(outcome.Accepted, "HTTP 200")
	answer := f.ask(check.Request{Token: someTokens(t, 1)[0]})
	if wait := answer.RetryAt.Sub(f.clock.Now()); wait < 999*time.Millisecond {
		t.Errorf("got %+v, to wait for %s", answer, wait)
	}
}

func TestOneWorkerIsEnough(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1000, Burst: 1000, Workers: 1})
	f.wantCheck(outcome.Accepted, "HTTP 200")
}

func TestACallerWithoutAPlaceComesBackTheLessOftenTheSlowerTheCallIs(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	f.use(Options{QPS: 1000, Burst: 1000, Workers: 2})
	sender := f.begin(check.Request{})
	call := <-hold.arrived
	began := f.clock.Now()
	for _, age := range []time.Duration{0, time.Second, 4 * time.Second} {
		f.clock.SetTime(began.Add(age))
		if wait := f.ask(check.Request{}).RetryAt.Sub(f.clock.Now()); wait != shortestCall+age {
			t.Errorf("beside a call of %s, the wait is %s", age, wait)
		}
	}
	urgent := f.begin(check.Request{Urgent: true})
	eventually(t, "joining", func() bool { return f.inFlight() == 2 })
	call <- accept
	for _, answer := range []<-chan check.Answer{sender, urgent} {
		wantResult(t, (<-answer).Result, outcome.Accepted, "HTTP 200")
	}
}

// onlyBucket makes a bucket, and a clock for its callers.
func onlyBucket(t *testing.T, options Options) (*bucket, *fixture) {
	b := newBucket(options)
	return &b, &fixture{t: t, clock: clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
}

func numbered(i int) identity { return identity{1, byte(i), byte(i >> 8)} }

// crowd is how callers were served who all come at once.
type crowd struct {
	asked int           // how often, all together
	order []int         // in which they were served
	took  time.Duration // until the last call ended
}

// serve simulates a crowd, each in the namespace that is given for it, at an endpoint whose calls take some time.
func serve(t *testing.T, options Options, n int, takes time.Duration, namespace func(who int) string) crowd {
	b, f := onlyBucket(t, options)
	var c crowd
	begin, until := f.clock.Now(), make([]time.Time, n) // when the call of a caller ends
	f.simulate(n, 24*time.Hour, atOnce, func(who int) time.Time {
		now := f.clock.Now()
		if !until[who].IsZero() {
			b.leave(until[who].Add(-takes))
			return time.Time{}
		}
		c.asked++
		if retryAt, ok := b.take(numbered(who), namespace(who), now); !ok {
			return retryAt
		}
		b.enter(now)
		if n := len(b.inFlight); n > options.Workers/workersPerPlace {
			t.Fatalf("%d are in flight", n)
		}
		c.order = append(c.order, who)
		until[who] = now.Add(takes)
		return until[who]
	})
	c.took = f.clock.Now().Sub(begin)
	if len(c.order) != n {
		t.Fatalf("%d were served", len(c.order))
	}
	return c
}

func TestASlowEndpointServesACrowdInTurnWithoutMuchPolling(t *testing.T) {
	const callers, workers, takes = 2000, 128, 6 * time.Second
	c := serve(t, Options{QPS: 20, Burst: 40, Workers: workers}, callers, takes, func(who int) string {
		if who == callers-1 {
			return "single"
		}
		return "crowd"
	})
	least := callers * workersPerPlace / workers * takes
	t.Logf("%d callers asked %d times, and all were served in %s, of %s at least", callers, c.asked, c.took, least)
	if c.asked > 10*callers {
		t.Errorf("they asked %d times", c.asked)
	}
	if c.took > least*12/10 {
		t.Errorf("it took %s", c.took)
	}
	if place := slices.Index(c.order, callers-1); place > 40+2*workers {
		t.Errorf("the other namespace's single one was served in place %d", place)
	}
}

func TestAFastEndpointServesACrowdWithoutLosingTime(t *testing.T) {
	for _, takes := range []time.Duration{time.Millisecond, 10 * time.Millisecond} {
		const callers, workers = 1000, 128
		c := serve(t, Options{QPS: 5000, Burst: 5000, Workers: workers}, callers, takes, func(who int) string {
			return fmt.Sprint(who % 10)
		})
		least := callers * workersPerPlace / workers * takes
		t.Logf("%d callers asked %d times, and all were served in %s, of %s at least", callers, c.asked, c.took, least)
		if c.took > 3*least || c.asked > 10*callers {
			t.Errorf("calls of %s: it took %s, and they asked %d times", takes, c.took, c.asked)
		}
	}
}

func TestNoMoreIsSentThanTheBucketHolds(t *testing.T) {
	const qps, burst, crowd = 10, 5, 40
	b, f := onlyBucket(t, Options{QPS: qps, Burst: burst, Workers: 1000})
	random := rand.New(rand.NewPCG(1, 2))
	var sent []time.Time
	f.simulate(crowd, time.Hour, atOnce, func(who int) time.Time {
		now := f.clock.Now()
		retryAt, ok := b.take(numbered(who), fmt.Sprint(who%3), now)
		if ok {
			sent = append(sent, now)
			retryAt = now
		}
		if random.IntN(100) == 0 {
			retryAt = now.Add(time.Duration(random.IntN(30)) * time.Second) // early, or too late
		}
		return retryAt.Add(time.Duration(1 + random.IntN(1000))) // nobody is quite on time
	})
	for i := range sent {
		j := i + int(burst)
		if j < len(sent) && sent[j].Sub(sent[i]) < time.Second/qps-time.Microsecond {
			t.Fatalf("%d requests were sent within %s", burst+1, sent[j].Sub(sent[i]))
		}
	}
	if least := 3600 * qps * 9 / 10; len(sent) < least {
		t.Errorf("only %d of %d requests were sent", len(sent), 3600*qps)
	}
}

func TestCallersThatLeftTheQueuesHoldNobodyUpForLong(t *testing.T) {
	b, f := onlyBucket(t, Options{QPS: 20, Burst: 40, Workers: 16})
	for who := range 6000 {
		b.take(numbered(who), "crowd", f.clock.Now())
	}
	begin := f.clock.Now()
	f.simulate(1, time.Hour, func(int) time.Duration { return time.Second }, func(int) time.Time {
		retryAt, _ := b.take(identity{2}, "crowd", f.clock.Now())
		return retryAt
	})
	if took := f.clock.Now().Sub(begin); took > 2*longestWait+ticketGrace {
		t.Errorf("the last one of a queue that all others left was served after %s", took)
	}
}

func TestALongQueueIsServedInTimeByCallersWhoComeBackWithinAMinute(t *testing.T) {
	const crowd = 6000
	b, f := onlyBucket(t, Options{QPS: 20, Burst: 40, Workers: 16})
	begin, asked := f.clock.Now(), 0
	f.simulate(crowd, time.Hour, atOnce, func(who int) time.Time {
		asked++
		retryAt, _ := b.take(numbered(who), "crowd", f.clock.Now())
		if !retryAt.IsZero() && retryAt.Sub(f.clock.Now()) > longestWait {
			t.Fatalf("caller %d is to wait %s", who, retryAt.Sub(f.clock.Now()))
		}
		return retryAt
	})
	took, least := f.clock.Now().Sub(begin), time.Second*(crowd-40)/20
	if took < least || took > least+time.Second || asked > 6*crowd {
		t.Errorf("%d callers asked %d times, and were served in %s, of %s at least", crowd, asked, took, least)
	}
}

func TestAnUrgentCallerTakesASlotOnCredit(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 2, Workers: 16})
	tokens := someTokens(t, 4)
	f.ask(check.Request{Token: tokens[0]}) // together with the control, it takes all slots
	if answer := f.ask(check.Request{Token: tokens[1]}); answer.RetryAt.IsZero() {
		t.Fatal("there was a slot left")
	}
	requests := f.Requests()
	answer := f.ask(check.Request{Token: tokens[2], Urgent: true})
	if !answer.RetryAt.IsZero() || answer.Shared || f.Requests() != requests+1 {
		t.Fatalf("it was answered %+v, with %d requests", answer, f.Requests()-requests)
	}
	wait := f.ask(check.Request{Token: tokens[3]}).RetryAt.Sub(f.clock.Now())
	if wait < 3*time.Second || wait > 4*time.Second {
		t.Errorf("who comes after it and another waits %s, though a slot is missing", wait)
	}
}
