// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

func TestASourceThatCannotBeReadStopsNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.failToRead()
	good, key, rounds := w.sent("good"), w.sent("key"), w.evaluations
	w.run(h)
	w.expectReady("True/SourceUnreadable")
	w.expectTarget("good")
	if w.sent("good")-good < 11 || w.sent("key")-key < 11 {
		t.Errorf("the deployed token was checked %d times, the standby %d times", w.sent("good")-good, w.sent("key")-key)
	}
	if got := w.evaluations - rounds; got > 100 {
		t.Errorf("%d rounds in an hour, to read the source", got)
	}
	w.answer("good", outcome.Rejected)
	w.run(6 * m)
	w.expectReady("True/FailedOver")
	w.source.isUnreadable = false
	w.answer("good", outcome.Accepted)
	w.run(2*h + 10*m)
	w.expectReady("True/Accepted")
	w.expectTarget("good")
}

func TestASourceThatCannotBeReadIsTriedLessAndLessOften(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.source = &secret{uid: "source", version: "2", isUnreadable: true}
	w.happens()
	var waits []time.Duration
	for range 8 {
		waits = append(waits, w.wakeUp.Sub(w.now).Round(s))
		w.run(w.wakeUp.Sub(w.now) + time.Millisecond)
		w.touchSource() // which is no reason to try at once
	}
	want := []time.Duration{2 * s, 4 * s, 8 * s, 16 * s, 32 * s, m, m, m}
	if !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
}

func TestAWrongPasswordIsTheSameEditWhileItsStatusIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.run(12 * m)
	w.refusesStatus = true
	before, rounds := len(w.requests), w.evaluations
	edited := w.now
	w.writeSource("bad")
	w.run(5 * h)
	for _, r := range w.requests[before:] {
		if r.token == "bad" && (r.Edited.Before(edited) || r.Edited.After(edited.Add(s))) {
			t.Fatalf("at %s, a candidate of %s is said to be edited at %s", r.began, edited, r.Edited)
		}
	}
	if got := w.evaluations - rounds; got > 5*60+20 {
		t.Errorf("%d rounds in five hours", got)
	}
	w.refusesStatus = false
	w.run(2 * m)
	w.expectReady("True/CandidateRejected")
}

func TestConflictsBackOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	for range 2 {
		w.refusesStatus = true
		w.setSource("bad")
		for want := 50 * time.Millisecond; want < 2*m; want *= 2 {
			w.reconcile()
			if got := w.wakeUp.Sub(w.now); got != min(want, m) {
				t.Fatalf("waits %s, want %s", got, min(want, m))
			}
			w.now = w.wakeUp
		}
		w.refusesStatus = false // and so they begin anew
		w.reconcile()
	}
}

func TestOurOwnStatusIsNoConflictWhileTheWatchLags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.watched = w.resource.DeepCopy()
	delivered(w)
	requests := len(w.requests)
	w.reconcile()
	if got := w.wakeUp.Sub(w.now); got < 4*m || len(w.requests) != requests {
		t.Errorf("comes again in %s, after %d requests", got, len(w.requests)-requests)
	}
}

func TestNothingIsDecidedOnAWatchThatLagsBehindOurOwnWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.watched = w.resource.DeepCopy()
	w.answer("good", outcome.Rejected)
	w.run(6 * m)
	w.expectReady("False/Revoked")
	w.answer("new", outcome.Accepted)
	w.writeSource("new")
	w.expectReady("True/Accepted")
	w.change(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.Name = "renamed" })
	writes := w.writes
	w.run(6 * m) // the next round meets a conflict, and then reads the resource itself
	if w.targets["renamed"] == nil || w.writes != writes+1 {
		t.Errorf("%d writes, and the targets are %v", w.writes-writes, w.targets)
	}
}

func TestACheckRequestIsAnsweredByACheckThatBeganAfterIt(t *testing.T) {
	t.Parallel()
	for _, becomes := range []fate{refused, requestLost, answerLost, crash} {
		w := newWorld(t, sandbox)
		revoked(w)
		w.run(3 * h)
		w.now = w.wakeUp.Truncate(s).Add(s)
		w.statusFates = []fate{becomes}
		w.reconcile() // rejects once more, and the status of it is lost
		w.answer("good", outcome.Accepted)
		w.now = w.now.Add(100 * time.Millisecond)
		w.requestCheck("now")
		if w.resource.Status.LastHandledCheckRequest != "now" {
			t.Errorf("fate %d: the check request was not handled", becomes)
		}
		w.expectReady("True/Accepted")
	}
}

func TestCheckRequestsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.writeSource("key")
	before := len(w.requests)
	for n := range 30 {
		w.requestCheck(fmt.Sprint(n))
	}
	if got := len(w.requests) - before; got != 10 {
		t.Errorf("30 check requests made %d checks", got)
	}
	if got := w.resource.Status.LastHandledCheckRequest; got != "9" {
		t.Errorf("the request %q is said to be handled", got)
	}
	w.run(m)
	if got := w.resource.Status.LastHandledCheckRequest; got != "29" {
		t.Errorf("a minute later, the request %q is said to be handled", got)
	}
}

func TestASourceThatIsPutBackAfterAStatusOfUnknownFate(t *testing.T) {
	t.Parallel()
	for _, becomes := range []fate{requestLost, answerLost} {
		for _, later := range []bool{false, true} {
			w := newWorld(t, sandbox)
			delivered(w)
			w.run(12 * m)
			w.setSource("bad")
			w.statusFates = []fate{becomes}
			w.reconcile()
			if later {
				w.run(m)
			}
			w.takeEvents()
			w.writeSource("good")
			w.expectReady("True/Accepted")
			if record := w.record(); record.Verdict != v1alpha1.VerdictAccepted || record.ConsecutiveRejected != 0 {
				t.Errorf("fate %d: the record is %+v", becomes, record)
			}
			w.run(h)
			w.expectReady("True/Accepted")
			for _, event := range w.takeEvents() {
				if strings.HasPrefix(event, "Warning") {
					t.Errorf("fate %d: %s", becomes, event)
				}
			}
		}
	}
}

func TestAnEndpointThatIsPutBackAfterAStatusOfUnknownFate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.hook = func(p tokenAt) outcome.Outcome {
		if p.at.URL == gatewayURL {
			return outcome.UserInactive
		}
		return ""
	}
	w.putOffToken("key", 3*s) // so that the status is not about the new generation yet
	w.statusFates = []fate{answerLost}
	w.change(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Endpoint = &v1alpha1.Endpoint{URL: gatewayURL} })
	w.reconcile()
	w.putOff = nil
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Endpoint = nil })
	w.expectReady("True/Accepted")
	if record := w.record(); record.Verdict != v1alpha1.VerdictAccepted {
		t.Errorf("the record is %+v", record)
	}
}

func TestARotationWhoseStatusWasNotWrittenIsTheLastKnownGood(t *testing.T) {
	t.Parallel()
	for _, becomes := range []fate{refused, requestLost, answerLost} {
		w := newWorld(t, sandbox)
		delivered(w)
		w.answer("new", outcome.Accepted)
		w.setSource("new")
		w.statusFates = []fate{becomes}
		w.reconcile() // writes the target, and the status is not written
		w.expectTarget("new")
		w.answer("good", outcome.Rejected)
		w.writeSource("bad")
		w.expectReady("True/CandidateRejected")
		checks := w.sent("new")
		w.run(h)
		w.expectReady("True/CandidateRejected")
		w.tamper("evil")
		w.expectTarget("new")
		if got := w.sent("new") - checks; got < 11 {
			t.Errorf("fate %d: the token in the target was checked %d times in an hour", becomes, got)
		}
		w.answer("new", outcome.Rejected)
		w.run(6 * m)
		w.expectReady("False/Revoked")
	}
}

func TestWhatTheAPIServerConfirmedIsKnownWhateverBecameOfTheStatus(t *testing.T) {
	t.Parallel()
	for _, becomes := range []fate{refused, requestLost, answerLost} {
		w := newWorld(t, sandbox)
		delivered(w)
		w.answer("new", outcome.Accepted)
		w.setSource("new")
		w.statusFates = []fate{becomes}
		w.reconcile()
		w.setSource("bad")
		w.tamper("evil")
		w.expectTarget("new")
		w.expectReady("True/CandidateRejected")
	}
}

func TestAWokenProcessBelievesNoRecordOfAnotherEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	asleep := w.state
	w.stop()
	w.hook = func(p tokenAt) outcome.Outcome {
		if p.at.URL == gatewayURL {
			return outcome.UserInactive
		}
		return ""
	}
	w.useEndpoint(gatewayURL) // which another process checks
	w.expectReady("True/CandidateRejected")
	w.state = asleep
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Endpoint = nil })
	w.expectReady("True/Accepted")
}

func TestAWokenProcessBelievesNoRecordOfAnotherSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	asleep := w.state
	w.stop()
	w.writeSource("bad") // which another process checks
	w.expectReady("True/CandidateRejected")
	w.state = asleep
	w.writeSource("good")
	w.expectReady("True/Accepted")
}

func TestAWokenProcessDoesNotTakeItsFormerTokenForTheDeployedOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	asleep := w.state
	w.stop()
	w.answer("new", outcome.Accepted)
	w.writeSource("new") // which another process delivers
	w.state = asleep
	w.goDown(sandboxURL, outcome.Unavailable)
	w.tamper("evil")
	w.expectTarget("evil")
	w.comeUp(sandboxURL)
	w.run(10 * m)
	w.expectTarget("new")
}

func TestATargetIsNotForgottenWhenTheProcessEndsBeforeItsStatus(t *testing.T) {
	t.Parallel()
	for _, lose := range []func(*world){
		func(w *world) { w.statusFates = []fate{crash} },
		func(w *world) { w.losesTargetAnswer = true },
		func(w *world) { w.statusFates = []fate{answerLost} },
	} {
		w := newWorld(t, sandbox)
		w.answer("good", outcome.Accepted)
		w.setSource("good")
		lose(w)
		w.reconcile()
		w.expectTarget("good")
		w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.Name = "renamed" })
		w.expectTarget("good")
		w.expectReady("True/Accepted")
		if w.targets[targetName] != nil {
			t.Errorf("the former target is left")
		}
	}
}

func TestAFormerTargetIsCleanedUpOnceTheNewOneHolds(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence     string
		before, heal func(*world)
	}{
		{"a rejected token", revoked, func(w *world) { w.answer("good", outcome.Accepted); w.requestCheck("now") }},
		{"a suspension", func(w *world) { delivered(w); w.suspend(true) }, func(w *world) { w.suspend(false) }},
		{"a template that has an error", func(w *world) { delivered(w); w.templateProblem = templateProblem },
			func(w *world) { w.templateProblem = ""; w.happens() }},
		{"a refusal", func(w *world) { delivered(w); w.refusal.Problem = "error" },
			func(w *world) { w.refusal = decision.Target{}; w.run(m) }},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox)
			row.before(w)
			w.targets["renamed"] = &secret{uid: "t", version: "1", owner: w.resource.Name, token: "old"}
			w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.Name = "renamed" })
			if w.targets[targetName] == nil {
				t.Errorf("the former target is gone")
			}
			row.heal(w)
			w.expectReady("True/Accepted")
			if w.targets[targetName] != nil {
				t.Errorf("the former target is left")
			}
		})
	}
}

func TestLabelsAnnotationsAndOwnersFollowTheSpecWhateverTheVerdict(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence string
		before   func(*world)
	}{
		{"a good token", delivered},
		{"a rejected token", revoked},
		{"a suspension", func(w *world) { delivered(w); w.suspend(true) }},
		{"a suspension after a restart", func(w *world) { delivered(w); w.suspend(true); w.stop() }},
		{"a template that has an error", func(w *world) { delivered(w); w.templateProblem = templateProblem; w.happens() }},
		{"a deployed token that is not known", func(w *world) {
			delivered(w)
			w.stop()
			w.deleteSource()
			w.tamper("evil")
		}},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox)
			row.before(w)
			token, writes := w.target().token, w.writes
			w.editTarget()
			if got := w.target(); got.generation != w.resource.Generation || got.token != token || w.writes != writes+1 {
				t.Errorf("after %d writes, the target is %+v", w.writes-writes, got)
			}
			deliveries := w.deliveries
			w.run(3 * h)
			if w.writes != writes+1 || w.deliveries-deliveries > 1 {
				t.Errorf("%d writes, and then %d looks in three hours", w.writes-writes, w.deliveries-deliveries)
			}
		})
	}
}

func TestATargetIsWrittenOverAtTheJudgedVersionOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.answer("new", outcome.Accepted)
	w.setSource("new")
	writes := w.writes
	w.meanwhile = func() { w.target().owner, w.target().version = "somebody", w.nextVersion() }
	w.reconcile()
	w.expectTarget("good")
	w.happens()
	w.expectTarget("good")
	if w.writes != writes {
		t.Errorf("wrote somebody else's Secret")
	}
	w.expectReady("False/TargetConflict")
}

func TestAfterAConflictTheResourceIsSeenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.watched = w.resource.DeepCopy() // and so it lags
	w.answer("new", outcome.Accepted)
	w.setSource("new")
	w.meanwhile = func() { // another operator has moved on
		w.change(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.Name = "renamed" })
		w.targets[targetName].version = w.nextVersion()
	}
	w.targets["renamed"] = &secret{uid: "t", version: "1", owner: "somebody"}
	w.happens()
	w.expectReady("False/TargetConflict")
	if got := w.targets[targetName].token; got != "good" {
		t.Errorf("the former target holds %q", got)
	}
}

func TestAResourceThatIsMadeAgainBeginsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.writeSource("bad")
	w.run(24 * h)
	for n := range 11 {
		w.requestCheck(fmt.Sprint(n))
	}
	w.resource.UID, w.resource.ResourceVersion = "another", "1"
	w.resource.Status = v1alpha1.JupicoCredentialStatus{ObservedGeneration: -1}
	w.deleteTarget()
	if w.target() != nil {
		t.Errorf("the token of a former resource was delivered")
	}
	w.expectReady("False/Rejected")
	if got := w.record(); got.ConsecutiveRejected != 1 {
		t.Errorf("the record is %+v", got)
	}
	w.requestCheck("of the new one")
	if got := w.resource.Status.LastHandledCheckRequest; got != "of the new one" {
		t.Errorf("the check request %q is said to be handled", got)
	}
}

func TestARestoredClusterIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	older, other := w.resource.DeepCopy(), w.resource.DeepCopy()
	older.ResourceVersion = "1"
	other.ResourceVersion, other.UID = "1", "another"
	for _, row := range []struct {
		sentence     string
		live, cached *v1alpha1.JupicoCredential
		isRestored   bool
	}{
		{"the same", w.resource, w.resource, false},
		{"a newer one", w.resource, older, false},
		{"an older one than the watch showed", older, w.resource, true},
		{"an older one than was written", older, older, true},
		{"another resource of the name", other, w.resource, false},
	} {
		if got := w.state.IsRestored(row.live, row.cached); got != row.isRestored {
			t.Errorf("%s: restored is %t", row.sentence, got)
		}
	}
}

func TestATokenThatCannotBeReadBackIsReadLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.writeSource("bad")
	w.stop()
	w.failsToRead = true
	checks := w.sent("good")
	w.run(10 * m)
	w.expectReady("True/CandidateRejected")
	if w.sent("good") != checks {
		t.Errorf("checked a token that nobody knows")
	}
	w.failsToRead = false
	w.run(10 * m)
	if w.sent("good") == checks {
		t.Errorf("the deployed token was not checked any more")
	}
}

func TestWhatIsOursIsMarkedWithTheNextCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.target().isUnmarked = true // as an earlier version wrote it
	writes := w.writes
	w.stop()
	w.happens()
	w.touchSource()
	if w.writes != writes {
		t.Errorf("%d writes before a check was due", w.writes-writes)
	}
	w.run(h)
	if w.writes != writes+1 || w.target().isUnmarked {
		t.Errorf("%d writes with the next checks", w.writes-writes)
	}
}

func TestAcceptedRejectedAcceptedIsNotTwiceInARow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	failedOver(w)
	answers := []outcome.Outcome{outcome.Accepted, outcome.Rejected, outcome.Accepted, outcome.Rejected, outcome.Accepted}
	w.hook = func(p tokenAt) outcome.Outcome {
		if p.token != "good" || len(answers) == 0 {
			return ""
		}
		answer := answers[0]
		answers = answers[1:]
		return answer
	}
	for len(answers) > 0 {
		w.step()
		w.expectReady("True/FailedOver")
		w.expectTarget("key")
	}
}

func TestOneAcceptanceIsNotEnoughWhileOthersFightOverTheTargetEither(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	failedOver(w)
	accepted := 0
	w.hook = func(p tokenAt) outcome.Outcome {
		if p.token != "good" || accepted > 0 {
			return ""
		}
		accepted++
		return outcome.Accepted
	}
	for accepted == 0 {
		for range 10 {
			w.tamper("evil")
		}
		w.expectReady("False/TargetContested")
		w.step()
	}
	if w.held != "key" {
		t.Errorf("%q was delivered after one acceptance", w.held)
	}
}

func TestInAMassRejectionTheStandbyWaitsAnIntervalAtTheMost(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ interval, hold time.Duration }{{m, m}, {5 * m, 5 * m}, {24 * h, 5 * m}} {
		for _, isRequested := range []bool{false, true} {
			w := newWorld(t, sandbox)
			w.setInterval(row.interval)
			redundant(w)
			w.answer("good", outcome.Rejected)
			w.mass = true
			w.step()
			w.step()
			w.expectReady("False/Revoked")
			rejected := w.record().LastRejected
			if !rejected.MassRejection {
				t.Errorf("the rejection is %+v", rejected)
			}
			if isRequested { // and the standby is accepted meanwhile, too early
				w.run(row.hold / 2)
				w.requestCheck("now")
			}
			w.run(rejected.Time.Add(row.hold - s).Sub(w.now))
			w.expectReady("False/Revoked")
			w.expectTarget("good")
			w.run(2 * s)
			w.expectReady("True/FailedOver")
			w.expectTarget("key")
		}
	}
}

func TestWhoeverKeepsUndoingOurWritesWinsForAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	writes := w.writes
	for range 30 {
		w.tamper("evil")
	}
	if got := w.writes - writes; got != 5 {
		t.Errorf("put the target right %d times", got)
	}
	w.expectReady("False/TargetContested")
	if got := w.message(v1alpha1.ConditionReady); !strings.Contains(got, `the field manager "rival"`) {
		t.Errorf("Ready says %q", got)
	}
	w.expectTarget("evil")
	w.run(m)
	w.expectTarget("good")
	w.expectReady("False/TargetContested")
	w.run(m)
	w.expectReady("True/Accepted")
}

func TestATokenIsReadBackFromWhatTheStatusVouchesForAlone(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence string
		before   func(*world)
		checks   int
	}{
		{"nobody touched it", func(*world) {}, 1},
		{"somebody wrote into it while nobody looked", func(w *world) { w.tamper("evil") }, 0},
		{"somebody wrote into it during a suspension, in which its labels were put right", func(w *world) {
			w.source.value = "good"
			w.restart()
			w.suspend(true)
			w.tamper("evil")
			w.editTarget()
			w.source.value = "bad"
			w.stop()
			w.suspend(false)
		}, 0},
		{"its endpoint is another environment's", func(w *world) {
			w.resource.Status.Deployed.Endpoint = productionURL
		}, 0},
		{"its endpoint is what the spec named before", func(w *world) {
			w.change(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Endpoint = &v1alpha1.Endpoint{URL: gatewayURL} })
		}, 1},
		{"the certificates of its endpoint are gone", func(w *world) { w.goDown(sandboxURL, outcome.CAInvalid) }, 0},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			w := newWorld(t, sandbox)
			delivered(w)
			w.source = &secret{uid: "other", version: w.nextVersion(), value: "bad"}
			w.stop()
			row.before(w)
			asked := map[string]int{}
			w.hook = func(p tokenAt) outcome.Outcome {
				asked[p.token]++
				return ""
			}
			w.happens()
			w.run(6 * m)
			if asked["good"] != row.checks || asked["evil"] > 0 {
				t.Errorf("asked about %v", asked)
			}
		})
	}
}

func TestARoundWhoseContextEndedSaysNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.setSource("good")
	w.observed = w.resource
	ctx, cancel := context.WithCancel(t.Context())
	calls := w.calls()
	calls.Check = func(context.Context, check.Request) check.Answer {
		cancel()
		return check.Answer{Result: outcome.Result{Outcome: outcome.Unreachable}}
	}
	if round, err := w.state.Run(ctx, w.observe(), calls); round != nil || err == nil {
		t.Errorf("the round is %+v, %v", round, err)
	}
}

func TestAWarningIsGivenOnceForTheSameBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.setSource("bad")
	for _, want := range []int{1, 0} {
		w.observed = w.resource
		o := w.observe()
		o.Sources[0].Warnings = []string{"The password ended with a line feed, which was cut off."}
		round, err := w.state.Run(t.Context(), o, w.calls())
		given := slices.DeleteFunc(slices.Clone(round.Events), func(e decision.Event) bool {
			return e.Reason != v1alpha1.EventSourceCleaned
		})
		if err != nil || len(given) != want {
			t.Fatalf("the warnings are %+v, %v", given, err)
		}
		w.writeStatus(round)
	}
}

func TestAWarningIsGivenThoughNothingIsNewOfTheCredentialBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.standby = &secret{uid: "standby", version: w.nextVersion(), value: "bad", key: true}
	w.observed = w.resource
	o := w.observe()
	o.Sources[1].Warnings = []string{"The API key ended with a line feed, which was cut off."}
	round, err := w.state.Run(t.Context(), o, w.calls())
	if err != nil || !slices.ContainsFunc(round.Events, func(e decision.Event) bool {
		return e.Reason == v1alpha1.EventSourceCleaned && e.Credential == "standby"
	}) {
		t.Errorf("the events are %+v, %v", round.Events, err)
	}
}

func TestWhatWasReadIsKnownWhileTheSpecAsksForTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.observed = w.resource
	o := w.observe()
	o.CA = decision.CA{PEM: "pem"}
	if _, err := w.state.Run(t.Context(), o, w.calls()); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		sentence string
		edit     func(resource *v1alpha1.JupicoCredential)
		isKnown  bool
	}{
		{"the same", func(*v1alpha1.JupicoCredential) {}, true},
		{"another generation", func(r *v1alpha1.JupicoCredential) { r.Generation++ }, false},
		{"another resource", func(r *v1alpha1.JupicoCredential) { r.UID = "another" }, false},
	} {
		resource := w.resource.DeepCopy()
		row.edit(resource)
		sources, ca := w.state.Observed(resource)
		if (sources[0].Version.UID != "") != row.isKnown || (ca.PEM != "") != row.isKnown {
			t.Errorf("%s: the source is %+v, the CA %+v", row.sentence, sources[0], ca)
		}
	}
}

func TestAnEditBeforeTheFirstStatusIsOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.refusesStatus = true
	w.writeSource("bad")
	edited := w.now
	w.writeSource("new")
	for _, r := range w.requests {
		if isEdited := !r.Edited.IsZero(); isEdited != (r.token == "new" || r.token == "new\n") || r.Edited.After(w.now) {
			t.Errorf("%q is said to be edited at %s", r.token, r.Edited)
		}
		if r.token == "new" && r.Edited.Before(edited) {
			t.Errorf("%q is said to be edited at %s, want %s", r.token, r.Edited, edited)
		}
	}
}

func TestNothingIsAskedWithoutCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.goDown(sandboxURL, outcome.CAInvalid)
	w.hook = func(p tokenAt) outcome.Outcome {
		t.Errorf("asks about %q", p.token)
		return ""
	}
	w.writeSource("good")
	w.expectReady("False/CAInvalid")
}

func TestACheckRequestDoesNotLetARejectionConfirmItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, production)
	delivered(w)
	w.run(h)
	w.answer("good", outcome.Rejected)
	w.requestCheck("first")
	sent := w.sent("good")
	w.requestCheck("again")
	w.expectReady("True/Accepted")
	if got := w.sent("good"); got != sent {
		t.Errorf("%d requests followed within the same instant", got-sent)
	}
	w.run(10 * s)
	w.expectReady("False/Revoked")
	if got := w.resource.Status.LastHandledCheckRequest; got != "again" {
		t.Errorf("the request that is handled is %q", got)
	}
}

func TestAMassRejectionDoesNotHoldAnEditBack(t *testing.T) {
	t.Parallel()
	change := func(edit func(*v1alpha1.JupicoCredentialSpec)) func(*world) {
		return func(w *world) { w.edit(edit) }
	}
	for _, row := range []struct {
		sentence string
		edit     func(*world)
		want     string
	}{
		{"of the source", func(w *world) { w.answer("new", outcome.Accepted); w.writeSource("new") }, "new"},
		{"that puts the standby first", change(func(spec *v1alpha1.JupicoCredentialSpec) {
			slices.Reverse(spec.Credentials)
		}), "key"},
		{"that leaves the standby alone", change(func(spec *v1alpha1.JupicoCredentialSpec) {
			spec.Credentials = spec.Credentials[1:]
		}), "key"},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, production)
			redundant(w)
			w.answer("good", outcome.Rejected)
			w.mass = true
			w.run(5*m + 10*s)
			w.expectReady("False/Revoked")
			row.edit(w)
			w.expectTarget(row.want)
			w.expectReady("True/Accepted")
		})
	}
}

func TestALabelFightEndsWhileTheTargetLagsItsSpec(t *testing.T) {
	t.Parallel()
	w := newWorld(t, production)
	delivered(w)
	w.answer("good", outcome.Rejected)
	w.run(h)
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.CreationPolicy = v1alpha1.CreationPolicyOrphan })
	writes := w.writes
	for range 20 {
		w.target().generation, w.target().version = 0, w.nextVersion()
		w.happens()
	}
	if got := w.writes - writes; got == 0 || got > 6 {
		t.Errorf("it was put right %d times", got)
	}
	if got := w.condition(v1alpha1.ConditionSecretSynced); got != "False/TargetContested" {
		t.Errorf("SecretSynced is %s", got)
	}
}

func TestAWrongLoginIsTriedInOneFormWhileItsStatusIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, production)
	delivered(w)
	w.refusesStatus = true
	w.writeSource("bad")
	w.run(h)
	if got := w.sent("bad\n"); got != 1 {
		t.Errorf("its other form was sent %d times", got)
	}
	w.writeSource("worse")
	w.run(h)
	if got := w.sent("worse\n"); got != 1 {
		t.Errorf("the other form of other bytes was sent %d times", got)
	}
}

func TestASourceThatCannotBeReadKeepsTheRecordOfAStandby(t *testing.T) {
	t.Parallel()
	w := newWorld(t, production)
	failedOver(w)
	sent, record := w.sent("good"), w.record()
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.CreationPolicy = v1alpha1.CreationPolicyOrphan })
	w.failToRead()
	w.run(m)
	if got := w.record(); got.LastRejected == nil || got.Verdict != record.Verdict || got.Source == nil {
		t.Errorf("while it cannot be read, the record is %+v", got)
	}
	w.source.isUnreadable = false
	w.run(2 * m)
	if got := w.record(); !got.LastRejected.Time.Equal(&record.LastRejected.Time) || w.sent("good") != sent {
		t.Errorf("after %d requests, the record is %+v", w.sent("good")-sent, got)
	}
}

func TestASourceThatCannotBeReadIsNotSaidToBeRejectedWhereItWasNeverAsked(t *testing.T) {
	t.Parallel()
	for sentence, edit := range map[string]func(*v1alpha1.JupicoCredentialSpec){
		"another endpoint": func(spec *v1alpha1.JupicoCredentialSpec) { spec.Endpoint = &v1alpha1.Endpoint{URL: gatewayURL} },
		"another source": func(spec *v1alpha1.JupicoCredentialSpec) {
			spec.Credentials[0].BasicAuthSecretRef.Name = "another"
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox)
			w.writeSource("bad")
			w.failToRead()
			w.expectReady("False/Rejected") // as far as is known
			w.edit(edit)
			w.run(m)
			w.expectReady("False/SourceUnreadable")
		})
	}
}

func TestACacheIsBehindIfItLacksAKnownWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	older, other := w.resource.DeepCopy(), w.resource.DeepCopy()
	older.ResourceVersion = "1"
	other.ResourceVersion, other.UID = "1", "other"
	for _, row := range []struct {
		sentence string
		resource *v1alpha1.JupicoCredential
		isBehind bool
	}{
		{"the last status", w.resource, false},
		{"an older one", older, true},
		{"another resource of the same name", other, false},
	} {
		if got := w.state.IsCacheBehind(row.resource); got != row.isBehind {
			t.Errorf("%s: got %t", row.sentence, got)
		}
	}
	w.state.Abandon(&decision.Round{}, false)
	if !w.state.IsCacheBehind(w.resource) {
		t.Error("after a conflict, what somebody else wrote is not asked for")
	}
}

func TestAStandbyTakesOverThoughNobodyKnowsWhenTheFirstWasRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, production)
	redundant(w)
	w.answer("good", outcome.Rejected)
	w.mass = true // so that the standby waits
	w.run(5*m + 10*s)
	w.expectReady("False/Revoked")
	w.resource.Status.Credentials[0].LastRejected = nil // somebody took it away
	w.resource.ResourceVersion = w.nextVersion()
	w.stop()
	w.putOffToken("key", m)
	w.happens()
	w.expectReady("True/FailedOver")
}

func TestAnEditThatBringsTheFirstBackSurvivesAFailedWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	failedOver(w)
	w.answer("good", outcome.Accepted)
	w.refusal = decision.Target{Problem: "error"}
	w.change(func(spec *v1alpha1.JupicoCredentialSpec) { spec.CheckInterval.Duration = 10 * m })
	w.requestCheck("now")
	w.refusal = decision.Target{}
	w.happens()
	w.expectTarget("good")
}
