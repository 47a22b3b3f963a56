// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// addStandby adds a second entry, with an API key.
func (w *world) addStandby(value string) {
	w.standby = &secret{uid: "standby", version: w.nextVersion(), value: value, key: true}
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) {
		isStandby := func(e v1alpha1.Credential) bool { return e.SecretName() == standbyName }
		spec.Credentials = append(slices.DeleteFunc(slices.Clone(spec.Credentials), isStandby), v1alpha1.Credential{
			Name: "standby", APIKeySecretRef: &v1alpha1.APIKeySecretReference{Name: standbyName},
		})
	})
}

func (w *world) writeStandby(value string) {
	w.standby = &secret{uid: "standby", version: w.nextVersion(), value: value, key: true}
	w.happens()
}

// swap puts the second entry first.
func (w *world) swap() {
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) {
		spec.Credentials = []v1alpha1.Credential{spec.Credentials[1], spec.Credentials[0]}
	})
}

// redundant is a world in which the credentials "good" and "key" are both accepted, and "good" is delivered.
func redundant(w *world) {
	w.answer("key", outcome.Accepted)
	w.addStandby("key")
	delivered(w)
}

// failedOver is a world in which "key" stands in for "good".
func failedOver(w *world) {
	redundant(w)
	w.answer("good", outcome.Rejected)
	w.run(6 * m)
}

// putOffToken lets the checks of one token wait for their slot.
func (w *world) putOffToken(token string, wait time.Duration) {
	w.putOff = func(p tokenAt) time.Duration {
		if p.token == token {
			return wait
		}
		return 0
	}
}

type redundancy struct {
	sentence string
	history  func(*world)
	want     string
}

func redundancies() []redundancy {
	return []redundancy{
		{"one credential is not called redundant", delivered, ""},
		{"both are accepted", redundant, "True/BothAccepted"},
		{"both stay accepted", func(w *world) { redundant(w); w.run(3 * h) }, "True/BothAccepted"},
		{"the standby is rejected", func(w *world) { redundant(w); w.answer("key", outcome.Rejected); w.run(h) },
			"False/Rejected"},
		{"the standby's user is inactive",
			func(w *world) { redundant(w); w.answer("key", outcome.UserInactive); w.run(h) }, "False/UserInactive"},
		{"the standby is rejected once, which is not confirmed yet",
			func(w *world) { redundant(w); w.answer("key", outcome.Rejected); w.step() }, "True/BothAccepted"},
		{"the standby's source is gone", func(w *world) { redundant(w); w.standby = nil; w.happens() },
			"False/SourceNotFound"},
		{"the first is rejected, and the standby is active", failedOver, "False/Rejected"},
		{"the standby met no evidence yet",
			func(w *world) {
				delivered(w)
				w.hook = func(p tokenAt) outcome.Outcome {
					if p.token == "key" {
						return outcome.Forbidden
					}
					return ""
				}
				w.addStandby("key")
			}, "Unknown/Forbidden"},
		{"nothing was heard for too long",
			func(w *world) { redundant(w); w.goDown(sandboxURL, outcome.Unavailable); w.run(h) }, "Unknown/Stale"},
		{"both are the same",
			func(w *world) {
				w.answer("good", outcome.Accepted)
				w.addStandby("good")
				w.useAPIKey("main", "good")
				w.happens()
			}, "False/SameCredential"},
		{"suspended", func(w *world) { redundant(w); w.suspend(true); w.run(h) }, "True/BothAccepted"},
		{"the second is taken away",
			func(w *world) {
				redundant(w)
				w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Credentials = spec.Credentials[:1] })
			}, ""},
	}
}

func TestTwoCredentialsAreRedundantOrNot(t *testing.T) {
	t.Parallel()
	for _, row := range redundancies() {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox)
			row.history(w)
			if got := w.condition(v1alpha1.ConditionRedundant); got != row.want {
				t.Errorf("got %q, want %q\n%s", got, row.want, w.dump())
			}
			w.run(20 * m)
			w.expectNoEventsFor(3 * h)
		})
	}
}

func TestAStandbyTakesThePlaceOfWhatIsRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.run(12 * m)
	w.takeEvents()
	w.answer("good", outcome.Rejected)
	w.step()
	w.expectReady("True/Accepted") // a first rejection is confirmed before anything is done
	w.expectTarget("good")
	requests, evaluations := len(w.requests), w.evaluations
	w.step()
	w.expectReady("True/FailedOver")
	w.expectTarget("key")
	var tokens []string
	for _, r := range w.requests[requests:] {
		tokens = append(tokens, r.token)
	}
	if w.evaluations != evaluations+1 || !slices.Equal(tokens, []string{"good", "key"}) {
		t.Errorf("took %d evaluations with checks of %q", w.evaluations-evaluations, tokens)
	}
	if got := w.resource.Status.Deployed; got.Credential != "standby" || got.Verdict != v1alpha1.VerdictAccepted {
		t.Errorf("status.deployed is %+v", got)
	}
	if got := w.takeEvents(); !slices.Equal(got, []string{"Normal FailedOver", "Warning Rejected"}) {
		t.Errorf("the events are %q", got)
	}
	message := w.message(v1alpha1.ConditionReady)
	for _, says := range []string{`"standby" stands in for "main" (Rejected)`, `Secret "jupico-login"`, "payments-jupico"} {
		if !strings.Contains(message, says) {
			t.Errorf("Ready says %q, not %q", message, says)
		}
	}
}

func TestTheWayBackTakesTwoAcceptancesInARow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	failedOver(w)
	w.takeEvents()
	w.answer("good", outcome.Accepted)
	good := w.sent("good")
	for w.sent("good") == good {
		w.step()
	}
	w.expectReady("True/FailedOver")
	w.expectTarget("key")
	w.answer("good", outcome.Rejected) // and so it begins anew
	w.run(2 * h)
	w.expectReady("True/FailedOver")
	w.answer("good", outcome.Accepted)
	w.run(3 * h)
	w.expectReady("True/Accepted")
	w.expectTarget("good")
	if last := w.events[len(w.events)-1].Message; !strings.HasSuffix(last, `Before, that of "standby" was delivered.`) {
		t.Errorf("the last event says %q", last)
	}
	want := []string{"Normal Recovered", "Warning Rejected", "Normal Recovered", "Normal Delivered"}
	if got := w.takeEvents(); !slices.Equal(got, want) {
		t.Errorf("the events are %q", got)
	}
}

func TestAnEditOfTheFirstActsAtOnceWhileTheStandbyIsActive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	failedOver(w)
	w.answer("new", outcome.Accepted)
	w.writeSource("new")
	w.expectReady("True/Accepted")
	w.expectTarget("new")
}

func TestARejectedCandidateIsNoReasonToMove(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.writeSource("bad")
	w.run(3 * h)
	w.expectTarget("good")
	w.expectReady("True/CandidateRejected")
	w.answer("good", outcome.Rejected)
	w.run(6 * m)
	w.expectTarget("key") // but that of the deployed token is
	w.expectReady("True/FailedOver")
}

func TestAMassRejectionIsSaidAndHoldsTheStandbyBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.answer("good", outcome.Rejected)
	w.mass = true
	w.run(5*m + 10*s)
	w.expectReady("False/Revoked")
	w.expectTarget("good")
	for _, conditionType := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionCredentialAccepted} {
		if got := w.message(conditionType); !strings.HasPrefix(got, `Jupico accepted credential "main" until`) ||
			!strings.HasSuffix(got, " rejected at the same time: the cause is likely Jupico's.") {
			t.Errorf("%s says %q", conditionType, got)
		}
	}
	w.touchSource() // nothing new is known
	w.expectTarget("good")
	w.run(6 * m)
	w.expectReady("True/FailedOver")
	w.expectTarget("key")
}

func TestAMassRejectionThatPassesMovesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.answer("good", outcome.Rejected)
	w.answer("key", outcome.Rejected)
	w.mass = true
	w.run(5*m + 10*s)
	w.answer("good", outcome.Accepted)
	w.answer("key", outcome.Accepted)
	w.run(h)
	w.expectReady("True/Accepted")
	w.expectTarget("good")
}

func TestAStandbyThatWasNotAcceptedAfterTheRejectionIsNotTrusted(t *testing.T) {
	t.Parallel()
	for _, o := range []outcome.Outcome{outcome.Rejected, outcome.Unavailable} {
		w := newWorld(t, sandbox)
		redundant(w)
		w.answer("good", outcome.Rejected)
		w.answer("key", o)
		w.run(20 * m)
		w.expectReady("False/Revoked")
		w.expectTarget("good")
		w.answer("key", outcome.Accepted)
		w.run(2 * h)
		w.expectReady("True/FailedOver")
		w.expectTarget("key")
	}
}

func TestARotationByTheBook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, production)
	delivered(w)
	w.run(h)
	w.answer("key", outcome.Accepted)
	w.addStandby("key")
	w.expectTarget("good")
	w.expectReady("True/Accepted")
	w.swap()
	w.expectTarget("key") // at once, and without a rejection
	w.expectReady("True/Accepted")
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Credentials = spec.Credentials[:1] })
	w.answer("good", outcome.Rejected)
	w.takeEvents()
	w.run(24 * h)
	w.expectTarget("key")
	w.expectReady("True/Accepted")
	if got := w.takeEvents(); len(got) > 0 {
		t.Errorf("the events are %q", got)
	}
}

func TestASwapToACredentialThatIsRejectedChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.addStandby("key")
	w.swap()
	w.run(h)
	w.expectTarget("good")
	w.expectReady("True/FailedOver")
}

func TestAnActiveEntryThatLeavesTheSpecKeepsTheTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.addStandby("key")
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Credentials = spec.Credentials[1:] })
	w.run(h)
	w.expectTarget("good")
	w.expectReady("True/CandidateRejected")
	if got := w.message(v1alpha1.ConditionCredentialAccepted); !strings.Contains(got, `"main"`) {
		t.Errorf("CredentialAccepted says %q", got)
	}
	w.answer("key", outcome.Accepted)
	w.run(2 * h)
	w.expectTarget("key")
	w.expectReady("True/Accepted")
}

func TestBothAreCheckedTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.run(m)
	w.writeStandby("key") // touched, which is no edit
	w.answer("key other", outcome.Accepted)
	w.writeStandby("key other") // and so is checked now
	w.run(10 * m)
	evaluations, requests := w.evaluations, len(w.requests)
	w.run(h)
	checks := len(w.requests) - requests
	if rounds := w.evaluations - evaluations; rounds > 14 || checks != 2*rounds {
		t.Errorf("%d evaluations with %d checks in an hour", rounds, checks)
	}
}

func TestFailoverOutlivesARestart(t *testing.T) {
	t.Parallel()
	for _, between := range []func(w *world){
		func(w *world) { w.restart() },
		func(w *world) { w.stop(); w.deleteTarget() },
	} {
		w := newWorld(t, sandbox)
		failedOver(w)
		between(w)
		w.expectReady("True/FailedOver")
		w.expectTarget("key")
		w.run(h)
		w.expectReady("True/FailedOver")
		w.expectTarget("key")
	}
}

func TestARestartBetweenTheRejectionAndTheFailoverLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.answer("good", outcome.Rejected)
	w.step() // the first rejection
	w.stop()
	w.run(m)
	w.expectReady("True/FailedOver")
	w.expectTarget("key")
}

func TestACandidateThatIsAcceptedLaterReplacesWhatItsSourceHeldBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.writeSource("new")
	w.expectReady("True/CandidateRejected")
	w.answer("new", outcome.Accepted)
	for before := w.sent("new"); w.sent("new") == before; {
		w.step()
	}
	w.expectTarget("new") // after a single acceptance, since nothing is flapping
	w.expectReady("True/Accepted")
}

func TestInAMassRejectionNotEvenAStandbyThatIsCheckedAfterItMovesIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.answer("good", outcome.Rejected)
	w.mass = true
	w.step()
	w.latency = 2 * s
	w.requestCheck("of both, in the round that confirms the rejection")
	w.expectReady("False/Revoked")
	w.expectTarget("good")
	w.touchSource()
	w.expectTarget("good")
	w.run(6 * m)
	w.expectTarget("key")
}

func TestAStandbyUnderSuspicionIsNotMovedIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.answer("key", outcome.Accepted)
	w.addStandby("key")
	w.writeSource("bad") // so that the standby is active
	w.expectTarget("key")
	w.answer("good", outcome.Accepted)
	w.refusal.Problem = "error" // so that the first, once accepted, can't be written
	w.writeSource("good")
	w.answer("good", outcome.Rejected)
	w.refusal = decision.Target{}
	w.requestCheck("of both")
	w.expectTarget("key")
	w.expectReady("True/FailedOver")
}

// A check that has to wait for its slot.
func TestACheckThatIsPutOffLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.answer("new", outcome.Accepted)
	w.putOff = func(tokenAt) time.Duration { return 3 * s }

	w.setSource("new")
	w.resource.Annotations[v1alpha1.AnnotationCheckRequestedAt] = "now"
	w.useEndpoint(gatewayURL)
	if got := w.wakeUp.Sub(w.now); w.sent("new") > 0 || got < s || got > 3*s {
		t.Fatalf("%d requests, and the next look in %s", w.sent("new"), got)
	}
	status := w.resource.Status
	if status.ObservedGeneration == w.resource.Generation || status.LastHandledCheckRequest == "now" {
		t.Errorf("what was put off is said to be done: %+v", status)
	}
	w.run(20 * s)
	w.expectTarget("good")
	if evaluations, checks := w.evaluations, w.sent("good"); evaluations > 20 || checks > 2 {
		t.Errorf("%d evaluations with %d checks of what is deployed while it was put off", evaluations, checks)
	}
	w.putOff = nil
	w.run(4 * s)
	w.expectReady("True/Accepted")
	w.expectTarget("new")
	if got := w.resource.Status; got.ObservedGeneration != w.resource.Generation || got.LastHandledCheckRequest != "now" {
		t.Errorf("after the check, the status is %+v", got)
	}
}

func TestAFirstCheckThatIsPutOffIsSaidToBeUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.answer("good", outcome.Accepted)
	w.putOff = func(tokenAt) time.Duration { return m }
	w.writeSource("good")
	w.expectReady("Unknown/Checking")
	w.putOff = nil
	w.run(61 * s)
	w.expectReady("True/Accepted")
}

func TestTheSecondDoesNotComeFirstBecauseTheFirstIsPutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.answer("good", outcome.Accepted)
	w.answer("key", outcome.Accepted)
	w.putOffToken("good", 2*s)
	w.setSource("good")
	w.addStandby("key")
	if w.target() != nil {
		t.Fatalf("delivered %q", w.target().token)
	}
	w.putOff = nil
	w.run(3 * s)
	w.expectTarget("good")
}

func TestAStandbyOutlastsAnEditWhileTheFirstSourceIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.source = nil
	w.happens()
	w.answer("other key", outcome.Accepted)
	w.writeStandby("other key")
	w.putOffToken("other key", m)
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.CheckInterval.Duration = h })
	if standby := w.resource.Status.Credentials[1]; standby.Verdict != v1alpha1.VerdictAccepted {
		t.Errorf("before it is checked again, the standby is known as\n%s", w.dump())
	}
}

func TestTheTokenInTheTargetIsCheckedBeforeTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	failedOver(w)
	w.answer("good", outcome.Accepted)
	for w.record().Verdict != v1alpha1.VerdictAccepted {
		w.step()
	}
	w.step()
	if last := w.requests[len(w.requests)-2:]; last[0].token != "key" || last[1].token != "good" {
		t.Errorf("%q was checked before %q", last[0].token, last[1].token)
	}
}

func TestAStandbyWhoseSecretCannotBeReadDoesNotStandIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.standby.isUnreadable = true
	w.happens()
	w.answer("good", outcome.Rejected)
	w.run(h)
	w.expectReady("False/Revoked")
	w.expectTarget("good")
}

func TestAStandbyThatStandsInIsRecognisedWhenItsSourceIsPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	failedOver(w)
	w.writeStandby("bad")
	w.goDown(sandboxURL, outcome.Unavailable)
	w.writeStandby("key")
	w.expectReady("True/FailedOver")
}

func TestATokenThatTwoEntriesMakeIsPutRightForTheOneThatItCameFrom(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence, entry string
		happens         func(*world)
	}{
		{"the first", "main", func(w *world) { w.useAPIKey("main", "key"); w.happens(); w.addStandby("key") }},
		{"the first under its new name", "renamed", func(w *world) {
			w.useAPIKey("main", "key")
			w.happens()
			w.addStandby("key")
			w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Credentials[0].Name = "renamed" })
		}},
		{"the second", "standby", func(w *world) {
			w.useAPIKey("main", "bad key")
			w.addStandby("key")
			w.putOffToken("key", h)
			w.useAPIKey("main", "key")
			w.happens()
		}},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox)
			w.answer("key", outcome.Accepted)
			row.happens(w)
			w.tamper("evil")
			if w.expectTarget("key"); w.heldEntry != row.entry || w.resource.Status.Deployed.Credential != row.entry {
				t.Errorf("it was written for %q, and the status names %q", w.heldEntry, w.resource.Status.Deployed.Credential)
			}
		})
	}
}

func TestTheStandbyIsJudgedWhileTheFirstCheckIsPutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.answer("key", outcome.Rejected)
	w.putOffToken("good", m)
	w.run(6 * m)
	if standby := w.resource.Status.Credentials[1]; standby.Verdict != v1alpha1.VerdictRejected {
		t.Errorf("the standby is known as\n%s", w.dump())
	}
}

func TestTheFirstIsDeliveredWhileTheCheckOfTheStandbyIsPutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.answer("good", outcome.Accepted)
	w.putOffToken("key", m)
	w.setSource("good")
	w.addStandby("key")
	w.expectTarget("good")
}

func TestAFailoverAsksForACheckThatBeganAfterTheRejection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.latency = 300 * time.Millisecond
	w.answer("good", outcome.Rejected)
	w.run(6 * m)
	w.expectTarget("key")
	var rejected time.Time
	urgent := 0
	for _, sent := range w.requests {
		if sent.Urgent {
			urgent++
		}
		if sent.outcome == outcome.Rejected {
			rejected = sent.began.Add(w.latency)
		}
		if sent.Urgent && sent.NotBefore.Before(rejected) {
			t.Errorf("the token was rejected at %s, and a check will do that began at %s", rejected, sent.NotBefore)
		}
	}
	if urgent == 0 {
		t.Error("no check was urgent")
	}
}

func TestALoginThatStandsByChangesNothingInTheTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.answer("other", outcome.Accepted)
	w.standby = &secret{uid: "standby", version: w.nextVersion(), value: "other"}
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) {
		spec.Credentials = append(spec.Credentials, v1alpha1.Credential{
			Name: "standby", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: standbyName},
		})
	})
	w.expectReady("True/Accepted")
	w.expectTarget("good")
	if got := w.condition(v1alpha1.ConditionSecretSynced); got != "True/Synced" {
		t.Errorf("SecretSynced is %s", got)
	}
}

func TestAFailoverIsNotPutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.answer("good", outcome.Rejected)
	w.step()
	w.putOffToken("key", m)
	w.step()
	w.expectTarget("key")
}

func TestASwapThatIsTakenBackWhileItsStatusIsRefusedLeavesTheFirstInTheTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.statusFates = []fate{refused}
	swap := func(spec *v1alpha1.JupicoCredentialSpec) {
		spec.Credentials = []v1alpha1.Credential{spec.Credentials[1], spec.Credentials[0]}
	}
	w.change(swap)
	w.reconcile() // which writes the target, but not the status
	w.expectTarget("key")
	w.edit(swap)
	w.expectTarget("good")
	w.answer("key", outcome.Rejected) // whoever revokes what is not active does no harm
	w.run(30 * m)
	w.expectTarget("good")
	w.expectReady("True/Accepted")
}

func TestAnEndpointThatIsEditedWhileAStatusIsRefusedIsNotMistaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.statusFates = []fate{refused}
	w.useEndpoint(gatewayURL)
	w.run(30 * m)
	w.expectReady("True/Accepted")
	if got := w.resource.Status.Deployed.Endpoint; got != gatewayURL {
		t.Errorf("the deployed token is said to be of %s", got)
	}
}

func TestWhatIsPutOffMakesNoOtherBeCheckedAgain(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"good", "bad"} {
		w := newWorld(t, sandbox)
		redundant(w)
		w.writeSource(value)
		w.putOffToken("key", 3*s)
		before := w.sent(value, value+"\n")
		w.requestCheck("now")
		w.run(m)
		if got := w.sent(value, value+"\n") - before; got == 0 || got > 2 {
			t.Errorf("%d requests with %q while another waits for its slot", got, value)
		}
	}
}

func TestAStandbyThatIsRejectedOnceIsConfirmedInItsOwnTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	w.answer("good", outcome.Rejected)
	w.step()
	w.answer("key", outcome.Rejected)
	w.resource.Status.Credentials[1].NextCheckTime = w.resource.Status.Credentials[0].NextCheckTime
	w.step()
	if got := w.resource.Status.Credentials[1]; got.Verdict != v1alpha1.VerdictAccepted || got.ConsecutiveRejected != 1 {
		t.Errorf("after a single rejection, the standby's record is %+v", got)
	}
	w.answer("key", outcome.Accepted)
	w.run(10 * s)
	w.expectTarget("key")
}

func TestAFailoverThatAConflictHeldUpIsMadeUpFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.setInterval(24 * h)
	redundant(w)
	w.answer("good", outcome.Rejected)
	w.target().owner = "somebody"
	w.step()
	w.step()
	w.expectReady("False/TargetConflict")
	w.giveTargetBack()
	w.expectTarget("key")
	w.expectReady("True/FailedOver")
}

func TestOnTheWayBackNothingIsAskedOfTheUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	failedOver(w)
	w.answer("good", outcome.Accepted)
	for w.resource.Status.Credentials[0].Verdict != v1alpha1.VerdictAccepted {
		w.step()
	}
	w.expectReady("True/FailedOver")
	if got := w.message(v1alpha1.ConditionReady); !strings.Contains(got, "twice in a row") || strings.Contains(got, "Put ") {
		t.Errorf("Ready says %q", got)
	}
}

func TestWhatIsPutOffDoesNotMakeTheDeployedTokenBeCheckedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.writeSource("bad")
	w.putOffToken("bad", 3*s)
	before := w.sent("good")
	w.requestCheck("now")
	w.run(m)
	if got := w.sent("good") - before; got != 1 {
		t.Errorf("%d checks of the deployed token while another waits for its slot", got)
	}
}

func TestATokenThatIsReplacedIsNotCheckedAnyMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.writeSource("new")
	w.answer("new", outcome.Accepted)
	before := w.sent("good")
	w.requestCheck("of both")
	w.expectTarget("new")
	if got := w.sent("good") - before; got != 0 {
		t.Errorf("%d checks of the token that was replaced", got)
	}
}
