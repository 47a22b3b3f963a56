// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// waits is the table of rule 4 and rule 5: the longest wait until the next check, by state.
type waits struct {
	sentence    string
	environment v1alpha1.Environment
	interval    time.Duration
	history     func(*world)
	longest     time.Duration // without jitter, which makes the waits after rejections up to a tenth longer
	isRejected  bool
	passes      bool // with the next check
	// then is what Ready is after that wait, if it matters.
	then string
}

const tenYears = 10 * 365 * 24 * h

func longestWaits() []waits {
	isDown := func(w *world) { w.goDown(sandboxURL, outcome.Unavailable) }
	return []waits{
		{"accepted", sandbox, 5 * m, delivered, 5 * m, false, false, "True/Accepted"},
		{"accepted, with the shortest interval", sandbox, 30 * s, delivered, 30 * s, false, false, "True/Accepted"},
		{"accepted, with the longest interval", sandbox, 24 * h, delivered, 24 * h, false, false, "True/Accepted"},
		{"rejected", production, 5 * m, func(w *world) { w.writeSource("bad"); w.run(5 * h) }, h, true, false, "False/Rejected"},
		{"rejected just now", production, 5 * m, func(w *world) { w.writeSource("bad") }, h, true, false, "False/Rejected"},
		{"rejected, with the longest interval", production, 24 * h,
			func(w *world) { w.writeSource("bad") }, 24 * h, true, false, "False/Rejected"},
		{"rejected in the shared sandbox", shared, 5 * m,
			func(w *world) { w.writeSource("bad"); w.run(5 * h) }, 15 * m, true, false, "False/Rejected"},
		{"revoked", sandbox, 5 * m, func(w *world) { revoked(w); w.run(5 * h) }, h, true, false, "False/Revoked"},
		{"rejected once, and not confirmed yet", sandbox, 5 * m,
			func(w *world) { delivered(w); w.answer("good", outcome.Rejected); w.step() }, 5 * m, false, true, "False/Revoked"},
		{"transient", sandbox, 5 * m, func(w *world) { delivered(w); isDown(w); w.step() }, 5 * m, false, false, ""},
		{"transient, with the longest interval", sandbox, 24 * h,
			func(w *world) { delivered(w); isDown(w); w.step() }, 5 * m, false, false, ""},
		{"stale", sandbox, 5 * m, func(w *world) { delivered(w); isDown(w); w.run(h) }, 5 * m, false, false, ""},
		{"never accepted, and no evidence", sandbox, 5 * m,
			func(w *world) { isDown(w); w.writeSource("good"); w.run(h) }, 5 * m, false, false, "False/Unavailable"},
		{"a new candidate rejected, beside a deployed token", sandbox, 5 * m,
			func(w *world) { delivered(w); w.writeSource("bad"); w.run(h) }, 5 * m, false, false, "True/CandidateRejected"},
		{"the source missing, beside a deployed token", sandbox, 5 * m,
			func(w *world) { delivered(w); w.deleteSource(); w.run(h) }, 5 * m, false, false, "True/SourceNotFound"},
		{"the source unreadable until now", sandbox, 5 * m,
			func(w *world) { delivered(w); w.failToRead(); w.run(h); w.source.isUnreadable = false }, 5 * m, false, false,
			"True/Accepted"},
		{"a standby that waits in a mass rejection", sandbox, 5 * m,
			func(w *world) {
				redundant(w)
				w.answer("good", outcome.Rejected)
				w.mass = true
				w.step()
				w.step()
				w.expectReady("False/Revoked")
			}, 5 * m, false, false, "True/FailedOver"},
		{"a standby in use", sandbox, 5 * m, failedOver, 5 * m, false, false, "True/FailedOver"},
		{"an edit that came after too many others", sandbox, 5 * m,
			func(w *world) { delivered(w); w.fight(12); w.answer("new", outcome.Accepted); w.writeSource("new") },
			5 * m, false, false, "True/Accepted"},
		{"a target that is contested", sandbox, 5 * m,
			func(w *world) {
				delivered(w)
				for range 8 {
					w.tamper("evil")
				}
				w.expectReady("False/TargetContested")
			}, 5 * m, false, false, "True/Accepted"},
	}
}

func (row waits) begin(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, row.environment)
	w.setInterval(row.interval)
	row.history(w)
	return w
}

// longestWithJitter includes the rounding of times in status.
func (row waits) longestWithJitter() time.Duration {
	if row.isRejected {
		return row.longest + row.longest/10 + s
	}
	return row.longest + s
}

func TestNoCheckIsFurtherOffThanItsStateAllows(t *testing.T) {
	t.Parallel()
	for _, row := range longestWaits() {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			w := row.begin(t)
			for range 30 {
				if got := w.next(); got > row.longestWithJitter() {
					t.Fatalf("the next check is in %s, want at most %s", got, row.longest)
				}
				if row.passes {
					break
				}
				w.step()
			}
		})
	}
}

// planAll puts off every check that is planned.
func (w *world) planAll(next time.Time) {
	status := &w.resource.Status
	for i := range status.Credentials {
		if status.Credentials[i].NextCheckTime != nil {
			status.Credentials[i].NextCheckTime = &metav1.Time{Time: next}
		}
	}
	if status.Deployed != nil && status.Deployed.NextCheckTime != nil {
		status.Deployed.NextCheckTime = &metav1.Time{Time: next}
	}
}

func TestACheckThatIsFurtherOffThanItsStateAllowsIsDueNow(t *testing.T) {
	t.Parallel()
	for _, row := range longestWaits() {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			w := row.begin(t)
			requests := len(w.requests)
			w.planAll(w.now.Truncate(s).Add(row.longest + 59*s)) // by a clock that is a little ahead
			w.restart()
			if got := len(w.requests) - requests; got > 0 && !strings.HasPrefix(row.then, "True/") {
				t.Errorf("a clock that is a minute ahead costs %d requests", got)
			}
			requests = len(w.requests)
			w.planAll(w.now.Truncate(s).Add(row.longestWithJitter() + m + 2*s))
			w.restart()
			w.run(3 * s) // since no rejection confirms itself
			if len(w.requests) == requests {
				t.Errorf("nothing is checked, with the status\n%s", w.dump())
			}
		})
	}
}

// setClock sets the clock on the wall, and leaves the process's timers alone.
func (w *world) setClock(by time.Duration, restarts bool) {
	w.now = w.now.Add(by)
	if !w.wakeUp.IsZero() {
		w.wakeUp = w.wakeUp.Add(by)
	}
	if restarts {
		w.restart()
	}
}

func clockChanges() []time.Duration {
	var changes []time.Duration
	for _, by := range []time.Duration{2 * s, 59 * s, 61 * s, 100 * m, 24 * h, tenYears} {
		changes = append(changes, -by, by)
	}
	return changes
}

func TestAClockThatIsSetStopsNothing(t *testing.T) {
	t.Parallel()
	for _, row := range longestWaits() {
		for _, restarts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarts %t", row.sentence, restarts), func(t *testing.T) {
				t.Parallel()
				// The timer of the process does not know of the clock, so that a check may be planned twice.
				lasts := 2*row.longestWithJitter() + m + 10*s
				asUsual := row.begin(t)
				sent := len(asUsual.requests)
				asUsual.setClock(0, restarts)
				asUsual.run(lasts)
				usual := len(asUsual.requests) - sent
				for _, by := range clockChanges() {
					w := row.begin(t)
					requests := len(w.requests)
					w.setClock(by, restarts)
					w.run(lasts)
					if got := len(w.requests) - requests; got == 0 || got > usual+6 {
						t.Fatalf("%s: %d requests in %s, usually %d\n%s", by, got, lasts, usual, w.dump())
					}
					if row.then != "" && w.ready() != row.then {
						t.Fatalf("%s: Ready is %s, want %s\n%s", by, w.ready(), row.then, w.dump())
					}
					w.expectNothingAhead(by)
				}
			})
		}
	}
}

// expectNothingAhead looks whether the status tells of what is yet to come.
func (w *world) expectNothingAhead(by time.Duration) {
	w.t.Helper()
	status := &w.resource.Status
	times := []*metav1.Time{status.LastCheckTime}
	if status.Target != nil {
		times = append(times, status.Target.UpdatedTime)
	}
	add := func(r *v1alpha1.CheckRecord) {
		times = append(times, r.LastCheckTime, r.LastAcceptedTime)
		if r.LastRejected != nil {
			times = append(times, &r.LastRejected.Time)
		}
	}
	for i := range status.Credentials {
		add(&status.Credentials[i].CheckRecord)
	}
	if status.Deployed != nil {
		add(&status.Deployed.CheckRecord)
	}
	for i := range status.Conditions {
		times = append(times, &status.Conditions[i].LastTransitionTime)
	}
	isAhead := func(at *metav1.Time) bool { return at != nil && at.After(w.now) }
	if i := slices.IndexFunc(times, isAhead); i >= 0 {
		w.t.Fatalf("%s: it is %s, and the status tells of %s\n%s", by, w.now, times[i], w.dump())
	}
}

func TestASuspensionOutlastsAClockThatIsSet(t *testing.T) {
	t.Parallel()
	for _, by := range clockChanges() {
		for _, restarts := range []bool{false, true} {
			w := newWorld(t, sandbox)
			delivered(w)
			w.suspend(true)
			requests := len(w.requests)
			w.setClock(by, restarts)
			w.run(h)
			if len(w.requests) != requests {
				t.Errorf("%s: %d requests in a suspension", by, len(w.requests)-requests)
			}
			w.expectNothingAhead(by)
			if got := w.condition(v1alpha1.ConditionCredentialAccepted); got != "Unknown/Stale" {
				t.Errorf("%s: after an hour, CredentialAccepted is %s", by, got)
			}
			w.suspend(false)
			w.run(5*m + s)
			if len(w.requests) == requests {
				t.Errorf("%s: nothing was checked after the suspension", by)
			}
			w.expectReady("True/Accepted")
		}
	}
}

func TestACheckRequestIsHandledWhateverTheClockDoes(t *testing.T) {
	t.Parallel()
	for _, by := range clockChanges() {
		w := newWorld(t, sandbox)
		delivered(w)
		for n := range 12 {
			w.requestCheck(fmt.Sprint(n))
		}
		w.setClock(by, false)
		w.run(2*m + 4*s)
		if got := w.resource.Status.LastHandledCheckRequest; got != "11" {
			t.Errorf("%s: a minute later, the request %q is said to be handled", by, got)
		}
		w.setClock(by, false)
		w.run(2*m + 4*s) // and so another may be requested
		requests := len(w.requests)
		w.setClock(by, false)
		w.requestCheck("now")
		w.run(2*m + 4*s)
		if got := w.resource.Status.LastHandledCheckRequest; got != "now" || len(w.requests) == requests {
			t.Errorf("%s: after %d checks, the request %q is said to be handled", by, len(w.requests)-requests, got)
		}
	}
}

func TestACheckRequestIsAnsweredByACheckWhateverTheClockDoes(t *testing.T) {
	t.Parallel()
	for _, by := range clockChanges() {
		w := newWorld(t, sandbox)
		delivered(w)
		requests := len(w.requests)
		w.setClock(by, false)
		w.requestCheck("now")
		w.run(m + 2*s)
		if got := w.resource.Status.LastHandledCheckRequest; got != "now" || len(w.requests) == requests {
			t.Errorf("%s: after %d checks, the request %q is said to be handled", by, len(w.requests)-requests, got)
		}
	}
}

func TestAReadIsTriedAgainWhateverTheClockDoes(t *testing.T) {
	t.Parallel()
	for _, by := range clockChanges() {
		backoff := decision.ReadBackoff{}
		for range 10 {
			backoff = backoff.Next(start)
		}
		if !backoff.Waits(start.Add(59*s)) || backoff.Waits(start.Add(by).Add(2*m+s)) {
			t.Errorf("%s: tries again at %s", by, backoff.RetryAt)
		}
	}
}

func TestAStandbyDoesNotWaitForAClockThatWentBack(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{-61 * s, -100 * m, -tenYears} {
		w := newWorld(t, sandbox)
		redundant(w)
		w.answer("good", outcome.Rejected)
		w.mass = true
		w.step()
		w.step()
		w.expectReady("False/Revoked")
		w.setClock(by-6*s, true)
		w.expectReady("True/FailedOver")
	}
}

func TestACheckRequestThatWaitsForItsSlotOutlastsAClockThatIsSet(t *testing.T) {
	t.Parallel()
	for _, by := range clockChanges() {
		w := newWorld(t, sandbox)
		delivered(w)
		w.putOff = func(tokenAt) time.Duration { return 10 * s }
		w.requestCheck("now")
		w.setClock(by, false)
		w.putOff = nil
		w.run(2 * m)
		if got := w.resource.Status.LastHandledCheckRequest; got != "now" {
			t.Errorf("%s: the request %q is said to be handled", by, got)
		}
	}
}

// Two replicas' clocks are never quite the same.
func TestASecondBetweenTwoClocksIsNoReasonToCheck(t *testing.T) {
	t.Parallel()
	for _, row := range longestWaits() {
		for _, uid := range uids(3) {
			w := newWorld(t, row.environment)
			w.resource.UID = uid
			w.setInterval(row.interval)
			row.history(w)
			w.restart() // after which some prove again what they may have to write
			if w.next() < 20*s {
				continue // something is due at once
			}
			requests := len(w.requests)
			for _, by := range []time.Duration{-s, -s, 2 * s} {
				w.setClock(by, true)
			}
			if got := len(w.requests) - requests; got > 0 && row.then != "True/FailedOver" {
				t.Errorf("%s: %d requests", row.sentence, got)
			}
		}
	}
}
