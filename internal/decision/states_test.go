// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	shared     = v1alpha1.EnvironmentSharedSandbox
	sandbox    = v1alpha1.EnvironmentSandbox
	production = v1alpha1.EnvironmentProduction

	reconciling = v1alpha1.ConditionReconciling
	stalled     = v1alpha1.ConditionStalled
)

// conditions as "status/reason".
type conditions struct {
	ready, accepted, synced, endpoint string
	// progress is Reconciling, Stalled or nothing.
	progress string
}

func (w *world) conditions() conditions {
	w.t.Helper()
	c := conditions{
		ready:    w.condition(v1alpha1.ConditionReady),
		accepted: w.condition(v1alpha1.ConditionCredentialAccepted),
		synced:   w.condition(v1alpha1.ConditionSecretSynced),
		endpoint: w.condition(v1alpha1.ConditionEndpointAvailable),
	}
	for _, progress := range []string{reconciling, stalled} {
		switch got := w.condition(progress); {
		case got == "":
		case got != "True/"+strings.SplitN(c.ready, "/", 2)[1]:
			w.t.Errorf("%s is %s beside Ready %s", progress, got, c.ready)
		case w.message(progress) != w.message(v1alpha1.ConditionReady):
			w.t.Errorf("%s says %q, and Ready %q", progress, w.message(progress), w.message(v1alpha1.ConditionReady))
		default:
			c.progress = progress
		}
	}
	return c
}

func (w *world) answer(token string, o outcome.Outcome) { w.accepts[token] = o }

func (w *world) goDown(url string, o outcome.Outcome) {
	w.down[url] = outcome.Result{Outcome: o, Detail: "HTTP 999"}
}

func (w *world) comeUp(url string) { delete(w.down, url) }

func (w *world) expectConditions(want conditions) {
	w.t.Helper()
	if got := w.conditions(); got != want {
		w.t.Errorf("got  %+v\nwant %+v\n%s", got, want, w.dump())
	}
	if testing.Verbose() {
		w.t.Log(w.dump())
	}
}

// delivered is a world in which the credential "good" was accepted and written.
func delivered(w *world) {
	accepted(w)
	w.expectReady("True/Accepted")
}

// revoked is a world in which that is over.
func revoked(w *world) {
	delivered(w)
	w.answer("good", outcome.Rejected)
	w.run(6 * time.Minute)
}

const keyMissing = `Secret "jupico-login" has no key "password": add it, or name the right key in spec.credentials.`

// state is a row of the table of states.
type state struct {
	sentence    string
	environment v1alpha1.Environment
	history     func(*world)
	want        conditions
}

func states() []state {
	waiting, ok, synced := "False/WaitingForCredential", "True/Available", "True/Synced"
	suspended := "Unknown/Suspended"
	const invalid, later, edited = "False/CAInvalid", "True/CAInvalid", "EditedTooOften"
	return []state{
		// On the way to a first delivery.
		{"the first check is under way", shared,
			func(w *world) { w.putOff = func(tokenAt) time.Duration { return m }; w.writeSource("good") },
			conditions{"Unknown/Checking", "Unknown/Checking", waiting, "Unknown/Checking", reconciling}},
		{"the source is missing from the start", shared,
			func(w *world) { w.happens() },
			conditions{"False/SourceNotFound", "Unknown/SourceNotFound", waiting, "Unknown/NotChecked", reconciling}},
		{"the source cannot be read from the start", shared,
			func(w *world) { w.source = &secret{isUnreadable: true}; w.happens() },
			conditions{"False/SourceUnreadable", "Unknown/SourceUnreadable", waiting, "Unknown/NotChecked", reconciling}},
		{"a key is missing from the start", shared,
			func(w *world) { w.breakSource(v1alpha1.ReasonSourceKeyMissing, keyMissing) },
			conditions{"False/SourceKeyMissing", "Unknown/SourceKeyMissing", waiting, "Unknown/NotChecked", stalled}},
		{"the source is invalid from the start", shared,
			func(w *world) { w.breakSource(v1alpha1.ReasonInvalidSource, "The username has a colon.") },
			conditions{"False/InvalidSource", "Unknown/InvalidSource", waiting, "Unknown/NotChecked", stalled}},
		{"all is good", shared, delivered,
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},
		{"all is good, but for a permission", sandbox,
			func(w *world) { w.answer("good", outcome.LimitedPermissions); w.writeSource("good") },
			conditions{"True/LimitedPermissions", "True/LimitedPermissions", synced, ok, ""}},
		{"never accepted", shared,
			func(w *world) { w.writeSource("bad") },
			conditions{"False/Rejected", "False/Rejected", waiting, ok, stalled}},
		{"never accepted, and then not there to ask", sandbox,
			func(w *world) {
				w.writeSource("bad")
				w.goDown(sandboxURL, outcome.Unavailable)
				w.run(6 * time.Minute)
			},
			conditions{"False/Rejected", "False/Rejected", waiting, "False/Unavailable", stalled}},
		{"never accepted, and then the source is gone", sandbox,
			func(w *world) { w.writeSource("bad"); w.deleteSource() },
			conditions{"False/SourceNotFound", "Unknown/SourceNotFound", waiting, ok, reconciling}},
		{"not there to ask, never accepted, and the source is gone", sandbox,
			func(w *world) { w.goDown(sandboxURL, outcome.Unreachable); w.writeSource("good"); w.deleteSource() },
			conditions{"False/SourceNotFound", "Unknown/SourceNotFound", waiting, "False/Unreachable", reconciling}},

		// After a delivery.
		{"accepted, then rejected once", sandbox,
			func(w *world) { delivered(w); w.answer("good", outcome.Rejected); w.now = w.wakeUp; w.reconcile() },
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},
		{"accepted, then rejected in the shared sandbox", shared, revoked,
			conditions{"False/SandboxReset", "False/SandboxReset", synced, ok, reconciling}},
		{"accepted, then rejected in a sandbox of one's own", sandbox, revoked,
			conditions{"False/Revoked", "False/Revoked", synced, ok, stalled}},
		{"accepted, then rejected in production", production, revoked,
			conditions{"False/Revoked", "False/Revoked", synced, ok, stalled}},
		{"rejected after an acceptance, and then not there to ask", sandbox,
			func(w *world) { revoked(w); w.goDown(sandboxURL, outcome.Forbidden); w.run(12 * time.Minute) },
			conditions{"False/Revoked", "False/Revoked", synced, "False/Forbidden", stalled}},
		{"rejected after an acceptance, and the source is gone", sandbox,
			func(w *world) { revoked(w); w.deleteSource() },
			conditions{"False/Revoked", "False/Revoked", "False/SourceNotFound", ok, stalled}},
		{"rejected after an acceptance, and the target is gone", sandbox,
			func(w *world) { revoked(w); w.deleteTarget() },
			conditions{"False/Revoked", "False/Revoked", waiting, ok, stalled}},
		{"rejected after an acceptance, and healed", shared,
			func(w *world) { revoked(w); w.answer("good", outcome.Accepted); w.run(time.Hour) },
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},
		{"no evidence, while the last is fresh", shared,
			func(w *world) { delivered(w); w.goDown(sandboxURL, outcome.Unavailable); w.run(14 * time.Minute) },
			conditions{"True/Accepted", "True/Accepted", synced, "False/Unavailable", ""}},
		{"no evidence for too long", shared,
			func(w *world) { delivered(w); w.goDown(sandboxURL, outcome.Unavailable); w.run(15 * time.Minute) },
			conditions{"True/Stale", "Unknown/Stale", synced, "False/Unavailable", ""}},
		{"evidence after too long", shared,
			func(w *world) {
				delivered(w)
				w.goDown(sandboxURL, outcome.Unavailable)
				w.run(time.Hour)
				w.comeUp(sandboxURL)
				w.run(6 * time.Minute)
			},
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},

		// Edits of the source.
		{"the new bytes are rejected, and the deployed token is still good", sandbox,
			func(w *world) { delivered(w); w.writeSource("bad"); w.run(time.Hour) },
			conditions{"True/CandidateRejected", "True/Accepted", "False/CandidateRejected", ok, ""}},
		{"the new bytes are rejected, and then the deployed token too", sandbox,
			func(w *world) {
				delivered(w)
				w.writeSource("bad")
				w.answer("good", outcome.Rejected)
				w.run(time.Hour)
			},
			conditions{"False/Revoked", "False/Revoked", "False/CandidateRejected", ok, stalled}},
		{"the new bytes are rejected, and the deployed token is not known", sandbox,
			func(w *world) {
				delivered(w)
				w.writeSource("bad")
				w.stop()
				w.tamper("evil")
				w.run(time.Hour)
			},
			conditions{"False/CandidateRejected", "Unknown/DeployedUnverifiable", "False/CandidateRejected", ok, stalled}},
		{"the new bytes met no evidence yet", sandbox,
			func(w *world) { delivered(w); w.goDown(sandboxURL, outcome.RateLimited); w.writeSource("new") },
			conditions{"True/RateLimited", "True/Accepted", "False/RateLimited", "False/RateLimited", reconciling}},
		{"the new bytes are accepted", sandbox,
			func(w *world) { delivered(w); w.answer("new", outcome.Accepted); w.writeSource("new") },
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},
		{"the new bytes are accepted, and to be accepted once more before they are written", sandbox,
			func(w *world) {
				delivered(w)
				w.controlAge = 2 * time.Minute
				w.answer("new", outcome.Accepted)
				w.writeSource("new")
			},
			conditions{"True/Accepted", "True/Accepted", waiting, ok, ""}},
		{"the source is gone later, and the deployed token is good", sandbox,
			func(w *world) { delivered(w); w.deleteSource(); w.run(time.Hour) },
			conditions{"True/SourceNotFound", "True/Accepted", "False/SourceNotFound", ok, ""}},
		{"the source cannot be read later, and the deployed token is good", sandbox,
			func(w *world) { delivered(w); w.failToRead(); w.run(time.Hour) },
			conditions{"True/SourceUnreadable", "True/Accepted", "False/SourceUnreadable", ok, ""}},
		{"the source cannot be read later, and the deployed token is rejected", sandbox,
			func(w *world) {
				delivered(w)
				w.failToRead()
				w.answer("good", outcome.Rejected)
				w.run(time.Hour)
			},
			conditions{"False/Revoked", "False/Revoked", "False/SourceUnreadable", ok, stalled}},
		{"the source can be read again", sandbox,
			func(w *world) {
				delivered(w)
				w.failToRead()
				w.source.isUnreadable = false
				w.run(m)
			},
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},
		{"the source is invalid later, and the deployed token is good", sandbox,
			func(w *world) {
				delivered(w)
				w.breakSource(v1alpha1.ReasonInvalidSource, "The password is empty.")
				w.run(time.Hour)
			},
			conditions{"True/InvalidSource", "True/Accepted", "False/InvalidSource", ok, ""}},
		{"a key of the source is gone later, and the deployed token is good", sandbox,
			func(w *world) {
				delivered(w)
				w.breakSource(v1alpha1.ReasonSourceKeyMissing, keyMissing)
				w.run(time.Hour)
			},
			conditions{"True/SourceKeyMissing", "True/Accepted", "False/SourceKeyMissing", ok, ""}},
		{"the source is gone later, and the deployed token is rejected", sandbox,
			func(w *world) { delivered(w); w.deleteSource(); w.answer("good", outcome.Rejected); w.run(time.Hour) },
			conditions{"False/Revoked", "False/Revoked", "False/SourceNotFound", ok, stalled}},
		{"the source is gone later, and there is no evidence of the deployed token", sandbox,
			func(w *world) {
				delivered(w)
				w.deleteSource()
				w.goDown(sandboxURL, outcome.TLSFailure)
				w.run(time.Hour)
			},
			conditions{"True/SourceNotFound", "Unknown/Stale", "False/SourceNotFound", "False/TLSFailure", ""}},

		// Edits of the spec.
		{"the new endpoint is not allowed, and the deployed token is good at the old one", sandbox,
			func(w *world) { delivered(w); w.goDown(gatewayURL, outcome.EndpointDenied); w.useEndpoint(gatewayURL) },
			conditions{"True/EndpointDenied", "True/Accepted", "False/EndpointDenied", "False/EndpointDenied", stalled}},
		{"the new endpoint accepts the token", sandbox,
			func(w *world) { delivered(w); w.useEndpoint(gatewayURL) },
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},

		// The certificates of the endpoint.
		{"the ConfigMap with the certificates is missing from the start", sandbox,
			func(w *world) {
				w.ca = decision.CA{Problem: "it does not exist", IsMissing: true}
				w.writeSource("good")
			},
			conditions{invalid, "Unknown/CAInvalid", waiting, invalid, reconciling}},
		{"the ConfigMap with the certificates cannot be read", sandbox,
			func(w *world) { w.ca = unreadableCA(w); w.writeSource("good") },
			conditions{invalid, "Unknown/CAInvalid", waiting, invalid, reconciling}},
		{"the ConfigMap with the certificates has none", sandbox,
			func(w *world) { w.ca = decision.CA{Problem: "it has no key \"ca.crt\""}; w.writeSource("good") },
			conditions{invalid, "Unknown/CAInvalid", waiting, invalid, stalled}},
		{"the ConfigMap with the certificates was missing", sandbox,
			func(w *world) {
				w.ca = decision.CA{Problem: "it does not exist", IsMissing: true}
				accepted(w)
				w.ca = decision.CA{PEM: "pem"}
				w.happens()
			},
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},
		{"the ConfigMap with the certificates could not be read", sandbox,
			func(w *world) { w.ca = unreadableCA(w); accepted(w); w.ca = decision.CA{PEM: "pem"}; w.run(m) },
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},
		{"the ConfigMap with other certificates is missing, and the deployed token is good", sandbox,
			func(w *world) {
				delivered(w)
				w.ca = decision.CA{Problem: "it does not exist", IsMissing: true}
				w.useEndpoint(gatewayURL)
			},
			conditions{later, "True/Accepted", invalid, invalid, reconciling}},
		{"the ConfigMap with other certificates cannot be read, and the deployed token is good", sandbox,
			func(w *world) { delivered(w); w.ca = unreadableCA(w); w.useEndpoint(gatewayURL) },
			conditions{later, "True/Accepted", invalid, invalid, reconciling}},
		{"the ConfigMap with other certificates has none, and the deployed token is good", sandbox,
			func(w *world) {
				delivered(w)
				w.ca = decision.CA{Problem: "it has no key \"ca.crt\""}
				w.useEndpoint(gatewayURL)
			},
			conditions{later, "True/Accepted", invalid, invalid, stalled}},

		// Edits that come too often.
		{"the source is edited too often, from the start", sandbox, func(w *world) { w.fight(30) },
			conditions{"False/" + edited, "Unknown/" + edited, waiting, ok, reconciling}},
		{"the source is edited too often, and the deployed token is good", sandbox,
			func(w *world) { delivered(w); w.fight(30) },
			conditions{"True/" + edited, "True/Accepted", "False/" + edited, ok, reconciling}},
		{"the source is edited too often, and the deployed token is rejected", sandbox,
			func(w *world) { revoked(w); w.fight(30) },
			conditions{"False/Revoked", "False/Revoked", "False/" + edited, ok, stalled}},
		{"the source was edited too often", sandbox,
			func(w *world) { delivered(w); w.fight(30); w.run(m + 2*s) },
			conditions{"True/CandidateRejected", "True/Accepted", "False/CandidateRejected", ok, ""}},

		// Two credentials.
		{"the standby is active", sandbox, failedOver,
			conditions{"True/FailedOver", "True/Accepted", synced, ok, ""}},
		{"the standby is active, and the source of the first is gone", sandbox,
			func(w *world) { failedOver(w); w.deleteSource() },
			conditions{"True/FailedOver", "True/Accepted", synced, ok, ""}},
		{"the standby is active for long without evidence", sandbox,
			func(w *world) { failedOver(w); w.goDown(sandboxURL, outcome.Unavailable); w.run(h) },
			conditions{"True/Stale", "Unknown/Stale", synced, "False/Unavailable", ""}},
		{"the standby is active, and its new bytes are rejected", sandbox,
			func(w *world) { failedOver(w); w.writeStandby("key bad") },
			conditions{"True/CandidateRejected", "True/Accepted", "False/CandidateRejected", ok, ""}},
		{"both are rejected", sandbox,
			func(w *world) { failedOver(w); w.answer("key", outcome.Rejected); w.run(h) },
			conditions{"False/Revoked", "False/Revoked", synced, ok, stalled}},
		{"only the standby was ever accepted", sandbox,
			func(w *world) { w.answer("key", outcome.Accepted); w.addStandby("key"); w.writeSource("bad") },
			conditions{"True/FailedOver", "True/Accepted", synced, ok, ""}},
		{"neither was ever accepted", sandbox,
			func(w *world) { w.addStandby("key"); w.writeSource("bad") },
			conditions{"False/Rejected", "False/Rejected", waiting, ok, stalled}},
		{"the first is gone from the start, and the standby rejected", sandbox,
			func(w *world) { w.addStandby("key") },
			conditions{"False/Rejected", "False/Rejected", waiting, ok, stalled}},
		{"neither source is there any more, and nothing was accepted", sandbox,
			func(w *world) { w.addStandby("key"); w.standby = nil; w.happens() },
			conditions{"False/SourceNotFound", "Unknown/SourceNotFound", waiting, ok, reconciling}},
		{"the new bytes of the first are rejected, and the standby is good", sandbox,
			func(w *world) { redundant(w); w.writeSource("bad"); w.run(h) },
			conditions{"True/CandidateRejected", "True/Accepted", "False/CandidateRejected", ok, ""}},
		{"the standby is rejected", sandbox,
			func(w *world) { redundant(w); w.answer("key", outcome.Rejected); w.run(h) },
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},
		{"the first is preferred again", sandbox,
			func(w *world) { failedOver(w); w.answer("good", outcome.Accepted); w.run(3 * h) },
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},

		// The target.
		{"the target is somebody else's, from the start", sandbox,
			func(w *world) {
				w.targets[targetName] = &secret{uid: "t", version: "1", owner: "somebody"}
				w.answer("good", outcome.Accepted)
				w.writeSource("good")
			},
			conditions{"False/TargetConflict", "True/Accepted", "False/TargetConflict", ok, stalled}},
		{"the target is nobody's, from the start", sandbox,
			func(w *world) { w.targets[targetName] = &secret{uid: "t", version: "1"}; accepted(w) },
			conditions{"False/TargetConflict", "True/Accepted", "False/TargetConflict", ok, stalled}},
		{"the target is a copy of another, from the start", sandbox,
			func(w *world) {
				w.targets[targetName] = &secret{uid: "t", version: "1", owner: w.resource.Name, isCopy: true}
				accepted(w)
			},
			conditions{"False/TargetConflict", "True/Accepted", "False/TargetConflict", ok, stalled}},
		{"the former target cannot be cleaned up", sandbox,
			func(w *world) {
				delivered(w)
				w.formerRemains = `Secret "payments-jupico" could not be deleted.`
				w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.Name = "renamed" })
			},
			conditions{"True/Accepted", "True/Accepted", "True/FormerTargetRemains", ok, ""}},
		{"the target becomes somebody else's", sandbox,
			func(w *world) { delivered(w); w.target().owner = "somebody"; w.happens() },
			conditions{"False/TargetConflict", "True/Accepted", "False/TargetConflict", ok, stalled}},
		{"the target is somebody else's, and the token is rejected", sandbox,
			func(w *world) { revoked(w); w.target().owner = "somebody"; w.happens() },
			conditions{"False/TargetConflict", "False/Revoked", "False/TargetConflict", ok, stalled}},
		{"a template has an error, from the start", sandbox,
			func(w *world) {
				w.templateProblem = templateProblem
				w.answer("good", outcome.Accepted)
				w.writeSource("good")
			},
			conditions{"False/TemplateError", "True/Accepted", "False/TemplateError", ok, stalled}},
		{"a template has an error, and nothing was accepted yet", sandbox,
			func(w *world) { w.templateProblem = templateProblem; w.writeSource("bad") },
			conditions{"False/TemplateError", "False/Rejected", "False/TemplateError", ok, stalled}},
		{"a template has an error, and a good target stands", sandbox,
			func(w *world) { delivered(w); w.templateProblem = templateProblem; w.editTarget() },
			conditions{"True/TemplateError", "True/Accepted", "False/TemplateError", ok, stalled}},
		{"a template has an error, and the new bytes are accepted", sandbox,
			func(w *world) {
				delivered(w)
				w.templateProblem = templateProblem
				w.editTarget()
				w.answer("new", outcome.Accepted)
				w.writeSource("new")
			},
			conditions{"True/TemplateError", "True/Accepted", "False/TemplateError", ok, stalled}},
		{"a template has an error, and the target that stands is stale", sandbox,
			func(w *world) {
				delivered(w)
				w.templateProblem = templateProblem
				w.editTarget()
				w.goDown(sandboxURL, outcome.Unavailable)
				w.run(time.Hour)
			},
			conditions{"True/TemplateError", "Unknown/Stale", "False/TemplateError", "False/Unavailable", stalled}},
		{"a template has an error, and the target is gone", sandbox,
			func(w *world) { delivered(w); w.templateProblem = templateProblem; w.editTarget(); w.deleteTarget() },
			conditions{"False/TemplateError", "True/Accepted", "False/TemplateError", ok, stalled}},
		{"a template has an error, and the token is rejected", sandbox,
			func(w *world) { revoked(w); w.templateProblem = templateProblem; w.editTarget() },
			conditions{"False/TemplateError", "False/Revoked", "False/TemplateError", ok, stalled}},
		{"a template is corrected", sandbox,
			func(w *world) {
				delivered(w)
				w.templateProblem = templateProblem
				w.editTarget()
				w.templateProblem = ""
				w.editTarget()
			},
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},
		{"the template is edited while the token is rejected", sandbox,
			func(w *world) { revoked(w); w.editTarget(); w.run(time.Hour) },
			conditions{"False/Revoked", "False/Revoked", waiting, ok, stalled}},
		{"the template was edited while the token was rejected, and that healed", shared,
			func(w *world) { revoked(w); w.editTarget(); w.answer("good", outcome.Accepted); w.run(time.Hour) },
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},
		{"the target cannot be observed", sandbox,
			func(w *world) {
				delivered(w)
				w.targetProblem = "The Secrets of the namespace cannot be watched."
				w.happens()
			},
			conditions{"False/TargetWriteFailed", "True/Accepted", "False/TargetWriteFailed", ok, reconciling}},
		{"the API server refuses the write", sandbox,
			func(w *world) {
				w.refusal = decision.Target{Problem: v1alpha1.ReasonTargetWriteFailed, Detail: "Quota exceeded."}
				accepted(w)
			},
			conditions{"False/TargetWriteFailed", "True/Accepted", "False/TargetWriteFailed", ok, reconciling}},
		{"the API server refuses to have the target put right", sandbox,
			func(w *world) {
				delivered(w)
				w.refusal = decision.Target{Problem: v1alpha1.ReasonTargetWriteFailed, Detail: "Quota exceeded."}
				w.deleteTarget()
			},
			conditions{"False/TargetWriteFailed", "True/Accepted", "False/TargetWriteFailed", ok, reconciling}},
		{"the API server fails", sandbox,
			func(w *world) { w.refusal.Problem = "error"; accepted(w) },
			conditions{"False/TargetWriteFailed", "True/Accepted", "False/TargetWriteFailed", ok, reconciling}},
		{"the target was changed behind a stopped operator, and nothing answers", sandbox,
			func(w *world) { delivered(w); w.stop(); w.goDown(sandboxURL, outcome.Unavailable); w.tamper("evil") },
			conditions{"False/WaitingForCredential", "True/Accepted", waiting, "False/Unavailable", reconciling}},
		{"somebody keeps undoing what is written", sandbox,
			func(w *world) {
				delivered(w)
				for range 6 {
					w.tamper("evil")
				}
			},
			conditions{"False/TargetContested", "True/Accepted", "False/TargetContested", ok, stalled}},
		{"the target is deleted, and is back", sandbox,
			func(w *world) { delivered(w); w.deleteTarget() },
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},

		// Suspension.
		{"suspended from the start", sandbox,
			func(w *world) { w.suspend(true) },
			conditions{suspended, suspended, suspended, suspended, ""}},
		{"suspended while all is good", sandbox,
			func(w *world) { delivered(w); w.suspend(true) },
			conditions{"True/Suspended", "True/Accepted", suspended, ok, ""}},
		{"suspended and renamed in one edit, and then the target is deleted", sandbox,
			func(w *world) {
				delivered(w)
				w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Suspend, spec.Target.Name = true, "elsewhere" })
				delete(w.targets, targetName)
				w.happens()
			},
			conditions{"True/Suspended", "True/Accepted", suspended, ok, ""}},
		{"suspended for long", sandbox,
			func(w *world) { delivered(w); w.suspend(true); w.run(time.Hour) },
			conditions{"True/Suspended", "Unknown/Stale", suspended, ok, ""}},
		{"suspended while rejected", sandbox,
			func(w *world) { revoked(w); w.suspend(true); w.run(time.Hour) },
			conditions{"False/Suspended", "False/Revoked", suspended, ok, ""}},
		{"suspended for long while the new bytes are rejected", sandbox,
			func(w *world) { delivered(w); w.writeSource("bad"); w.suspend(true); w.run(time.Hour) },
			conditions{"True/Suspended", "Unknown/Stale", suspended, ok, ""}},
		{"suspended while the target is somebody else's", sandbox,
			func(w *world) { delivered(w); w.target().owner = "somebody"; w.happens(); w.suspend(true) },
			conditions{"False/Suspended", "True/Accepted", suspended, ok, ""}},
		{"suspended before there was evidence", sandbox,
			func(w *world) { w.goDown(sandboxURL, outcome.Unavailable); w.writeSource("good"); w.suspend(true) },
			conditions{"False/Suspended", "Unknown/Suspended", suspended, "False/Unavailable", ""}},
		{"resumed", sandbox,
			func(w *world) { delivered(w); w.suspend(true); w.run(time.Hour); w.suspend(false) },
			conditions{"True/Accepted", "True/Accepted", synced, ok, ""}},
	}
}

func unreadableCA(w *world) decision.CA {
	return decision.CA{Problem: "it could not be read", ReadBackoff: decision.ReadBackoff{}.Next(w.now)}
}

// fight writes one wrong password after another, and nobody waits.
func TestWhatIsWrongWithTheSourceIsSaidBesideAConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.targets[targetName] = &secret{uid: "t", version: "1"}
	w.deleteSource()
	w.expectReady("False/TargetConflict")
	if got := w.message(v1alpha1.ConditionCredentialAccepted); !strings.Contains(got, `Secret "jupico-login" does not exist`) {
		t.Errorf("CredentialAccepted says %q", got)
	}
}

func (w *world) fight(edits int) {
	for n := range edits {
		w.writeSource(fmt.Sprint("wrong ", n))
	}
}

const templateProblem = `template of key "a", line 1, column 4: no`

// editTarget asks for another target, in a way that a check is not about.
func (w *world) editTarget() {
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) {
		spec.Target.Template = &v1alpha1.TargetTemplate{Type: "Opaque"}
	})
}

// accepted is a world in which the credential "good" was accepted, and perhaps could not be written.
func accepted(w *world) {
	w.answer("good", outcome.Accepted)
	w.writeSource("good")
}

func TestEveryStateHasItsConditions(t *testing.T) {
	t.Parallel()
	for _, row := range states() {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.environment)
			row.history(w)
			w.expectConditions(row.want)
		})
	}
}

// Whatever an outcome meets, there is a row for it.
func outcomeRows() map[outcome.Outcome]struct{ first, accepted, rejected conditions } {
	type rows = struct{ first, accepted, rejected conditions }
	waiting, ok, synced := "False/WaitingForCredential", "True/Available", "True/Synced"
	acceptance := func(o string) rows {
		all := conditions{"True/" + o, "True/" + o, synced, ok, ""}
		return rows{all, all, all}
	}
	rejection := func(o, later string) rows {
		never := conditions{"False/" + o, "False/" + o, waiting, ok, stalled}
		return rows{never, conditions{"False/" + later, "False/" + later, synced, ok, stalled}, never}
	}
	none := func(o, progress string) rows {
		return rows{
			conditions{"False/" + o, "Unknown/" + o, waiting, "False/" + o, progress},
			conditions{"True/Accepted", "True/Accepted", synced, "False/" + o, ""},
			conditions{"False/Rejected", "False/Rejected", waiting, "False/" + o, stalled},
		}
	}
	// Without its certificates it is another endpoint, at which nothing is known of the credential.
	noCA := none("CAInvalid", stalled)
	noCA.accepted = conditions{"True/CAInvalid", "True/Accepted", "False/CAInvalid", "False/CAInvalid", stalled}
	noCA.rejected = noCA.first
	return map[outcome.Outcome]rows{
		outcome.Accepted:                    acceptance("Accepted"),
		outcome.LimitedPermissions:          acceptance("LimitedPermissions"),
		outcome.Rejected:                    rejection("Rejected", "Revoked"),
		outcome.UserInactive:                rejection("UserInactive", "UserInactive"),
		outcome.AccountInactive:             rejection("AccountInactive", "AccountInactive"),
		outcome.RequestAltered:              none("RequestAltered", reconciling),
		outcome.Forbidden:                   none("Forbidden", reconciling),
		outcome.UnexpectedResponse:          none("UnexpectedResponse", reconciling),
		outcome.ProxyRefused:                none("ProxyRefused", reconciling),
		outcome.EndpointDoesNotAuthenticate: none("EndpointDoesNotAuthenticate", stalled),
		outcome.EndpointDenied:              none("EndpointDenied", stalled),
		outcome.CAInvalid:                   noCA,
		outcome.TLSFailure:                  none("TLSFailure", reconciling),
		outcome.RateLimited:                 none("RateLimited", reconciling),
		outcome.Unavailable:                 none("Unavailable", reconciling),
		outcome.Unreachable:                 none("Unreachable", reconciling),
	}
}

func (w *world) comesTo(o outcome.Outcome) {
	if o.IsEvidence() {
		w.answer("good", o)
	} else {
		w.goDown(w.endpoint().URL, o)
	}
}

func TestEveryOutcomeHasItsConditions(t *testing.T) {
	t.Parallel()
	rows := outcomeRows()
	for _, o := range outcome.All() {
		row, exists := rows[o]
		if !exists {
			t.Errorf("%s has no row", o)
			continue
		}
		t.Run(string(o)+" as a first check's", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, production)
			w.comesTo(o)
			w.writeSource("good")
			w.expectConditions(row.first)
			w.expectNoEventsFor(2 * time.Hour)
		})
		t.Run(string(o)+" after an acceptance", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, production)
			delivered(w)
			w.comesTo(o)
			w.run(6 * time.Minute)
			w.expectConditions(row.accepted)
			w.run(15 * time.Minute)
			w.expectNoEventsFor(2 * time.Hour)
		})
		t.Run(string(o)+" after an acceptance in the shared sandbox", func(t *testing.T) {
			t.Parallel()
			want := row.accepted
			if o.Class() == outcome.Rejection {
				want = conditions{"False/SandboxReset", "False/SandboxReset", "True/Synced", "True/Available", reconciling}
			}
			w := newWorld(t, shared)
			delivered(w)
			w.comesTo(o)
			w.run(6 * time.Minute)
			w.expectConditions(want)
		})
		t.Run(string(o)+" after a rejection", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, production)
			w.writeSource("good")
			w.expectReady("False/Rejected")
			w.comesTo(o)
			w.run(6 * time.Minute)
			w.expectConditions(row.rejected)
			w.expectNoEventsFor(2 * time.Hour)
		})
	}
	if len(rows) != len(outcome.All()) {
		t.Errorf("%d rows for %d outcomes", len(rows), len(outcome.All()))
	}
}

func TestEveryOutcomeHasAMessageOfItsOwn(t *testing.T) {
	t.Parallel()
	said := map[string]outcome.Outcome{}
	for _, o := range outcome.All() {
		w := newWorld(t, sandbox)
		w.comesTo(o)
		w.writeSource("good")
		message := w.message(v1alpha1.ConditionReady)
		if other, exists := said[message]; exists {
			t.Errorf("%s and %s both say %q", o, other, message)
		}
		said[message] = o
		if where := w.message(v1alpha1.ConditionEndpointAvailable); !strings.Contains(where, sandboxURL) {
			t.Errorf("of %s, EndpointAvailable says %q", o, where)
		}
	}
}

// expectNoEventsFor lets time pass in a world that stays as it is.
func (w *world) expectNoEventsFor(d time.Duration) {
	w.t.Helper()
	w.takeEvents()
	before := w.conditions()
	w.run(d)
	if events := w.takeEvents(); len(events) > 0 {
		w.t.Errorf("nothing changed, and yet came the events %q, with the status\n%s", events, w.dump())
	}
	if after := w.conditions(); after != before {
		w.t.Errorf("nothing changed, but the conditions did: from\n%+v to\n%+v", before, after)
	}
}

func TestNothingIsAnnouncedInAWorldThatStaysAsItIs(t *testing.T) {
	t.Parallel()
	for _, row := range states() {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.environment)
			row.history(w)
			w.happens()
			w.run(20 * time.Minute) // until what is to become stale did
			w.expectNoEventsFor(3 * time.Hour)
		})
	}
}

// reasonsElsewhere are the reasons that Ready never has.
var reasonsElsewhere = map[string]string{
	v1alpha1.ReasonSynced:               v1alpha1.ConditionSecretSynced,
	v1alpha1.ReasonAvailable:            v1alpha1.ConditionEndpointAvailable,
	v1alpha1.ReasonNotChecked:           v1alpha1.ConditionEndpointAvailable,
	v1alpha1.ReasonDeployedUnverifiable: v1alpha1.ConditionCredentialAccepted,
	v1alpha1.ReasonFormerTargetRemains:  v1alpha1.ConditionSecretSynced,
	v1alpha1.ReasonBothAccepted:         v1alpha1.ConditionRedundant,
	v1alpha1.ReasonSameCredential:       v1alpha1.ConditionRedundant,
}

func TestEveryReasonHasARow(t *testing.T) {
	t.Parallel()
	reached := map[string]bool{}
	note := func(c conditions) {
		for conditionType, state := range map[string]string{
			v1alpha1.ConditionReady: c.ready, v1alpha1.ConditionCredentialAccepted: c.accepted,
			v1alpha1.ConditionSecretSynced: c.synced, v1alpha1.ConditionEndpointAvailable: c.endpoint,
		} {
			reached[conditionType+"/"+strings.SplitN(state, "/", 2)[1]] = true
		}
	}
	for _, row := range states() {
		note(row.want)
	}
	for _, row := range redundancies() {
		_, reason, _ := strings.Cut(row.want, "/")
		reached[v1alpha1.ConditionRedundant+"/"+reason] = true
	}
	for name, reason := range declaredReasons(t) {
		where := v1alpha1.ConditionReady
		if elsewhere, exists := reasonsElsewhere[reason]; exists {
			where = elsewhere
		}
		if !reached[where+"/"+reason] {
			t.Errorf("no row of the states has %s with %s", where, name)
		}
	}
}

// declaredReasons reads the constants, so that a new one is not forgotten.
func declaredReasons(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/condition_types.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is no literal", spec.Names[0].Name)
		}
		reasons[spec.Names[0].Name], err = strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		return true
	})
	if len(reasons) < 15 {
		t.Fatalf("found only %d reasons", len(reasons))
	}
	return reasons
}
