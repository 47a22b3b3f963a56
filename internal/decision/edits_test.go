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

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// setSource writes the source, and no watch shows it yet.
func (w *world) setSource(value string) {
	w.source = &secret{uid: "source", version: w.nextVersion(), value: value, key: strings.HasPrefix(value, "key")}
}

func (w *world) writeSource(value string) {
	w.setSource(value)
	w.happens()
}

func (w *world) touchSource() {
	w.source.version = w.nextVersion()
	w.happens()
}

// failToRead lets the API server fail whoever reads the source.
func (w *world) failToRead() {
	w.source.isUnreadable = true
	w.touchSource()
}

// useAPIKey makes the first entry an API key, of which no watch shows anything yet.
func (w *world) useAPIKey(name, value string) {
	w.source = &secret{uid: "other", version: w.nextVersion(), value: value, key: true}
	w.change(func(spec *v1alpha1.JupicoCredentialSpec) {
		spec.Credentials[0] = v1alpha1.Credential{
			Name: name, APIKeySecretRef: &v1alpha1.APIKeySecretReference{Name: sourceName},
		}
	})
}

func (w *world) breakSource(problem, detail string) {
	w.source = &secret{uid: "source", version: w.nextVersion(), problem: problem, detail: detail}
	w.happens()
}

func (w *world) deleteSource() {
	w.source = nil
	w.happens()
}

func (w *world) deleteTarget() {
	delete(w.targets, w.resource.Spec.Target.Name)
	w.happens()
}

func (w *world) tamper(token string) {
	w.target().token, w.target().version = token, w.nextVersion()
	w.happens()
}

func (w *world) suspend(suspended bool) {
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Suspend = suspended })
}

func (w *world) useEndpoint(url string) {
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Endpoint = &v1alpha1.Endpoint{URL: url} })
}

func TestAnEditIsProvenBeforeItIsDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	writes := w.writes
	w.writeSource("bad")
	w.run(h)
	if w.target().token != "good" || w.writes != writes {
		t.Fatalf("the target holds %q after %d writes", w.target().token, w.writes-writes)
	}
	w.answer("new", outcome.Accepted)
	w.writeSource("new")
	if w.target().token != "new" || w.writes != writes+1 {
		t.Fatalf("the target holds %q after %d writes", w.target().token, w.writes-writes)
	}
	good := w.sent("good")
	w.run(h)
	if w.sent("good") != good {
		t.Error("the token that was replaced is still checked")
	}
}

func TestTheDeployedTokenGoesOnBeingCheckedOnItsOwnSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.writeSource("bad")
	good := w.sent("good")
	w.run(h)
	if got := w.sent("good") - good; got < 11 || got > 14 {
		t.Errorf("%d checks of the deployed token in an hour", got)
	}
	deployed := w.resource.Status.Deployed
	if deployed.Verdict != v1alpha1.VerdictAccepted || deployed.LastCheckTime == nil ||
		deployed.ConsecutiveAccepted != 2 {
		t.Errorf("status.deployed is %+v", deployed)
	}
	if w.record().Verdict != v1alpha1.VerdictRejected || w.record().LastAcceptedTime != nil {
		t.Errorf("status.credentials is %+v", w.record())
	}
	if next := w.resource.Status.NextCheckTime; !next.Equal(deployed.NextCheckTime) {
		t.Errorf("the next check is at %s, and the deployed token's at %s", next, deployed.NextCheckTime)
	}
}

func TestAnEditThatIsTakenBackLosesNothing(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		w := newWorld(t, sandbox)
		delivered(w)
		w.run(12 * m)
		w.writeSource("bad")
		before, requests := w.resource.Status.Deployed.DeepCopy(), len(w.requests)
		if restarts {
			w.stop()
		}
		w.writeSource("good")
		if got := w.record(); len(w.requests) != requests || got.Verdict != before.Verdict ||
			!got.LastAcceptedTime.Equal(before.LastAcceptedTime) || !got.NextCheckTime.Equal(before.NextCheckTime) ||
			got.ConsecutiveAccepted != before.ConsecutiveAccepted || got.TokenForm != v1alpha1.TokenFormStandard {
			t.Errorf("restarts %t: %+v became %+v, with %d checks", restarts, before, got, len(w.requests)-requests)
		}
		w.expectReady("True/Accepted")
		got := w.resource.Status.Deployed
		if got.LastCheckTime != nil || got.NextCheckTime != nil || got.ConsecutiveAccepted != 0 {
			t.Errorf("status.deployed repeats the record: %+v", got)
		}
	}
}

func TestASourceThatComesBackLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	accepted := w.record().LastAcceptedTime
	w.deleteSource()
	if got := w.record(); got.Source != nil || got.Reason != v1alpha1.ReasonSourceNotFound || got.NextCheckTime != nil {
		t.Errorf("without a source, the record is %+v", got)
	}
	w.run(m)
	w.writeSource("good")
	if got := w.record(); !got.LastAcceptedTime.Equal(accepted) || w.sent("good") != 1 {
		t.Errorf("the record is %+v after %d checks", got, w.sent("good"))
	}
	w.expectReady("True/Accepted")
}

func TestAConflictOfTheStatusLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	revoked(w)
	w.answer("new", outcome.Accepted)
	w.statusFates = []fate{refused} // after the target was written
	w.writeSource("new")
	w.expectReady("True/Accepted")
	if w.target().token != "new" {
		t.Errorf("the target holds %q", w.target().token)
	}
}

func TestAnotherEndpointIsProvenBeforeItIsTrusted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.goDown(gatewayURL, outcome.Unreachable)
	w.useEndpoint(gatewayURL)
	w.run(h)
	got := w.resource.Status.Deployed
	if got.Endpoint != sandboxURL || got.LastAcceptedTime.Time.Before(w.now.Add(-6*m)) {
		t.Fatalf("status.deployed is %+v", got)
	}
	for _, r := range w.requests {
		if r.at.URL == gatewayURL && r.outcome != outcome.Unreachable {
			t.Fatalf("%+v", r)
		}
	}
	accepted := w.message(v1alpha1.ConditionCredentialAccepted)
	if !strings.Contains(accepted, sandboxURL) || strings.Contains(accepted, gatewayURL) {
		t.Errorf("CredentialAccepted says %q of a token that %s accepted", accepted, sandboxURL)
	}
	if got := w.condition(v1alpha1.ConditionEndpointAvailable); got != "False/Unreachable" {
		t.Errorf("EndpointAvailable is %s (%s)", got, w.message(v1alpha1.ConditionEndpointAvailable))
	}
	w.expectNoEventsFor(2 * h)
	w.comeUp(gatewayURL)
	w.run(6 * m)
	w.expectReady("True/Accepted")
	if got := w.resource.Status.Deployed.Endpoint; got != gatewayURL {
		t.Errorf("the deployed token is said to be of %s", got)
	}
}

func TestNoEndpointIsSaidToHaveAnsweredForAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.useEndpoint(productionURL) // where the token is good too
	w.answer("good", outcome.Rejected)
	w.useEndpoint(gatewayURL)
	w.goDown(productionURL, outcome.Unavailable)
	w.run(h)
	for _, c := range w.resource.Status.Conditions {
		if strings.Contains(c.Message, productionURL) && c.Type == v1alpha1.ConditionEndpointAvailable {
			t.Errorf("%s=%s says %q of another endpoint than the spec's", c.Type, c.Status, c.Message)
		}
	}
	if got := w.condition(v1alpha1.ConditionEndpointAvailable); got != "True/Available" {
		t.Errorf("EndpointAvailable is %s", got)
	}
}

func TestOtherAuthoritiesOfOneEndpointDoNotMakeItFlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.hook = func(p tokenAt) outcome.Outcome {
		if p.at.CA == "wrong" {
			return outcome.TLSFailure
		}
		return ""
	}
	w.useEndpoint(gatewayURL)
	delivered(w)
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Endpoint.CABundle = []byte("wrong") })
	w.expectReady("True/TLSFailure")
	w.run(10 * m)
	w.expectNoEventsFor(2 * h)
	if got := w.condition(v1alpha1.ConditionEndpointAvailable); got != "False/TLSFailure" {
		t.Errorf("EndpointAvailable is %s", got)
	}
}

func TestAnEntryMayBeRenamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.run(12 * m)
	accepted := w.record().LastAcceptedTime
	w.goDown(sandboxURL, outcome.Unavailable)
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Credentials[0].Name = "other" })
	w.expectReady("True/Accepted")
	if got := w.record(); got.Name != "other" || !got.LastAcceptedTime.Equal(accepted) {
		t.Errorf("the record is %+v", got)
	}
	if got := w.resource.Status.Deployed.Credential; got != "other" {
		t.Errorf("the deployed token is said to be of %q", got)
	}
}

func TestAnEntryThatIsRenamedIsStillTheSameToken(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		w := newWorld(t, sandbox)
		delivered(w)
		if restarts {
			w.restart()
		}
		w.answer("good", outcome.Rejected)
		w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Credentials[0].Name = "other" })
		w.expectReady("True/Accepted")
		if record := w.record(); record.Name != "other" || record.ConsecutiveRejected != 1 || record.LastAcceptedTime == nil {
			t.Errorf("restarts %t: a first rejection made the record %+v", restarts, record)
		}
		w.run(10 * s)
		w.expectReady("False/Revoked")
	}
}

func TestMessagesNameTheEntryThatTheyAreAbout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.useAPIKey("key", "key")
	w.happens()
	w.expectReady("True/CandidateRejected")
	if got := w.message(v1alpha1.ConditionCredentialAccepted); !strings.Contains(got, `"main"`) {
		t.Errorf("of the token of main, CredentialAccepted says %q", got)
	}
	w.answer("good", outcome.Rejected)
	w.run(h)
	w.expectReady("False/Revoked")
	if got := w.message(v1alpha1.ConditionReady); !strings.Contains(got, `"main"`) || strings.Contains(got, `"key"`) {
		t.Errorf("of the token of main, Ready says %q", got)
	}
}

func TestATargetIsRenamedWithATokenThatWasProven(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.Name = "renamed" })
	w.expectReady("True/Accepted")
	if w.targets["renamed"] == nil || w.target().token != "good" || w.resource.Status.Target.Name != "renamed" {
		t.Errorf("the target is %+v", w.target())
	}
}

func TestDriftIsPutRightFromMemoryOrNotAtAll(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence string
		before   func(*world)
		ready    string
		token    string
		checks   int
	}{
		{"by a process that holds the token", func(*world) {}, "True/Accepted", "good", 0},
		{"in an outage", func(w *world) { w.goDown(sandboxURL, outcome.Unavailable) }, "True/Accepted", "good", 0},
		{"when the source is gone", func(w *world) { w.deleteSource() }, "True/SourceNotFound", "good", 0},
		{"when the source is rejected", func(w *world) { w.writeSource("bad") }, "True/CandidateRejected", "good", 0},
		{"after a restart, by a source that is proven again", func(w *world) { w.stop() }, "True/Accepted", "good", 1},
		{"after a restart in an outage", func(w *world) { w.stop(); w.goDown(sandboxURL, outcome.Unavailable) },
			"False/WaitingForCredential", "evil", 1},
		{"after a restart without a source", func(w *world) { w.stop(); w.source = nil },
			"False/SourceNotFound", "evil", 0},
		{"after a rejection", func(w *world) { w.answer("good", outcome.Rejected); w.run(h) },
			"False/Revoked", "evil", 0},
		{"while suspended", func(w *world) { w.suspend(true) }, "True/Suspended", "evil", 0},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			w := newWorld(t, sandbox)
			delivered(w)
			row.before(w)
			checks := w.sent("good")
			w.tamper("evil")
			w.expectReady(row.ready)
			if w.target().token != row.token || w.sent("good") != checks+row.checks {
				t.Errorf("the target holds %q after %d checks, want %q after %d", w.target().token, w.sent("good")-checks,
					row.token, row.checks)
			}
			for _, r := range w.requests {
				if r.token == "evil" {
					t.Fatal("what somebody else put into the target was sent")
				}
			}
		})
	}
}

func TestADriftThatCannotBePutRightDoesNotQuickenTheChecks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.stop()
	w.goDown(sandboxURL, outcome.Unavailable)
	w.tamper("evil")
	w.run(10 * m)
	requests := len(w.requests)
	for range 20 {
		w.tamper("evil")
	}
	if got := len(w.requests) - requests; got > 1 {
		t.Errorf("20 events made %d checks, whatever the schedule says", got)
	}
}

func TestADeployedTokenThatIsNotKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	w.writeSource("bad")
	w.stop()
	w.tamper("evil")
	if got := w.condition(v1alpha1.ConditionCredentialAccepted); got != "True/Accepted" {
		t.Errorf("while it is fresh, CredentialAccepted is %s", got)
	}
	for _, conditionType := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionSecretSynced} {
		if got := w.message(conditionType); strings.Contains(got, "keeps") {
			t.Errorf("of a target that was tampered with, %s says %q", conditionType, got)
		}
	}
	evaluations := w.evaluations
	w.run(3 * h)
	if got := w.condition(v1alpha1.ConditionCredentialAccepted); got != "Unknown/DeployedUnverifiable" {
		t.Errorf("CredentialAccepted is %s", got)
	}
	if got := w.evaluations - evaluations; got > 20 {
		t.Errorf("%d evaluations in three hours", got)
	}
	w.answer("new", outcome.Accepted)
	w.writeSource("new")
	w.expectReady("True/Accepted")
}

func TestMessagesAreTrue(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence    string
		environment v1alpha1.Environment
		history     func(*world)
		condition   string
		says, never []string
	}{
		{"a reset has three causes", shared, revoked, v1alpha1.ConditionReady,
			[]string{
				"daily reset", "published password was changed", "revoked", "2026-01-02T03:04:05Z", `"main"`,
				`"jupico-login"`,
			}, nil},
		{"a revocation says until when, and what to do", sandbox, revoked, v1alpha1.ConditionReady,
			[]string{"2026-01-02T03:04:05Z", `"jupico-login"`, `"payments-jupico" keeps`}, nil},
		{"a revocation of a token that is gone from the target does not say that it is kept", sandbox,
			func(w *world) { revoked(w); w.deleteTarget() }, v1alpha1.ConditionReady, nil, []string{"keeps"}},
		{"a user that was never active was not accepted", sandbox,
			func(w *world) { w.answer("good", outcome.UserInactive); w.writeSource("good") }, v1alpha1.ConditionReady,
			[]string{"not active"}, []string{"any more", "until"}},
		{"a user that is not active any more was accepted", sandbox,
			func(w *world) { delivered(w); w.answer("good", outcome.UserInactive); w.run(6 * m) }, v1alpha1.ConditionReady,
			[]string{"any more", "2026-01-02T03:04:05Z"}, nil},
		{"a wrong password is to be compared with its environment", production,
			func(w *world) { w.writeSource("bad") }, v1alpha1.ConditionReady, []string{"Production", `"jupico-login"`}, nil},
		{"silence in production may be the allow list", production,
			func(w *world) { w.goDown(productionURL, outcome.Unreachable); w.writeSource("good") }, v1alpha1.ConditionReady,
			[]string{"allow-listed", productionURL}, nil},
		{"silence in a sandbox is not the allow list", sandbox,
			func(w *world) { w.goDown(sandboxURL, outcome.Unreachable); w.writeSource("good") }, v1alpha1.ConditionReady,
			[]string{sandboxURL, "HTTP 999"}, []string{"allow"}},
		{"what is stale says since when and why", sandbox,
			func(w *world) { delivered(w); w.goDown(sandboxURL, outcome.TLSFailure); w.run(h) }, v1alpha1.ConditionReady,
			[]string{"2026-01-02T03:04:05Z", "TLSFailure", "EndpointAvailable"}, nil},
		{"what is stale because of a suspension was available", sandbox,
			func(w *world) { delivered(w); w.suspend(true); w.run(h) }, v1alpha1.ConditionCredentialAccepted,
			[]string{"2026-01-02T03:04:05Z"}, []string{"(Available)"}},
		{"nothing is said of a rejection that is not confirmed, not even of what is stale", sandbox,
			func(w *world) {
				delivered(w)
				w.goDown(sandboxURL, outcome.Unavailable)
				w.run(h)
				w.comeUp(sandboxURL)
				w.answer("good", outcome.Rejected)
				w.step()
				w.expectReady("True/Stale")
			}, v1alpha1.ConditionReady, nil, []string{"Rejected", "Available)"}},
		{"a suspension does not make a target unverifiable", sandbox,
			func(w *world) { delivered(w); w.writeSource("bad"); w.suspend(true); w.run(h) },
			v1alpha1.ConditionCredentialAccepted, nil, []string{"was changed"}},
		{"a candidate that is rejected leaves the deployed token", sandbox,
			func(w *world) { delivered(w); w.answer("bad", outcome.AccountInactive); w.writeSource("bad") },
			v1alpha1.ConditionReady,
			[]string{"AccountInactive", `"jupico-login"`, `"payments-jupico" keeps`, "2026-01-02T03:04:05Z"}, nil},
		{"a source that is gone leaves the deployed token", sandbox,
			func(w *world) { delivered(w); w.deleteSource() }, v1alpha1.ConditionReady,
			[]string{`"jupico-login"`, `"payments-jupico" keeps`, "2026-01-02T03:04:05Z"}, nil},
		{"what was accepted does not wait to be", sandbox,
			func(w *world) { w.refusal.Problem = "error"; accepted(w) }, v1alpha1.ConditionReady,
			nil, []string{"as soon as Jupico accepts"}},
		{"a permission that is missing need not be wrong", sandbox,
			func(w *world) { w.answer("good", outcome.LimitedPermissions); w.writeSource("good") }, v1alpha1.ConditionReady,
			[]string{"permission", `"payments-jupico" holds`}, nil},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			w := newWorld(t, row.environment)
			row.history(w)
			got := w.message(row.condition)
			for _, says := range row.says {
				if !strings.Contains(got, says) {
					t.Errorf("%q does not say %q", got, says)
				}
			}
			for _, never := range row.never {
				if strings.Contains(got, never) {
					t.Errorf("%q says %q", got, never)
				}
			}
		})
	}
}

// rotated is a world whose source holds another good password.
func rotated(w *world) {
	w.answer("new", outcome.Accepted)
	w.writeSource("new")
}

func TestEvents(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence    string
		environment v1alpha1.Environment
		// before happens, and then what the events are of.
		before, history func(*world)
		want            []string
	}{
		{"none for a first delivery", sandbox, nil, delivered, nil},
		{"none for a first check that waits", sandbox, nil,
			func(w *world) { w.putOff = func(tokenAt) time.Duration { return m }; w.writeSource("x") }, nil},
		{"none for what stays as it is", sandbox, delivered, func(w *world) { w.run(24 * h) }, nil},
		{"none for a restart", sandbox, delivered, func(w *world) { w.restart() }, nil},
		{"a source that is missing", sandbox, nil, func(w *world) { w.happens() }, []string{"Warning SourceNotFound"}},
		{"the delivery from a source that was missing", sandbox,
			func(w *world) { w.happens() }, delivered, []string{"Normal Delivered"}},
		{"a first delivery after a rejection", sandbox, func(w *world) { w.writeSource("bad") }, delivered,
			[]string{"Normal Delivered"}},
		{"a rotation", sandbox, delivered, rotated, []string{"Normal Delivered"}},
		{"a rotation whose first status was not written", sandbox, delivered,
			func(w *world) { w.statusFates = []fate{requestLost}; rotated(w) }, []string{"Normal Delivered"}},
		{"a rotation whose first status was written, but not confirmed", sandbox, delivered,
			func(w *world) { w.statusFates = []fate{answerLost}; rotated(w) }, []string{"Normal Delivered"}},
		{"a first rejection", sandbox, nil,
			func(w *world) { w.writeSource("bad"); w.run(5 * h) }, []string{"Warning Rejected"}},
		{"a reset, and that it is over", shared, delivered, func(w *world) {
			w.answer("good", outcome.Rejected)
			w.run(h)
			w.answer("good", outcome.Accepted)
			w.run(h)
		}, []string{"Warning SandboxReset", "Normal Recovered"}},
		{"a revocation", sandbox, delivered, func(w *world) { w.answer("good", outcome.Rejected); w.run(5 * h) },
			[]string{"Warning Revoked"}},
		{"an outage, and that it is over", sandbox, delivered, func(w *world) {
			w.goDown(sandboxURL, outcome.Unavailable)
			w.run(10 * m)
			w.comeUp(sandboxURL)
			w.run(10 * m)
		}, []string{"Warning Unavailable", "Normal Recovered"}},
		{"a long outage, and that it is over", sandbox, delivered, func(w *world) {
			w.goDown(sandboxURL, outcome.Unavailable)
			w.run(h)
			w.comeUp(sandboxURL)
			w.run(10 * m)
		}, []string{"Warning Unavailable", "Warning Stale", "Normal Recovered"}},
		{"a candidate that is rejected, and one that is not", sandbox, delivered, func(w *world) {
			w.writeSource("bad")
			w.run(h)
			w.answer("new", outcome.Accepted)
			w.writeSource("new")
		}, []string{"Warning CandidateRejected", "Normal Recovered", "Normal Delivered"}},
		{"a source that is gone, and is back", sandbox, delivered,
			func(w *world) { w.deleteSource(); w.run(h); w.writeSource("good") },
			[]string{"Warning SourceNotFound", "Normal Recovered"}},
		{"a target that was taken, and is given back", sandbox, delivered, func(w *world) {
			w.target().owner = "somebody"
			w.happens()
			w.run(h)
			w.target().owner = w.resource.Name
			w.happens()
		}, []string{"Warning TargetConflict", "Normal Recovered"}},
		{"a target that was put right", sandbox, delivered, func(w *world) { w.tamper("evil") },
			[]string{"Normal Restored"}},
		{"a target that was deleted", sandbox, delivered, func(w *world) { w.deleteTarget() }, []string{"Normal Recreated"}},
		{"a target that has another name", sandbox, delivered, func(w *world) {
			w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.Name = "renamed" })
		}, []string{"Normal Delivered"}},
		{"a former target that remains, and then goes", sandbox, delivered, func(w *world) {
			w.formerRemains = "The former target remains."
			w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.Name = "renamed" })
			w.formerRemains = ""
			w.run(h)
		}, []string{"Warning FormerTargetRemains", "Normal Delivered", "Normal Recovered"}},
		{"few for a rival, who wins for a minute", sandbox, delivered, func(w *world) {
			for range 20 {
				w.tamper("evil")
			}
		}, append(slices.Repeat([]string{"Normal Restored"}, 4), "Warning TargetContested")},
		{"a suspension, and its end", sandbox, delivered, func(w *world) { w.suspend(true); w.run(h); w.suspend(false) },
			[]string{"Normal Suspended", "Normal Accepted"}},
		{"another acceptance with fewer permissions", sandbox, delivered,
			func(w *world) { w.answer("good", outcome.LimitedPermissions); w.run(h) }, []string{"Normal LimitedPermissions"}},
		{"one that is edited while nothing answers", sandbox, delivered, func(w *world) {
			w.goDown(sandboxURL, outcome.Unavailable)
			w.answer("new", outcome.Accepted)
			w.writeSource("new")
			w.comeUp(sandboxURL)
			w.run(h)
		}, []string{"Warning Unavailable", "Normal Recovered", "Normal Delivered"}},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			w := newWorld(t, row.environment)
			if row.before != nil {
				row.before(w)
			}
			w.takeEvents()
			row.history(w)
			for _, e := range w.events {
				if e.Message == "" {
					t.Errorf("%s has no message", e.Reason)
				}
			}
			if got := w.takeEvents(); !slices.Equal(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestAStatusOfAnotherVersionIsMadeGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.goDown(sandboxURL, outcome.Unavailable)
	w.writeSource("good")
	w.resource.Status.Credentials[0].Reason = "AWordOfAnotherVersion"
	w.resource.Status.Conditions = nil
	w.reconcile() // which looks at the messages
	w.comeUp(sandboxURL)
	w.answer("good", outcome.Accepted)
	w.run(m)
	w.expectReady("True/Accepted")
}

// TestAnythingMayHappen walks at random, and after each step looks at what must always hold. From time to time all is
// mended, and then all must be well again.
func TestAnythingMayHappen(t *testing.T) {
	t.Parallel()
	const steps = 1000
	for seed := range uint64(orATenth(20)) { //nolint:gosec // never negative
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 7))
			w := newWorld(t, []v1alpha1.Environment{shared, sandbox, production}[seed%3])
			w.latency = time.Duration(random.IntN(2000)) * time.Millisecond
			w.setInterval([]time.Duration{30 * s, 5 * m, 24 * h, 5 * m, 20 * m}[seed%5])
			var trail []string
			defer func() {
				if t.Failed() {
					t.Logf("the last steps were %q", trail[max(0, len(trail)-12):])
				}
			}()
			for n := range steps {
				trail = append(trail, w.randomStep(random))
				if n%100 == 99 {
					trail = append(trail, "mend")
					w.mend()
				}
			}
		})
	}
}

// randomStep makes a random step, and names it.
func (w *world) randomStep(random *rand.Rand) string {
	w.t.Helper()
	value := []string{"one", "two", "three", "key"}[random.IntN(4)]
	key := "key " + value // of the standby
	form := []string{value, value, value + "\n", key}[random.IntN(4)]
	url := []string{sandboxURL, productionURL, gatewayURL}[random.IntN(3)]
	some := outcome.All()[random.IntN(len(outcome.All()))]
	flip := random.IntN(2) == 0
	steps := []struct {
		name string
		do   func()
	}{
		{"write " + value, func() { w.writeSource(value) }},
		{"write " + value, func() { w.writeSource(value) }},
		{"touch", func() {
			if w.source != nil {
				w.touchSource()
			}
		}},
		{"break", func() { w.breakSource(v1alpha1.ReasonInvalidSource, "The password is empty.") }},
		{"delete", func() { w.deleteSource() }},
		{"accept " + form, func() { w.answer(form, outcome.Accepted) }},
		{"accept " + form, func() { w.answer(form, outcome.Accepted) }},
		{"answer " + form + " " + string(some), func() { w.answer(form, some) }},
		{"revoke " + form, func() { w.answer(form, outcome.Rejected) }},
		{"down " + url, func() {
			if !some.IsEvidence() {
				w.goDown(url, some)
			}
		}},
		{"up " + url, func() { w.comeUp(url) }},
		{"up " + url, func() { w.comeUp(url) }},
		{"wait briefly", func() { w.run(time.Duration(random.IntN(30_000)) * time.Millisecond) }},
		{"wait", func() { w.run(time.Duration(random.IntN(900)) * s) }},
		{"wait long", func() { w.run(time.Duration(random.IntN(2)) * max(h, 2*w.resource.Spec.CheckInterval.Duration)) }},
		{"restart", w.restart},
		{"restart later", func() { w.stop(); w.now = w.now.Add(time.Duration(random.IntN(3600)) * s); w.happens() }},
		{"stop", w.stop},
		{"suspend", func() { w.suspend(flip) }},
		{"resume", func() { w.suspend(false) }},
		{"ask", func() { w.requestCheck(fmt.Sprint(random.Int())) }},
		{"endpoint " + url, func() { w.useEndpoint(url) }},
		{"no endpoint", func() { w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Endpoint = nil }) }},
		{"rename target", func() {
			w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.Name = "target-" + value })
		}},
		{"rename entry", func() {
			w.edit(func(spec *v1alpha1.JupicoCredentialSpec) {
				spec.Credentials[0].Name = value + spec.Credentials[0].SecretName()
			})
		}},
		{"add standby " + key, func() { w.addStandby(key) }},
		{"write standby " + key, func() { w.writeStandby(key) }},
		{"break standby", func() { w.standby = nil; w.happens() }},
		{"take an entry away", func() {
			w.edit(func(spec *v1alpha1.JupicoCredentialSpec) {
				keep := random.IntN(len(spec.Credentials))
				spec.Credentials = spec.Credentials[keep : keep+1]
			})
		}},
		{"swap", func() {
			if len(w.resource.Spec.Credentials) > 1 {
				w.swap()
			}
		}},
		{"mass " + fmt.Sprint(flip), func() { w.mass = flip }},
		{"delete target", func() { w.deleteTarget() }},
		{"tamper", func() {
			if w.target() != nil {
				w.tamper("evil")
			}
		}},
		{"take target", func() {
			if w.target() != nil {
				w.target().owner = "somebody"
				w.happens()
			}
		}},
		{"give target", w.giveTargetBack},
		{"refuse", func() {
			w.refusal.Problem = []string{
				"", "error", v1alpha1.ReasonTargetWriteFailed,
			}[random.IntN(3)]
			w.refusal.Detail = "The API server refuses it."
		}},
		{"allow", func() { w.refusal = decision.Target{} }},
		{"conflict", func() { w.statusFates = []fate{refused} }},
		{"conflict, and then something else", func() { w.statusFates = []fate{refused}; w.reconcile() }},
	}
	step := steps[random.IntN(len(steps))]
	step.do()
	w.happens()
	return step.name
}

func (w *world) giveTargetBack() {
	if w.target() != nil && w.target().owner != w.resource.Name {
		w.target().owner, w.target().version = w.resource.Name, w.nextVersion()
		w.happens()
	}
}

// mend makes all good, and looks whether the operator sees to the rest.
func (w *world) mend() {
	w.t.Helper()
	w.refusal, w.down = decision.Target{}, map[string]outcome.Result{}
	value := "one"
	if w.source != nil && w.source.problem == "" {
		value = w.source.value
	}
	w.accepts = map[string]outcome.Outcome{value: outcome.Accepted, value + "\n": outcome.Accepted}
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) {
		spec.Credentials = []v1alpha1.Credential{{
			Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: sourceName},
		}}
	})
	w.giveTargetBack()
	w.suspend(false)
	w.writeSource(value)
	w.requestCheck("mended at " + w.now.String())
	w.run(10 * m)
	w.expectReady("True/Accepted")
	if strings.TrimSpace(w.target().token) != value {
		w.t.Fatalf("the target holds %q, want %q", w.target().token, value)
	}
	fresh := max(5*m, w.resource.Spec.CheckInterval.Duration) + m
	if accepted := w.resource.Status.Deployed.LastAcceptedTime; accepted.Before(&metav1.Time{Time: w.now.Add(-fresh)}) {
		w.t.Fatalf("the token was accepted last at %s, and it is %s", accepted, w.now)
	}
	// Two tokens are not told apart for ever.
	if w.resource.Status.Deployed.LastCheckTime != nil {
		w.t.Fatalf("the candidate is deployed, and yet\n%s", w.dump())
	}
	w.proofs = map[tokenAt]*evidence{{w.target().token, w.endpoint()}: {isAccepted: true, isKnown: true}}
	w.requests = nil
}

func TestWhatIsNewOrChangedDoesNotWaitBehindRoutineChecks(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence  string
		happens   func(w *world)
		isAwaited bool
	}{
		{"a new resource is awaited", func(*world) {}, true},
		{"a scheduled check is routine", func(w *world) { w.run(6 * m) }, false},
		{"a scheduled check after a restart is routine", func(w *world) { w.restart(); w.run(6 * m) }, false},
		{"an edited source is awaited", func(w *world) { w.answer("other", outcome.Accepted); w.writeSource("other") }, true},
		{"an edited source is awaited when it comes back for its slot", func(w *world) {
			w.answer("other", outcome.Accepted)
			w.putOffToken("other", m)
			w.writeSource("other")
			w.putOff = nil
			w.run(2 * m)
		}, true},
		{"a check that was requested is awaited", func(w *world) { w.requestCheck("now") }, true},
		{"an edited spec is awaited", func(w *world) { w.editTarget() }, true},
		{"a target that changed while the operator was away is awaited", func(w *world) { w.stop(); w.tamper("evil") }, true},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox)
			delivered(w)
			if row.happens(w); w.requests[len(w.requests)-1].IsAwaited != row.isAwaited {
				t.Errorf("the last of %d checks: awaited is %t", len(w.requests), !row.isAwaited)
			}
		})
	}
}

func (w *world) restart() {
	w.stop()
	w.happens()
}

func TestMissingCertificatesAreNotTakenForThoseOfTheSystem(t *testing.T) {
	t.Parallel()
	for sentence, ca := range map[string]decision.CA{
		"that do not exist":  {Problem: "it does not exist", IsMissing: true},
		"that have no key":   {Problem: "it has no key \"ca.crt\""},
		"that are not there": unreadableCA(newWorld(t, sandbox)),
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox)
			delivered(w)
			w.ca = ca
			w.edit(func(spec *v1alpha1.JupicoCredentialSpec) {
				spec.Endpoint = &v1alpha1.Endpoint{
					URL: sandboxURL, CAConfigMapRef: &v1alpha1.CAConfigMapReference{Name: "authorities"},
				}
			})
			good := w.sent("good")
			w.run(h)
			w.expectReady("True/CAInvalid")
			if got := w.condition(v1alpha1.ConditionCredentialAccepted); got != "True/Accepted" || w.sent("good")-good < 11 {
				t.Errorf("CredentialAccepted is %s, and the deployed token was checked %d times", got, w.sent("good")-good)
			}
			w.ca = decision.CA{PEM: "pem"}
			w.happens()
			w.run(m)
			w.expectReady("True/Accepted")
			w.expectTarget("good")
		})
	}
}

func TestTheStatusSaysWhichBytesAreInTheTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	delivered(w)
	says := func(ref v1alpha1.SourceStatus) bool {
		return w.resource.Status.Deployed.Source != nil && *w.resource.Status.Deployed.Source == ref
	}
	first := w.source.ref()
	if !says(first) {
		t.Fatalf("not after the delivery:\n%s", w.dump())
	}
	w.writeSource("bad")
	if !says(first) {
		t.Errorf("not after a rejected edit:\n%s", w.dump())
	}
	w.answer("new", outcome.Accepted)
	w.writeSource("new")
	if !says(w.source.ref()) {
		t.Errorf("not after a rotation:\n%s", w.dump())
	}
	w.writeSource("new") // touched
	if !says(w.source.ref()) {
		t.Errorf("not after the source was touched:\n%s", w.dump())
	}

	// A status of an earlier version.
	w.resource.Status.Deployed.Source = nil
	w.resource.ResourceVersion = w.nextVersion()
	w.restart()
	if w.resource.Status.Deployed.Source != nil {
		t.Error("an upgrade writes the status at once")
	}
	w.run(6 * m)
	if !says(w.source.ref()) {
		t.Errorf("not after a check:\n%s", w.dump())
	}
}
