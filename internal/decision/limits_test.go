// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// TestWhatIsNotCheckedMayBeFoughtOver: no edit of anything else has a rejected credential sent again.
func TestWhatIsNotCheckedMayBeFoughtOver(t *testing.T) {
	t.Parallel()
	spec := func(edit func(spec *v1alpha1.JupicoCredentialSpec, n int)) func(*world, int) {
		return func(w *world, n int) { w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { edit(spec, n) }) }
	}
	for _, row := range []struct {
		sentence string
		edit     func(w *world, n int)
	}{
		{"a label", func(w *world, n int) {
			w.resource.Labels = map[string]string{"team": fmt.Sprint(n % 2)}
			w.resource.ResourceVersion = w.nextVersion()
			w.happens()
		}},
		{"a label, in the middle of every round", func(w *world, _ int) {
			w.meanwhile = func() { w.resource.ResourceVersion = w.nextVersion() }
			w.happens()
		}},
		{"an annotation", func(w *world, n int) {
			w.resource.Annotations["shop.example/note"] = fmt.Sprint(n)
			w.resource.ResourceVersion = w.nextVersion()
			w.happens()
		}},
		{"the name of the target", spec(func(spec *v1alpha1.JupicoCredentialSpec, n int) {
			spec.Target.Name = fmt.Sprint("target-", n%2)
		})},
		{"creationPolicy", spec(func(spec *v1alpha1.JupicoCredentialSpec, n int) {
			spec.Target.CreationPolicy = []v1alpha1.CreationPolicy{"Owner", "Orphan"}[n%2]
		})},
		{"the template", spec(func(spec *v1alpha1.JupicoCredentialSpec, n int) {
			spec.Target.Template = &v1alpha1.TargetTemplate{Data: map[string]v1alpha1.DataTemplate{"n": "{{ .Token }}"}}
			if n%2 == 0 {
				spec.Target.Template = nil
			}
		})},
		{"checkInterval", spec(func(spec *v1alpha1.JupicoCredentialSpec, n int) {
			spec.CheckInterval.Duration = []time.Duration{30 * s, 5 * m, 24 * h}[n%3]
		})},
		{"the name of the entry", spec(func(spec *v1alpha1.JupicoCredentialSpec, n int) {
			spec.Credentials[0].Name = fmt.Sprint("name-", n%2)
		})},
		{"suspend", func(w *world, n int) { w.suspend(n%2 == 0) }},
		{"the source's version", func(w *world, _ int) { w.touchSource() }},
		{"the environment, with the same URL", spec(func(spec *v1alpha1.JupicoCredentialSpec, n int) {
			spec.Environment = []v1alpha1.Environment{shared, sandbox}[n%2]
		})},
	} {
		for _, before := range []func(*world){func(w *world) { w.writeSource("bad") }, revoked} {
			t.Run(row.sentence, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, sandbox)
				w.setInterval(5 * m)
				before(w)
				requests := len(w.requests)
				for n := range 60 {
					row.edit(w, n)
					w.run(s)
				}
				if got := len(w.requests) - requests; got > 0 {
					t.Errorf("%d requests in a minute", got)
				}
			})
		}
	}
}

func TestAShorterIntervalHastensNoRejectedCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.setInterval(24 * h)
	w.writeSource("bad")
	w.run(10 * m)
	requests := len(w.requests)
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.CheckInterval.Duration = 5 * m })
	w.run(40 * m)
	if got := len(w.requests) - requests; got > 0 {
		t.Errorf("%d requests within the longest wait of the shorter interval", got)
	}
	w.run(20 * m)
	if len(w.requests) == requests {
		t.Errorf("it waits as long as with the longer interval:\n%s", w.dump())
	}
}

// fights are edits of what is checked, one after another.
func fights() map[string]func(w *world, n int) {
	wrong := []string{"wrong A", "wrong B"}
	return map[string]func(w *world, n int){
		"two wrong passwords in turn":      func(w *world, n int) { w.writeSource(wrong[n%2]) },
		"ever new wrong passwords":         func(w *world, n int) { w.writeSource(fmt.Sprint("wrong ", n)) },
		"a login and an API key in turn":   func(w *world, n int) { w.writeSource([]string{"wrong", "key wrong"}[n%2]) },
		"a good and a wrong one in turn":   func(w *world, n int) { w.writeSource([]string{"wrong", "good"}[n%2]) },
		"a wrong one, and none, in turn":   func(w *world, n int) { w.breakOrWrite(n, wrong[n/2%2]) },
		"two endpoints in turn":            func(w *world, n int) { w.useEndpoint([]string{gatewayURL, productionURL}[n%2]) },
		"two bundles of certificates":      func(w *world, n int) { w.useCA(fmt.Sprint(n % 2)) },
		"a standby that comes and goes":    func(w *world, n int) { w.addOrRemoveStandby(n) },
		"both entries, and their endpoint": func(w *world, n int) { w.editBoth(n) },
	}
}

func (w *world) breakOrWrite(n int, value string) {
	if n%2 == 0 {
		w.breakSource(v1alpha1.ReasonInvalidSource, "The password is empty.")
	} else {
		w.writeSource(value)
	}
}

func (w *world) useCA(pem string) {
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) {
		spec.Endpoint = &v1alpha1.Endpoint{URL: gatewayURL, CABundle: []byte(pem)}
	})
}

func (w *world) addOrRemoveStandby(n int) {
	if n%2 == 0 {
		w.addStandby("key wrong")
	} else {
		w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Credentials = spec.Credentials[:1] })
	}
}

func (w *world) editBoth(n int) {
	w.setSource(fmt.Sprint("wrong ", n))
	w.change(func(spec *v1alpha1.JupicoCredentialSpec) {
		spec.Endpoint = &v1alpha1.Endpoint{URL: []string{gatewayURL, productionURL}[n%2]}
	})
	w.addStandby(fmt.Sprint("key wrong ", n))
}

// tries counts the rounds in which something wrong was sent, since a number of requests.
func (w *world) tries(since int) int {
	began := map[time.Time]bool{}
	for _, r := range w.requests[since:] {
		if r.outcome.Class() == outcome.Rejection {
			began[r.began] = true
		}
	}
	return len(began)
}

func TestAFightOverWhatIsCheckedIsBounded(t *testing.T) {
	t.Parallel()
	for sentence, edit := range fights() {
		for _, before := range []func(*world){func(w *world) { w.writeSource("bad") }, delivered, revoked} {
			t.Run(sentence, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, sandbox)
				w.hook = func(p tokenAt) outcome.Outcome {
					if p.token == "good" && p.at.URL == sandboxURL {
						return ""
					}
					return outcome.UserInactive // of which one form is enough to know
				}
				before(w)
				w.isSampled = true
				requests := len(w.requests)
				for n := range 30 {
					edit(w, n)
					w.run(s)
				}
				if got := w.tries(requests); got > 11 {
					t.Errorf("%d tries in half a minute", got)
				}
				for n := range 600 {
					edit(w, n)
					w.run(s)
				}
				// The deployed token has its own schedule, and a second entry is tried along.
				if got := w.tries(requests); got > 11+11+4 {
					t.Errorf("%d tries in ten minutes and a half", got)
				}
			})
		}
	}
}

func TestAFightIsSaidAndAGoodCredentialWinsWithinAMinute(t *testing.T) {
	t.Parallel()
	for _, before := range []func(*world){func(w *world) { w.writeSource("bad") }, delivered, revoked} {
		for _, by := range append(clockChanges(), 0) {
			w := newWorld(t, sandbox)
			before(w)
			w.fight(15)
			w.answer("new", outcome.Accepted)
			w.writeSource("new")
			next := w.resource.Status.NextCheckTime
			message := w.message(v1alpha1.ConditionReady)
			for _, says := range []string{"10 edits or check requests in a row", next.UTC().Format(time.RFC3339), `"jupico-login"`} {
				if !strings.Contains(message, says) {
					t.Errorf("%q does not say %q", message, says)
				}
			}
			if w.sent("new") > 0 {
				t.Fatal("it was tried at once")
			}
			w.setClock(by, false)
			w.run(2*m + 4*s) // since a clock may be a minute ahead
			w.expectReady("True/Accepted")
			w.expectTarget("new")
		}
	}
}

func TestALoneEditIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	tried := func(value string) {
		t.Helper()
		w.writeSource(value)
		if w.sent(value) == 0 {
			t.Fatalf("%q was not tried at once:\n%s", value, w.dump())
		}
	}
	for n := range 100 { // which are not many, if they take their time
		tried(fmt.Sprint("slow ", n))
		w.run(m + 2*s)
	}
	w.fight(60)
	w.run(11 * m)
	tried("after a fight")
	w.fight(60)
	w.restart()
	tried("after a restart")
}

func TestGoodEditsAreTriedAtOnceHoweverOftenTheyCome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	for n := range 30 {
		value := fmt.Sprint("good ", n)
		w.answer(value, outcome.Accepted)
		w.writeSource(value)
		w.expectReady("True/Accepted")
		w.expectTarget(value)
	}
}

func TestAnEditWithACheckRequestCountsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.fight(8) // and so there may be two more
	w.setSource("with a request")
	w.requestCheck("now")
	w.writeSource("the last")
	if w.sent("with a request") == 0 || w.sent("the last") == 0 {
		t.Errorf("the edits were not tried:\n%s", w.dump())
	}
	w.run(m + 2*s) // after which there may be one more, and it is the request's
	w.setSource("with another request")
	w.requestCheck("again")
	if got := w.resource.Status.LastHandledCheckRequest; got != "again" || w.sent("with another request") == 0 {
		t.Errorf("the request %q is said to be handled:\n%s", got, w.dump())
	}
	w.setSource("too late")
	w.requestCheck("too often")
	if w.sent("too late") > 0 {
		t.Error("an edit was tried though neither it nor the request was let through")
	}
	w.run(m + 2*s)
	if got := w.resource.Status.LastHandledCheckRequest; got != "too often" || w.sent("too late") == 0 {
		t.Errorf("the request %q is said to be handled:\n%s", got, w.dump())
	}
}

func TestAnEditThatIsTakenBackIsNotHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	planned := w.record().NextCheckTime
	w.fight(60)
	w.writeSource("good")
	w.expectReady("True/Accepted")
	if got := w.record().NextCheckTime; !got.Equal(planned) {
		t.Errorf("the next check is at %s, want %s", got, planned)
	}
	if got := w.condition(v1alpha1.ConditionSecretSynced); got != "True/Synced" {
		t.Errorf("SecretSynced is %s", got)
	}
	w.answer("good", outcome.Rejected)
	w.step()
	w.step()
	w.expectReady("False/Revoked")
	if got := w.next(); got < 5*m {
		t.Errorf("what was rejected is tried again in %s, as if it were an edit", got)
	}
}

func TestAHeldEditIsTriedInBothForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.writeSource("bad")
	w.fight(60)
	w.answer("good\n", outcome.Accepted)
	w.writeSource("good")
	w.run(m + 2*s)
	w.expectReady("True/Accepted")
	w.expectTarget("good\n")
}

func TestEditsOfAStandbyAreBoundedWhileTheFirstEntryIsNotChecked(t *testing.T) {
	t.Parallel()
	for sentence, happens := range map[string]func(*world){
		"as its source is missing": (*world).deleteSource,
		"as its check is put off":  func(w *world) { w.putOffToken("good", h); w.editTarget() },
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox)
			redundant(w)
			happens(w)
			before := len(w.requests)
			for i := range 30 {
				w.writeStandby("bad key " + strconv.Itoa(i))
			}
			if tries := len(w.requests) - before; tries != 10 {
				t.Errorf("%d edits were tried at once", tries)
			}
		})
	}
}

func TestASuspensionDoesNotMakeATokenUnverifiable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.writeSource("bad")
	w.suspend(true)
	w.stop()
	w.run(48 * h)
	if got := w.condition(v1alpha1.ConditionCredentialAccepted); got != "Unknown/Stale" {
		t.Errorf("got %s", got)
	}
}

func TestASuspendedResourcePlansNoCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	redundant(w)
	planned := w.record().NextCheckTime
	redundantNow := w.condition(v1alpha1.ConditionRedundant)
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Suspend, spec.Target.Name = true, "elsewhere" })
	delete(w.targets, targetName)
	w.happens()
	if next := w.resource.Status.NextCheckTime; next != nil {
		t.Errorf("the next check is said to be at %s", next)
	}
	if got := w.record().NextCheckTime; !got.Equal(planned) {
		t.Errorf("the record has the next check at %s, want %s", got, planned)
	}
	if got := w.condition(v1alpha1.ConditionRedundant); got != redundantNow {
		t.Errorf("Redundant is %s, and was %s", got, redundantNow)
	}
	if c := w.resource.Status.ObservedGeneration; c != w.resource.Generation {
		t.Errorf("observed generation %d of %d", c, w.resource.Generation)
	}
	requests := len(w.requests)
	w.suspend(false)
	w.expectReady("True/Accepted")
	w.expectTarget("good")
	if len(w.requests) == requests {
		t.Error("the target was made with a token that was proven long ago")
	}
	if got := w.condition(v1alpha1.ConditionSecretSynced); got != "True/Synced" {
		t.Errorf("SecretSynced is %s", got)
	}
}

func TestAfterASuspensionTheScheduleGoesOn(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		w := newWorld(t, sandbox)
		delivered(w)
		planned, requests := w.resource.Status.NextCheckTime.DeepCopy(), len(w.requests)
		w.suspend(true)
		w.run(m)
		if restarts {
			w.restart()
		}
		w.suspend(false)
		if got := w.resource.Status.NextCheckTime; !got.Equal(planned) || len(w.requests) != requests {
			t.Errorf("after %d requests, the next check is at %s, want %s", len(w.requests)-requests, got, planned)
		}
		w.suspend(true)
		w.run(10 * m)
		w.suspend(false) // what would have been due meanwhile is due at once
		if len(w.requests) != requests+1 {
			t.Errorf("%d requests after a long suspension", len(w.requests)-requests)
		}
		w.expectReady("True/Accepted")
	}
}

func TestACheckRequestThatIsPutOffIsSaidToBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	for i := range 11 {
		w.requestCheck(fmt.Sprint("request ", i))
	}
	said := w.message(v1alpha1.ConditionReady)
	made := w.wakeUp.Add(time.Second - 1).UTC().Format(time.RFC3339)
	for _, says := range []string{"holds its token. Checks were requested too often", "is made at " + made} {
		if !strings.Contains(said, says) {
			t.Errorf("Ready says %q, not %q", said, says)
		}
	}
	if handled := w.resource.Status.LastHandledCheckRequest; handled != "request 9" {
		t.Errorf("%q was handled", handled)
	}
	w.run(2 * m)
	if handled := w.resource.Status.LastHandledCheckRequest; handled != "request 10" {
		t.Errorf("%q was handled", handled)
	}
	if said := w.message(v1alpha1.ConditionReady); strings.Contains(said, "too often") {
		t.Errorf("Ready still says %q", said)
	}
}

func TestAHeldEditIsSaidBesideTheRevocationThatItIsToMend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.answer("good", outcome.Rejected)
	w.run(6 * m)
	w.fight(12)
	w.expectReady("False/Revoked")
	for _, want := range []string{"and now rejects it", "After 10 edits or check requests in a row"} {
		if got := w.message(v1alpha1.ConditionReady); !strings.Contains(got, want) {
			t.Errorf("Ready does not say %q, but %q", want, got)
		}
	}
}
