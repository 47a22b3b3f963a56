// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func (w *world) requestCheck(value string) {
	w.resource.Annotations[v1alpha1.AnnotationCheckRequestedAt] = value
	w.resource.ResourceVersion = w.nextVersion()
	w.happens()
}

func (w *world) setInterval(d time.Duration) { w.resource.Spec.CheckInterval.Duration = d }

// uids stand for many resources, so that every share of the jitter occurs.
func uids(n int) []types.UID {
	random := rand.New(rand.NewPCG(1, 2))
	var all []types.UID
	for range n {
		a, b := random.Uint64(), random.Uint64()
		uid := fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", a>>32, a&0xffff, a>>16&0xfff, b>>52, b<<16>>16)
		all = append(all, types.UID(uid))
	}
	return all
}

// promptest is the resource that tries a wrong password again the soonest.
func promptest(t *testing.T) types.UID {
	t.Helper()
	var uid types.UID
	least := h
	for _, candidate := range uids(100) {
		w := newWorld(t, sandbox)
		w.resource.UID = candidate
		w.writeSource("bad")
		w.run(20 * m)
		if next := w.resource.Status.NextCheckTime.Sub(start); next < least {
			uid, least = candidate, next
		}
	}
	return uid
}

// step takes the world to the next wake-up at which a check is made.
func (w *world) step() {
	w.t.Helper()
	for requests := len(w.requests); len(w.requests) == requests; {
		if w.wakeUp.IsZero() {
			w.t.Fatal("never wakes up again")
		}
		w.run(w.wakeUp.Sub(w.now) + time.Millisecond)
	}
}

const s, m, h = time.Second, time.Minute, time.Hour

func TestWaits(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence    string
		environment v1alpha1.Environment
		interval    time.Duration
		before      func(*world)
		waits       []time.Duration
		late        bool // never early, so that the attempts of a day are bounded
	}{
		{"an accepted credential is checked each interval", sandbox, 5 * m,
			delivered, []time.Duration{5 * m, 5 * m}, false},
		{"the shortest interval", sandbox, 30 * s, delivered, []time.Duration{30 * s, 30 * s}, false},
		{"the longest interval", sandbox, 24 * h, delivered, []time.Duration{24 * h, 24 * h}, false},
		{"no interval at all is the default", sandbox, 0, delivered, []time.Duration{5 * m, 5 * m}, false},
		{"a wrong password is tried less and less often", sandbox, 5 * m,
			func(w *world) { w.writeSource("bad") }, []time.Duration{5 * m, 10 * m, 20 * m, 40 * m, h, h, h}, true},
		{"a wrong password with the shortest interval", production, 30 * s,
			func(w *world) { w.writeSource("bad") }, []time.Duration{5 * m, 10 * m, 20 * m, 40 * m, h, h, h}, true},
		{"a wrong password with an interval between", production, 40 * m,
			func(w *world) { w.writeSource("bad") }, []time.Duration{40 * m, h, h}, true},
		{"a wrong password with the longest interval", production, 24 * h,
			func(w *world) { w.writeSource("bad") }, []time.Duration{24 * h, 24 * h}, true},
		{"a wrong password in the shared sandbox", shared, 30 * s,
			func(w *world) { w.writeSource("bad") }, []time.Duration{5 * m, 10 * m, 15 * m, 15 * m}, true},
		{"a reset of the shared sandbox", shared, 5 * m,
			func(w *world) { delivered(w); w.answer("good", outcome.Rejected); w.step(); w.step() },
			[]time.Duration{5 * m, 10 * m, 15 * m, 15 * m}, true},
		{"a revocation", sandbox, 5 * m,
			func(w *world) { delivered(w); w.answer("good", outcome.Rejected); w.step(); w.step() },
			[]time.Duration{5 * m, 10 * m, 20 * m, 40 * m, h, h}, true},
		{"an outage", sandbox, 5 * m,
			func(w *world) { delivered(w); w.goDown(sandboxURL, outcome.Unreachable); w.step() },
			[]time.Duration{10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 5 * m, 5 * m}, false},
		{"an outage with the shortest interval", sandbox, 30 * s,
			func(w *world) { delivered(w); w.goDown(sandboxURL, outcome.TLSFailure); w.step() },
			[]time.Duration{10 * s, 20 * s, 30 * s, 30 * s}, false},
		{"an outage with the longest interval", sandbox, 24 * h,
			func(w *world) { delivered(w); w.goDown(sandboxURL, outcome.Forbidden); w.step() },
			[]time.Duration{10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 5 * m, 5 * m}, false},
		{"an outage before the first acceptance", sandbox, 5 * m,
			func(w *world) { w.goDown(sandboxURL, outcome.UnexpectedResponse); w.writeSource("good") },
			[]time.Duration{10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 5 * m, 5 * m}, false},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			seen := map[time.Duration]bool{}
			for _, uid := range uids(8) {
				w := newWorld(t, row.environment)
				w.resource.UID = uid
				w.setInterval(row.interval)
				row.before(w)
				for i, want := range row.waits {
					got := w.next()
					seen[got] = true
					least, most := want/2-s, want // doubling what was shortened keeps it short
					switch {
					case row.late:
						least, most = want, want+want/10
					case i == 0 || want == row.waits[i-1]:
						least = want - want/10 - s
					}
					if got < least || got > most {
						t.Fatalf("%s waits %s before check %d, want %s to %s", uid, got, i+1, least, most)
					}
					w.step()
				}
			}
			if len(seen) <= len(row.waits) {
				t.Errorf("all resources wait equally long: %v", seen)
			}
		})
	}
}

func TestJitterPartsResourcesAndOutlivesRestarts(t *testing.T) {
	t.Parallel()
	waits := map[time.Duration]bool{}
	for _, uid := range uids(40) {
		w := newWorld(t, sandbox)
		w.resource.UID = uid
		delivered(w)
		first := w.next()
		waits[first] = true
		w.restart()
		if got := w.next(); got != first {
			t.Fatalf("%s waits %s after a restart, %s before", uid, got, first)
		}
		w.step()
		if got := w.next(); got != first {
			t.Fatalf("%s waits %s, and then %s", uid, first, got)
		}
	}
	if len(waits) < 15 {
		t.Errorf("40 resources share %d waits", len(waits))
	}
}

func TestAFirstRejectionIsConfirmedBeforeAnythingIsSaid(t *testing.T) {
	t.Parallel()
	for _, uid := range uids(40) {
		w := newWorld(t, sandbox)
		w.resource.UID = uid
		delivered(w)
		w.takeEvents()
		w.answer("good", outcome.UserInactive)
		before := w.conditions()
		w.step()
		last := w.requests[len(w.requests)-1].began
		if got := w.conditions(); got != before || len(w.takeEvents()) > 0 {
			t.Fatalf("a single rejection turned\n%+v into\n%+v", before, got)
		}
		record := w.record()
		if record.Verdict != v1alpha1.VerdictAccepted || record.ConsecutiveRejected != 1 || record.LastRejected != nil {
			t.Fatalf("the record is %+v", record)
		}
		w.step()
		if wait := w.requests[len(w.requests)-1].began.Sub(last); wait < 2*s || wait > 5*s {
			t.Fatalf("confirmed after %s, want 2s to 5s", wait)
		}
		w.expectReady("False/UserInactive")
		if record := w.record(); record.LastRejected == nil || record.ConsecutiveAccepted != 0 {
			t.Fatalf("the record is %+v", record)
		}
	}
}

func TestARejectionThatIsNotConfirmedIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.takeEvents()
	for range 5 {
		w.answer("good", outcome.Rejected)
		w.step()
		w.answer("good", outcome.Accepted)
		w.step()
		w.expectReady("True/Accepted")
		if got := w.record(); got.ConsecutiveRejected != 0 || got.LastRejected != nil || w.next() < 4*m {
			t.Fatalf("the record is %+v", got)
		}
	}
	if events := w.takeEvents(); len(events) > 0 {
		t.Errorf("came with the events %q", events)
	}
}

func TestAConfirmationWithoutEvidenceIsRepeated(t *testing.T) {
	t.Parallel()
	for _, o := range outcome.All() {
		if o.IsEvidence() || o == outcome.CAInvalid { // without its certificates, it is another endpoint
			continue
		}
		w := newWorld(t, sandbox)
		delivered(w)
		w.answer("good", outcome.Rejected)
		w.step()
		w.goDown(sandboxURL, o)
		w.run(5 * s)
		if ready := w.ready(); ready != "True/Accepted" || w.record().Verdict != v1alpha1.VerdictAccepted {
			t.Fatalf("%s made the verdict %s and Ready %s", o, w.record().Verdict, ready)
		}
		if wait := w.next(); wait > 10*s {
			t.Fatalf("%s is followed by a wait of %s", o, wait)
		}
		w.comeUp(sandboxURL)
		w.run(11 * s)
		w.expectReady("False/Revoked")
	}
}

func TestTheTraceOfABadNightIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared)
	revoked(w)
	rejected := w.record().LastRejected
	w.answer("good", outcome.Accepted)
	w.run(h)
	w.expectReady("True/Accepted")
	record := w.record()
	if record.LastRejected == nil || !record.LastRejected.Time.Equal(&rejected.Time) || record.ConsecutiveRejected != 0 {
		t.Errorf("the record is %+v", record)
	}
	if record.ConsecutiveAccepted != 2 {
		t.Errorf("counts %d acceptances", record.ConsecutiveAccepted)
	}
}

func TestRetryAfterIsHonouredUpToFiveMinutes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence    string
		before      func(*world)
		interval    time.Duration
		asked       time.Duration
		least, most time.Duration
	}{
		{"less than the wait changes nothing", delivered, 5 * m, s, 9 * s, 10 * s},
		{"more than the wait prolongs it", delivered, 5 * m, 2 * m, 2 * m, 2*m + s},
		{"more than the interval prolongs it", delivered, 30 * s, 2 * m, 2 * m, 2*m + s},
		{"more than five minutes is five minutes", delivered, 5 * m, h, 5 * m, 5*m + s},
		{"a fraction of a second does not shorten it", delivered, 5 * m, 90*s + 500*time.Millisecond, 90 * s, 92 * s},
		{"a rejected credential waits longer anyway",
			func(w *world) { w.writeSource("good") }, 5 * m, 2 * m, 5 * m, 12 * m},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			w := newWorld(t, sandbox)
			w.setInterval(row.interval)
			row.before(w)
			w.down[sandboxURL] = outcome.Result{Outcome: outcome.RateLimited, RetryAfter: row.asked}
			w.step()
			if got := w.next(); got < row.least || got > row.most {
				t.Errorf("waits %s, want %s to %s", got, row.least, row.most)
			}
		})
	}
}

func TestTheWakeUpIsTheNearerOfNextCheckAndStaleDeadline(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		interval, stale time.Duration
	}{{30 * s, 15 * m}, {5 * m, 15 * m}, {10 * m, 30 * m}, {24 * h, 72 * h}} {
		w := newWorld(t, sandbox)
		w.setInterval(row.interval)
		delivered(w)
		deadline := w.record().LastAcceptedTime.Add(row.stale)
		w.goDown(sandboxURL, outcome.Unavailable)
		w.run(deadline.Sub(w.now) - time.Millisecond)
		w.expectReady("True/Accepted")
		if w.wakeUp.After(deadline) {
			t.Fatalf("interval %s: wakes up at %s, after %s", row.interval, w.wakeUp, deadline)
		}
		w.run(2 * time.Millisecond)
		w.expectReady("True/Stale")
		if got := w.condition(v1alpha1.ConditionCredentialAccepted); got != "Unknown/Stale" {
			t.Errorf("interval %s: CredentialAccepted is %s", row.interval, got)
		}
	}
}

func TestASuspendedResourceSleepsUntilItIsStale(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.suspend(true)
	requests, accepted := len(w.requests), w.record().LastAcceptedTime
	if want := accepted.Add(15 * m); !w.wakeUp.Equal(want) {
		t.Errorf("wakes up at %s, want %s", w.wakeUp, want)
	}
	w.run(h)
	if !w.wakeUp.IsZero() || len(w.requests) != requests {
		t.Errorf("wakes up at %s, after %d requests", w.wakeUp, len(w.requests)-requests)
	}
	w.restart()
	w.writeSource("new")
	w.deleteTarget()
	w.requestCheck("now")
	if len(w.requests) != requests || w.target() != nil || w.resource.Status.LastHandledCheckRequest != "" {
		t.Error("did something while suspended")
	}
	w.answer("new", outcome.Accepted)
	w.suspend(false)
	w.expectReady("True/Accepted")
	if w.target().token != "new" || w.resource.Status.LastHandledCheckRequest != "now" {
		t.Errorf("resumed with %q, having handled %q", w.target().token, w.resource.Status.LastHandledCheckRequest)
	}
}

// day is what may happen on one.
type day struct {
	sentence string
	before   func(*world)
	// during is called every ten minutes.
	during func(*world, int)
}

func days() []day {
	bad := func(w *world) { w.writeSource("bad") }
	none := func(*world, int) {}
	return []day{
		{"a wrong password from the start", bad, none},
		{"a wrong password, and a restart every ten minutes", bad, func(w *world, _ int) { w.restart() }},
		{"a wrong password, and a source that is touched all the time", bad, func(w *world, _ int) { w.touchSource() }},
		{"a wrong password, and a target that is deleted all the time", func(w *world) {
			w.answer("bad", outcome.Accepted)
			w.writeSource("bad")
			w.answer("bad", outcome.Rejected)
		}, func(w *world, _ int) { w.deleteTarget() }},
		{"a wrong password that was right before", func(w *world) {
			w.answer("bad", outcome.Accepted)
			w.writeSource("bad")
			w.answer("bad", outcome.Rejected)
			w.requests = nil
		}, none},
		{"a wrong password of an inactive user", func(w *world) {
			w.answer("bad", outcome.UserInactive)
			w.writeSource("bad")
		}, none},
		{"a wrong password beside a deployed token that is good",
			func(w *world) { delivered(w); w.writeSource("bad") }, none},
		{"a wrong password, which is then said to be asked too often", func(w *world) {
			bad(w)
			w.goDown(sandboxURL, outcome.RateLimited)
		}, none},
		{"a wrong password, and an endpoint that is there half of the time", bad, func(w *world, n int) {
			if n%2 == 0 {
				w.goDown(sandboxURL, outcome.Forbidden)
			} else {
				w.comeUp(sandboxURL)
			}
		}},
		{"a wrong password, whose other form meets no evidence", func(w *world) {
			w.hook = func(p tokenAt) outcome.Outcome {
				if strings.HasSuffix(p.token, "\n") {
					return outcome.UnexpectedResponse
				}
				return ""
			}
			bad(w)
		}, none},
	}
}

func TestAWrongPasswordCostsFewRequestsADay(t *testing.T) {
	t.Parallel()
	uid := promptest(t)
	for n, day := range days() {
		for _, row := range []struct {
			environment v1alpha1.Environment
			interval    time.Duration
			least, most int
		}{
			{sandbox, 30 * s, 20, 30}, {sandbox, 5 * m, 20, 30}, {sandbox, 24 * h, 1, 30},
			{shared, 30 * s, 80, 100}, {shared, 5 * m, 80, 100}, {shared, 24 * h, 1, 100},
		} {
			if n > 0 && row.interval < m {
				continue // the wait after a rejection is none of the interval's then
			}
			t.Run(fmt.Sprintf("%s in %s each %s", day.sentence, row.environment, row.interval), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, row.environment)
				w.resource.UID = uid
				w.setInterval(row.interval)
				day.before(w)
				for n := range 24 * 6 {
					w.run(10 * m)
					day.during(w, n)
				}
				// What met no evidence before there was any against it costs nothing.
				sent := 0
				for _, r := range w.requests {
					if strings.HasPrefix(r.token, "bad") && (r.outcome.IsEvidence() || w.hook == nil) {
						sent++
					}
				}
				if sent > row.most {
					t.Errorf("%d requests in a day, want at most %d", sent, row.most)
				}
				if sent < row.least && w.hook == nil {
					t.Errorf("%d requests in a day, want at least %d", sent, row.least)
				}
			})
		}
	}
}

func TestARejectedCredentialIsTriedAtOnceWhenSomethingChanged(t *testing.T) {
	t.Parallel()
	latched := func(w *world) {
		w.writeSource("good")
		w.run(3 * h)
		w.expectReady("False/Rejected")
		w.answer("good", outcome.Accepted)
		w.run(m)
		w.expectReady("False/Rejected")
	}
	latchedLater := func(w *world) { revoked(w); w.run(3 * h); w.answer("good", outcome.Accepted); w.run(m) }
	for _, row := range []struct {
		sentence string
		before   func(*world)
		change   func(*world)
		ready    string
	}{
		{"other bytes", latched,
			func(w *world) { w.answer("new", outcome.Accepted); w.writeSource("new") }, "True/Accepted"},
		{"the endpoint", latched, func(w *world) { w.useEndpoint(gatewayURL) }, "True/Accepted"},
		{"a spec that asks for the same check is no change", latched, (*world).editTarget, "False/Rejected"},
		{"a check request", latched, func(w *world) { w.requestCheck("now") }, "True/Accepted"},
		{"bytes that were edited and taken back", latched,
			func(w *world) { w.writeSource("bad"); w.writeSource("good") }, "True/Accepted"},
		{"another name of the entry is no change", latched, func(w *world) {
			w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Credentials[0].Name = "other" })
		}, "False/Rejected"},
		{"a suspension is no change", latched, func(w *world) { w.suspend(true); w.suspend(false) }, "False/Rejected"},
		{"a suspension of another endpoint's is one", latched, func(w *world) {
			w.suspend(true)
			w.useEndpoint(gatewayURL)
			w.suspend(false)
		}, "True/Accepted"},
		{"a touched resourceVersion is no change", latched, func(w *world) { w.touchSource() }, "False/Rejected"},
		{"a restart is no change", latched, func(w *world) { w.restart() }, "False/Rejected"},

		{"other bytes, after an acceptance", latchedLater,
			func(w *world) { w.answer("new", outcome.Accepted); w.writeSource("new") }, "True/Accepted"},
		{"the endpoint, after an acceptance", latchedLater,
			func(w *world) { w.useEndpoint(gatewayURL) }, "True/Accepted"},
		{"a spec that asks for the same check is no change, after an acceptance", latchedLater, (*world).editTarget,
			"False/Revoked"},
		{"a check request, after an acceptance", latchedLater, func(w *world) { w.requestCheck("now") }, "True/Accepted"},
		{"bytes that were edited and taken back, after an acceptance", latchedLater,
			func(w *world) { w.writeSource("bad"); w.writeSource("good") }, "True/Accepted"},
		{"a source that was deleted and is back, after an acceptance", latchedLater,
			func(w *world) { w.deleteSource(); w.writeSource("good") }, "True/Accepted"},
		{"a suspension is no change, after an acceptance", latchedLater,
			func(w *world) { w.suspend(true); w.suspend(false) }, "False/Revoked"},
		{"a touched resourceVersion is no change, after an acceptance", latchedLater,
			func(w *world) { w.touchSource() }, "False/Revoked"},
		{"a restart is no change, after an acceptance", latchedLater, func(w *world) { w.restart() }, "False/Revoked"},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			w := newWorld(t, sandbox)
			row.before(w)
			row.change(w)
			w.expectReady(row.ready)
		})
	}
}

func TestWhoeverAsksForACheckStartsTheWaitsAnew(t *testing.T) {
	t.Parallel()
	for _, before := range []func(*world){func(w *world) { w.writeSource("good") }, revoked} {
		w := newWorld(t, sandbox)
		before(w)
		w.run(5 * h)
		if w.next() < 0 || w.resource.Status.NextCheckTime.Sub(w.record().LastCheckTime.Time) < h {
			t.Fatal("does not wait for long")
		}
		w.requestCheck("now")
		if got := w.next(); got < 5*m || got > 6*m {
			t.Errorf("waits %s", got)
		}
	}
}

func TestACheckRequestIsHandledOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	for _, value := range []string{
		"2026-01-02T03:04:05Z", "now", strings.Repeat("ä", 300), strings.Repeat("x", 250_000),
	} {
		requests := len(w.requests)
		w.requestCheck(value)
		if len(w.requests) != requests+1 {
			t.Fatalf("%.20q is answered by %d requests", value, len(w.requests)-requests)
		}
		want := string([]rune(value)[:min(len([]rune(value)), v1alpha1.MaxCheckRequestLength)])
		if got := w.resource.Status.LastHandledCheckRequest; got != want {
			t.Fatalf("%.20q is handled as %.20q", value, got)
		}
		w.happens()
		w.restart()
		if len(w.requests) != requests+1 {
			t.Fatalf("%.20q is handled again", value)
		}
	}
	delete(w.resource.Annotations, v1alpha1.AnnotationCheckRequestedAt)
	requests := len(w.requests)
	w.happens()
	if len(w.requests) != requests {
		t.Error("an annotation that was removed asks for a check")
	}
}

func TestACheckRequestIsAboutBothTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.writeSource("bad")
	good, bad := w.sent("good"), w.sent("bad", "bad\n")
	w.requestCheck("now")
	if w.sent("good") != good+1 || w.sent("bad", "bad\n") != bad+2 {
		t.Errorf("the deployed token was asked about %d times, the candidate's forms %d times",
			w.sent("good")-good, w.sent("bad", "bad\n")-bad)
	}
	if w.resource.Status.LastHandledCheckRequest != "now" {
		t.Error("the request was not handled")
	}
}

func TestTokenForms(t *testing.T) {
	t.Parallel()
	const newline = "good\n"
	forms := func(w *world) []string {
		var tokens []string
		for _, r := range w.requests {
			tokens = append(tokens, r.token)
		}
		w.requests = nil
		return tokens
	}
	for _, row := range []struct {
		sentence string
		history  func(*world)
		// sent are the last requests.
		sent []string
		form v1alpha1.TokenForm
	}{
		{"the standard form comes first", delivered, []string{"good"}, v1alpha1.TokenFormStandard},
		{"the other form comes next",
			func(w *world) {
				w.answer(newline, outcome.Accepted)
				w.writeSource("good")
				w.expectReady("True/Accepted")
			},
			[]string{"good", newline}, v1alpha1.TokenFormTrailingNewline},
		{"the accepted form is the only one from then on",
			func(w *world) { w.answer(newline, outcome.Accepted); w.writeSource("good"); forms(w); w.run(10 * m) },
			[]string{newline, newline}, v1alpha1.TokenFormTrailingNewline},
		{"the accepted form is remembered over a restart",
			func(w *world) {
				w.answer(newline, outcome.Accepted)
				w.writeSource("good")
				forms(w)
				w.restart()
				w.run(5 * m)
			},
			[]string{newline}, v1alpha1.TokenFormTrailingNewline},
		{"the accepted form alone is tried when it is rejected",
			func(w *world) {
				w.answer(newline, outcome.Accepted)
				w.writeSource("good")
				w.answer(newline, outcome.Rejected)
				forms(w)
				w.run(9 * m)
			},
			[]string{newline, newline}, v1alpha1.TokenFormTrailingNewline},
		{"a wrong password is tried in both forms once",
			func(w *world) { w.writeSource("good"); w.expectReady("False/Rejected") }, []string{"good", newline}, ""},
		{"a wrong password is then tried in one form",
			func(w *world) { w.writeSource("good"); forms(w); w.run(20 * m) }, []string{"good", "good"}, ""},
		{"a wrong password is tried in both forms on request",
			func(w *world) { w.writeSource("good"); forms(w); w.requestCheck("now") }, []string{"good", newline}, ""},
		{"a wrong password is tried in both forms after a change of the endpoint",
			func(w *world) { w.writeSource("good"); forms(w); w.useEndpoint(gatewayURL) },
			[]string{"good", newline}, ""},
		{"a wrong password is tried in both forms after a change of the source",
			func(w *world) { w.writeSource("bad"); forms(w); w.writeSource("good") }, []string{"good", newline}, ""},
		{"a rejected login is tried in both forms after an edit that was taken back",
			func(w *world) {
				revoked(w)
				w.answer(newline, outcome.Accepted)
				w.writeSource("bad")
				forms(w)
				w.writeSource("good")
				w.expectReady("True/Accepted")
			},
			[]string{"good", newline}, v1alpha1.TokenFormTrailingNewline},
		{"a wrong password is not tried in both forms after a touch of the source",
			func(w *world) { w.writeSource("good"); forms(w); w.touchSource(); w.run(6 * m) }, []string{"good"}, ""},
		{"both forms are tried on first sight, be it after an outage",
			func(w *world) {
				w.goDown(sandboxURL, outcome.Unavailable)
				w.writeSource("good")
				w.comeUp(sandboxURL)
				forms(w)
				w.run(11 * s)
			},
			[]string{"good", newline}, ""},
		{"a rejection that says more than Rejected needs no other form",
			func(w *world) {
				w.answer("good", outcome.UserInactive)
				w.writeSource("good")
				w.expectReady("False/UserInactive")
			},
			[]string{"good"}, ""},
		{"no evidence needs no other form",
			func(w *world) {
				w.answer("good", outcome.Forbidden)
				w.writeSource("good")
				w.expectReady("False/Forbidden")
			},
			[]string{"good"}, ""},
		{"the more telling rejection is reported",
			func(w *world) {
				w.answer(newline, outcome.AccountInactive)
				w.writeSource("good")
				w.expectReady("False/AccountInactive")
			},
			[]string{"good", newline}, ""},
		{"an API key has no forms",
			func(w *world) { w.writeSource("key"); w.expectReady("False/Rejected"); w.requestCheck("now") },
			[]string{"key", "key"}, ""},
		{"the deployed token stays in its form when a request finds that neither is accepted",
			func(w *world) {
				delivered(w)
				w.answer("good", outcome.Rejected)
				w.answer(newline, outcome.AccountInactive)
				forms(w)
				w.requestCheck("now")
				w.step()
				w.expectReady("False/Revoked")
			},
			[]string{"good", newline, "good"}, v1alpha1.TokenFormStandard},
		{"the API goes over to the other form, and a request finds out",
			func(w *world) {
				delivered(w)
				w.answer("good", outcome.Rejected)
				w.answer(newline, outcome.Accepted)
				forms(w)
				w.requestCheck("now")
				w.expectReady("True/Accepted")
				if w.target().token != newline {
					w.t.Errorf("the target holds %q", w.target().token)
				}
			},
			[]string{"good", newline}, v1alpha1.TokenFormTrailingNewline},
		{"the API goes back to the first form, and a request finds out",
			func(w *world) {
				w.answer(newline, outcome.Accepted)
				w.writeSource("good")
				w.answer(newline, outcome.Rejected)
				w.answer("good", outcome.Accepted)
				forms(w)
				w.requestCheck("now")
				w.expectTarget("good")
			},
			[]string{newline, "good"}, v1alpha1.TokenFormStandard},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			w := newWorld(t, sandbox)
			row.history(w)
			if got := forms(w); !slices.Equal(got, row.sent) {
				t.Errorf("sent %q, want %q", got, row.sent)
			}
			if row.form != "" && w.record().TokenForm != row.form {
				t.Errorf("the status has the form %q, want %q", w.record().TokenForm, row.form)
			}
		})
	}
}

func TestAFirstRejectionIsConfirmedAfterThreeToFiveSeconds(t *testing.T) {
	t.Parallel()
	waits := map[time.Duration]int{}
	for _, uid := range uids(64) {
		w := newWorld(t, sandbox)
		w.resource.UID = uid
		delivered(w)
		w.answer("good", outcome.Rejected)
		w.step()
		waits[w.record().NextCheckTime.Sub(w.record().LastCheckTime.Time)]++
	}
	if len(waits) != 3 || waits[3*s] == 0 || waits[4*s] == 0 || waits[5*s] == 0 {
		t.Errorf("resources for each wait: %v", waits)
	}
}

func TestAFormThatNeverMeetsEvidenceIsTriedThreeTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.answer("good\n", outcome.Forbidden)
	w.writeSource("good")
	w.run(24 * h)
	tries := map[string]int{}
	for _, sent := range w.requests {
		tries[sent.token]++
	}
	if tries["good\n"] != 3 || tries["good"] <= 3 {
		t.Errorf("requests for each form: %v", tries)
	}
}

func TestTheFormThatTheAPIRecognisedIsGoneOnWith(t *testing.T) {
	t.Parallel()
	for _, o := range []outcome.Outcome{outcome.UserInactive, outcome.AccountInactive} {
		w := newWorld(t, sandbox)
		w.answer("good\n", o)
		w.writeSource("good")
		w.expectReady("False/" + string(o))
		w.expectNoEventsFor(3 * h)
		w.answer("good\n", outcome.Accepted)
		w.run(70 * m)
		w.expectReady("True/Accepted")
	}
}

func TestAnOutageBetweenTwoFormsDoesNotLoseTheSecond(t *testing.T) {
	t.Parallel()
	for _, o := range outcome.All() {
		if o.IsEvidence() {
			continue
		}
		w := newWorld(t, sandbox)
		w.answer("good\n", o)
		w.writeSource("good")
		w.answer("good\n", outcome.Accepted)
		w.run(11 * s)
		w.expectReady("True/Accepted")
		if w.target().token != "good\n" {
			t.Errorf("the target holds %q", w.target().token)
		}
	}
}

func TestAFormThatCouldNotBeWrittenIsNotForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.answer("good", outcome.Rejected)
	w.answer("good\n", outcome.Accepted)
	w.refusal = decision.Target{Problem: v1alpha1.ReasonTargetWriteFailed, Detail: "Quota exceeded."}
	w.requestCheck("now")
	w.expectReady("False/TargetWriteFailed")
	w.happens()
	w.refusal = decision.Target{}
	w.happens()
	if w.target().token != "good\n" {
		t.Errorf("the target holds %q, with the status\n%s", w.target().token, w.dump())
	}
	w.expectReady("True/Accepted")
}

func TestOfTwoFormsTheMoreTellingResultIsReported(t *testing.T) {
	t.Parallel()
	for _, o := range outcome.All() {
		w := newWorld(t, sandbox)
		w.answer("good\n", o)
		w.writeSource("good")
		if got := w.record().Reason; got != string(o) {
			t.Errorf("beside Rejected, %s is reported as %s", o, got)
		}
	}
}

func TestTimesInStatusAreWholeSeconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.latency = 300 * time.Millisecond
	revoked(w)
	w.writeSource("bad")
	w.run(h)
	record, deployed := w.record(), w.resource.Status.Deployed
	for _, at := range []*metav1.Time{
		record.LastCheckTime, record.NextCheckTime, &record.LastRejected.Time, deployed.LastAcceptedTime,
		deployed.LastCheckTime, deployed.NextCheckTime, w.resource.Status.LastCheckTime, w.resource.Status.NextCheckTime,
	} {
		if at.Nanosecond() != 0 {
			t.Errorf("%s", at)
		}
	}
}

func TestRetryAfterIsNotCutShortByAFractionOfASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.down[sandboxURL] = outcome.Result{Outcome: outcome.RateLimited, RetryAfter: 60 * s}
	w.now = w.wakeUp.Add(300 * time.Millisecond)
	until := w.now.Add(60 * s)
	w.reconcile()
	if w.wakeUp.Before(until) || w.wakeUp.After(until.Add(s)) {
		t.Errorf("told to wait until %s, it comes at %s", until, w.wakeUp)
	}
}

func TestAStatusOfAClockThatRanAheadDoesNotStopTheChecks(t *testing.T) {
	t.Parallel()
	for _, isSameProcess := range []bool{false, true} {
		w := newWorld(t, sandbox)
		w.isSampled = true // since the transitions are yet to come
		w.now = start.Add(48 * h)
		delivered(w)
		if !isSameProcess {
			w.stop()
		}
		w.now = start
		requests := len(w.requests)
		w.happens()
		w.run(6 * m)
		if len(w.requests) == requests {
			t.Errorf("same process %t: nothing was checked, with the status\n%s", isSameProcess, w.dump())
		}
	}
}

func TestARejectionThatStandsForACheckIsNotAskedAgainBeforeItsTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.backoff = 40 * m
	w.writeSource("bad")
	if got := w.next(); got < 39*m || got > 41*m {
		t.Errorf("the next check is in %s", got)
	}
	delivered(w)
	w.answer("good", outcome.Rejected)
	w.step()
	if got := w.next(); got > 6*s {
		t.Errorf("a first rejection is confirmed in %s", got)
	}
}

func TestNothingIsSaidOfAShortWaitBeforeTheFirstCheck(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence string
		before   func(*world)
		wait     time.Duration
		isSilent bool
	}{
		{"a short wait of a new resource", func(*world) {}, 2 * s, true},
		{"a longer wait is said", func(*world) {}, 2*s + time.Millisecond, false},
		{"a resource that has a status keeps it up to date", func(w *world) { w.writeSource("bad") }, s, false},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			w := newWorld(t, sandbox)
			row.before(w)
			w.putOff = func(tokenAt) time.Duration { return row.wait }
			version := w.resource.ResourceVersion
			w.setSource("good")
			w.reconcile()
			if isSilent := w.resource.ResourceVersion == version; isSilent != row.isSilent {
				t.Errorf("silent: %t, with the status\n%s", isSilent, w.dump())
			}
			if got := w.wakeUp.Sub(w.now); got != row.wait {
				t.Errorf("waits %s, want %s", got, row.wait)
			}
			w.putOff = nil
			w.answer("good", outcome.Accepted)
			w.run(row.wait + time.Millisecond)
			w.expectReady("True/Accepted")
		})
	}
}
