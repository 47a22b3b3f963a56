// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// What holds in every round.

type request struct {
	check.Request
	tokenAt
	began   time.Time
	outcome outcome.Outcome
}

// evidence is what the API showed of a token.
type evidence struct {
	isAccepted bool // ever
	isKnown    bool // to this process, which saw it accepted or read it back
	rejections int  // in a row that a status tells of
	// controlledAt is when, before the last acceptance that was to be delivered, a random token was refused.
	controlledAt time.Time
}

// throughJSON takes the way of a status to the API server and back.
func (w *world) throughJSON(status v1alpha1.JupicoCredentialStatus) v1alpha1.JupicoCredentialStatus {
	w.t.Helper()
	if !w.isLookedAt() {
		return status
	}
	var read v1alpha1.JupicoCredentialStatus
	if err := json.Unmarshal([]byte(asJSON(status)), &read); err != nil {
		w.t.Fatal(err)
	}
	if asJSON(read) != asJSON(status) {
		w.t.Fatalf("the status does not survive JSON:\n%s\n%s", asJSON(status), asJSON(read))
	}
	return read
}

func asJSON(value any) string { return string(must(json.Marshal(value))) }

// note enters a request into the evidence. Of two forms of a login, the one that is not on record does not count.
func (w *world) note(r request) {
	w.t.Helper()
	if r.outcome != outcome.EndpointDenied && r.outcome != outcome.CAInvalid { // for which nothing is sent
		w.requests = append(w.requests, r)
	}
	e := w.evidenceOf(r.tokenAt)
	switch r.outcome.Class() {
	case outcome.Acceptance:
		e.isAccepted, e.isKnown, e.rejections = true, true, 0
		if r.ForDelivery {
			e.controlledAt = r.began.Add(-w.controlAge)
		}
	case outcome.Rejection:
		e.rejections++
	case outcome.NoEvidence, outcome.Transient:
	}
	isOtherForm := func(o request) bool {
		return o.at == r.at && o.outcome == outcome.Rejected && (o.token == r.token+"\n" || o.token+"\n" == r.token)
	}
	if i := slices.IndexFunc(w.requests[w.before:], isOtherForm); i >= 0 && r.outcome != outcome.Rejected {
		w.evidenceOf(w.requests[w.before+i].tokenAt).rejections--
	}
}

func (w *world) evidenceOf(p tokenAt) *evidence {
	if w.proofs[p] == nil {
		w.proofs[p] = &evidence{}
	}
	return w.proofs[p]
}

// noteReading makes what was accepted once, and then read back, known to this process.
func (w *world) noteReading(token string) {
	for p, e := range w.proofs {
		e.isKnown = e.isKnown || e.isAccepted && p.token == token
	}
}

func (w *world) isLookedAt() bool { return !w.isSampled || w.evaluations%32 == 0 }

// forgetRejections takes back the rejections of a round of which no status tells.
func (w *world) forgetRejections() {
	for _, r := range w.requests[w.before:] {
		if e := w.proofs[r.tokenAt]; r.outcome.Class() == outcome.Rejection && e.rejections > 0 {
			e.rejections--
		}
	}
}

// expectSoundDelivery looks at what is to be delivered, before it is.
func (w *world) expectSoundDelivery(d decision.Delivery) {
	w.t.Helper()
	switch {
	case d.Judged != nil && (d.Judged.ManagedBy != w.observed.Name || d.Judged.Mark.IsCopy(w.observed.Spec.Target.Name)):
		w.t.Fatalf("writes a target of %q", d.Judged.ManagedBy)
	case d.Proof == nil && (d.Judged == nil || len(d.FormerTargets) > 0 || d.AcceptedNow):
		w.t.Fatalf("without a token, delivers %+v", d)
	case d.Proof == nil:
		return
	case w.templateProblem != "" || w.observed.Spec.Suspend:
		w.t.Fatal("writes data that it must not render")
	}
	p := tokenAt{decode(d.Proof.Token), d.Proof.Endpoint}
	e := w.evidenceOf(p)
	isWritten := d.Judged != nil && w.target() != nil && w.target().token == p.token
	switch {
	case !e.isAccepted:
		w.t.Fatalf("delivers %q, which %s never accepted", p.token, p.at.URL)
	case !e.isKnown:
		w.t.Fatalf("delivers %q, which this process neither saw accepted nor read back", p.token)
	case p.token != w.held && w.now.Sub(e.controlledAt) > time.Minute:
		w.t.Fatalf("delivers %q after %q at %s, and a random token was refused last at %s\n%s",
			p.token, w.held, w.now, e.controlledAt, w.dump())
	case e.rejections > 1 && !isWritten:
		w.t.Fatalf("delivers %q, which was rejected %d times\n%s", p.token, e.rejections, w.dump())
	}
	isAcceptance := func(r request) bool { return r.tokenAt == p && r.outcome.Class() == outcome.Acceptance }
	if d.AcceptedNow != slices.ContainsFunc(w.requests[w.before:], isAcceptance) {
		w.t.Fatalf("that %q was accepted just now is %t\n%s", p.token, d.AcceptedNow, w.dump())
	}
}

func (w *world) expectUnchanged(before, after v1alpha1.JupicoCredentialStatus) {
	w.t.Helper()
	if !equality.Semantic.DeepEqual(before, after) {
		w.t.Fatal("the status that was read was changed")
	}
}

var reasonSyntax = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// leftovers are traces of messages that were not thought through.
var leftovers = []string{"%!", "  ", `""`, "( (", "((", "0001-01-01", "()", "..", " .", "<nil>"}

// isSound reports whether a message is one or more sentences, which may end with a command, within the schema's bound.
func isSound(message string) bool {
	isLeftover := func(leftover string) bool { return strings.Contains(message, leftover) }
	isEnded := strings.HasSuffix(message, ".") || strings.Contains(message, "with: kubectl annotate")
	return isEnded && len(message) <= 32768 && !slices.ContainsFunc(leftovers, isLeftover)
}

func (w *world) expectSoundStatus(began, wakeUp time.Time) {
	w.t.Helper()
	status, resource := w.resource.Status, w.observed
	fail := func(format string, args ...any) {
		w.t.Helper()
		w.t.Fatalf("%s\nat %s, status: %s", fmt.Sprintf(format, args...), w.now, w.dump())
	}
	if status.ObservedGeneration != resource.Generation && w.putOff == nil {
		fail("observedGeneration is %d, the resource's is %d", status.ObservedGeneration, resource.Generation)
	}
	said := map[string]int{}
	for _, c := range status.Conditions {
		if said[c.Message]++; said[c.Message] > 3 {
			fail("one sentence is said four times: %s", c.Message)
		}
		if !reasonSyntax.MatchString(c.Reason) || len(c.Reason) > 1024 {
			fail("%s has the reason %q", c.Type, c.Reason)
		}
		if !isSound(c.Message) {
			fail("%s has the message %q", c.Type, c.Message)
		}
		if c.ObservedGeneration != resource.Generation {
			fail("%s is about generation %d", c.Type, c.ObservedGeneration)
		}
		if c.LastTransitionTime.IsZero() || c.LastTransitionTime.After(w.now.Add(time.Minute)) {
			fail("%s changed at %s", c.Type, c.LastTransitionTime)
		}
	}
	for _, always := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionCredentialAccepted, v1alpha1.ConditionSecretSynced,
		v1alpha1.ConditionEndpointAvailable,
	} {
		if w.condition(always) == "" {
			fail("%s is missing", always)
		}
	}
	if w.condition(v1alpha1.ConditionReconciling) != "" && w.condition(v1alpha1.ConditionStalled) != "" {
		fail("both Reconciling and Stalled")
	}
	if n := utf8.RuneCountInString(status.LastHandledCheckRequest); n > v1alpha1.MaxCheckRequestLength {
		fail("lastHandledCheckRequest has %d characters", n)
	}
	w.expectSoundRecords(fail)
	w.expectTruth(fail)
	if !resource.Spec.Suspend {
		w.expectSoundTimes(began, wakeUp, fail)
	}
}

func (w *world) expectSoundTimes(began, wakeUp time.Time, fail func(string, ...any)) {
	w.t.Helper()
	isRefused := w.refusal.Problem != "" || w.ready() == "False/TargetConflict" || w.putOff != nil
	next := w.resource.Status.NextCheckTime
	if next != nil && next.Time.Before(began.Truncate(time.Second)) && !isRefused {
		fail("nextCheckTime %s has passed", next)
	}
	if next != nil && (wakeUp.IsZero() || wakeUp.After(next.Add(time.Second)) && wakeUp.After(w.now) && w.putOff == nil) {
		fail("wakes up at %s", wakeUp)
	}
	if first := w.secretOf(w.observed, 0); wakeUp.IsZero() && first != nil && first.problem == "" {
		fail("never wakes up again")
	}
}

func (w *world) expectSoundRecords(fail func(string, ...any)) {
	w.t.Helper()
	status := w.resource.Status
	var records []v1alpha1.CheckRecord
	for i := range w.observed.Spec.Credentials {
		isThere := i < len(status.Credentials) && status.Credentials[i].Name != ""
		if w.observed.Spec.Suspend && !isThere {
			continue
		}
		if !isThere || status.Credentials[i].Name != w.observed.Spec.Credentials[i].Name && !w.observed.Spec.Suspend {
			fail("status.credentials has not one entry per credential")
		}
		records = append(records, status.Credentials[i].CheckRecord)
		if !slices.Contains([]v1alpha1.TokenForm{"", "Standard", "TrailingNewline"}, status.Credentials[i].TokenForm) {
			fail("a form that the schema refuses: %s", status.Credentials[i].TokenForm)
		}
	}
	if deployed := status.Deployed; deployed != nil {
		if deployed.Credential == "" || deployed.Endpoint == "" {
			fail("status.deployed does not say what it is about")
		}
		records = append(records, deployed.CheckRecord)
	}
	for _, r := range records {
		if r.ConsecutiveAccepted < 0 || r.ConsecutiveAccepted > 2 || r.ConsecutiveRejected < 0 {
			fail("counters out of bounds: %+v", r)
		}
		if !slices.Contains([]v1alpha1.Verdict{"Accepted", "Rejected", "Unknown"}, r.Verdict) || len(r.Reason) > 64 {
			fail("a record that the schema refuses: %+v", r)
		}
		if r.LastRejected != nil && (r.LastRejected.Reason == "" || r.LastRejected.Time.IsZero()) {
			fail("a rejection that the schema refuses: %+v", r)
		}
		if r.Verdict == v1alpha1.VerdictAccepted && r.LastAcceptedTime == nil {
			fail("accepted, nobody knows when: %+v", r)
		}
	}
}

// expectTruth compares Ready with the world.
func (w *world) expectTruth(fail func(string, ...any)) {
	w.t.Helper()
	ready, status := w.ready(), w.resource.Status.Deployed
	isSynced := w.condition(v1alpha1.ConditionSecretSynced) == "True/Synced"
	if ready != "True/Accepted" && ready != "True/LimitedPermissions" || !isSynced {
		return
	}
	entries := w.observed.Spec.Credentials
	source := w.secretOf(w.observed, 0)
	if len(entries) > 1 && status.Credential == entries[1].Name {
		source = w.secretOf(w.observed, 1)
	}
	target := w.targets[w.observed.Spec.Target.Name]
	if target == nil || target.owner != w.observed.Name {
		fail("%s, and there is no target of ours", ready)
	}
	if source == nil || source.problem != "" {
		fail("%s, and there is no credential", ready)
	}
	if strings.TrimSuffix(target.token, "\n") != source.value {
		fail("%s, and the target holds %q, which %q does not make", ready, target.token, source.value)
	}
	at := endpointOf(w.observed)
	at.CA += w.ca.PEM
	e := w.proofs[tokenAt{target.token, at}]
	if e == nil {
		fail("%s, and the token in the target was never checked at %+v", ready, at)
	}
	isShared := w.source != nil && w.standby != nil && w.source.value == w.standby.value // and so is its rejection
	if w.sourceOf != nil && len(entries) > 1 {
		one, other := w.secretOf(w.observed, 0), w.secretOf(w.observed, 1)
		isShared = one != nil && other != nil && one.value == other.value
	}
	if e.rejections > 1 && !isShared {
		fail("%s, and the token in the target was rejected", ready)
	}
}

// expectIdempotence does a round more, which must change nothing unless a check is due.
func (w *world) expectIdempotence(isDisturbed bool) {
	w.t.Helper()
	w.observed = w.resource.DeepCopy()
	state, isDue, writes := w.state.Clone(), isDisturbed, w.writes
	round, _ := state.Run(context.Background(), w.observe(), decision.Calls{
		Now: func() time.Time { return w.now },
		Check: func(context.Context, check.Request) check.Answer {
			isDue = true
			return check.Answer{RetryAt: w.now.Add(time.Hour)}
		},
		ReadToken: func(context.Context, string) (credential.Token, v1alpha1.SourceStatus, error) {
			isDue = true
			return credential.Token{}, v1alpha1.SourceStatus{}, nil
		},
		Deliver: func(ctx context.Context, d decision.Delivery) (decision.Target, error) {
			w.before = len(w.requests)
			return w.deliver(ctx, d)
		},
	})
	if isDue {
		return
	}
	if w.writes != writes {
		w.t.Fatalf("wrote the target though nothing happened:\n%s", w.dump())
	}
	if round.HasConflict || asJSON(round.Status) != asJSON(w.resource.Status) {
		w.t.Fatalf("at %s the status changes though nothing happened:\n%s", w.now,
			difference(w.dump(), dump(round.Status)))
	}
}

// What tests ask about.

// condition returns "status/reason", or nothing when there is no such condition.
func (w *world) condition(conditionType string) string {
	c := meta.FindStatusCondition(w.resource.Status.Conditions, conditionType)
	if c == nil {
		return ""
	}
	return string(c.Status) + "/" + c.Reason
}

func (w *world) message(conditionType string) string {
	w.t.Helper()
	c := meta.FindStatusCondition(w.resource.Status.Conditions, conditionType)
	if c == nil {
		w.t.Fatalf("no condition %s", conditionType)
	}
	return c.Message
}

func (w *world) ready() string { return w.condition(v1alpha1.ConditionReady) }

func (w *world) expectReady(want string) {
	w.t.Helper()
	if got := w.ready(); got != want {
		w.t.Fatalf("Ready is %s, want %s:\n%s", got, want, w.dump())
	}
}

func (w *world) expectTarget(token string) {
	w.t.Helper()
	if w.target() == nil || w.target().token != token {
		w.t.Fatalf("the target is %+v, want the token %q, with the status\n%s", w.target(), token, w.dump())
	}
}

func (w *world) record() v1alpha1.CredentialStatus { return w.resource.Status.Credentials[0] }

// next is how long it is until the next check.
func (w *world) next() time.Duration {
	w.t.Helper()
	if w.resource.Status.NextCheckTime == nil {
		w.t.Fatal("no check is planned")
	}
	return w.resource.Status.NextCheckTime.Sub(w.now.Truncate(time.Second))
}

// sent counts the requests with a token.
func (w *world) sent(tokens ...string) int {
	n := 0
	for _, r := range w.requests {
		if slices.Contains(tokens, r.token) {
			n++
		}
	}
	return n
}

// takeEvents returns the events since it was last called, as "Warning Reason" and "Normal Reason".
func (w *world) takeEvents() []string {
	var taken []string
	for _, e := range w.events {
		kind := "Normal"
		if e.Warning {
			kind = "Warning"
		}
		taken = append(taken, kind+" "+e.Reason)
	}
	w.events = nil
	return taken
}

// difference shows the lines that are in one text alone.
func difference(before, after string) string {
	var shown []string
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, line := range was {
		if !slices.Contains(is, line) {
			shown = append(shown, "- "+line)
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			shown = append(shown, "+ "+line)
		}
	}
	return strings.Join(shown, "\n")
}

// dump shows the status: a line per condition, and one per record.
func (w *world) dump() string { return dump(w.resource.Status) }

func dump(status v1alpha1.JupicoCredentialStatus) string {
	var lines []string
	for _, c := range status.Conditions {
		lines = append(lines, fmt.Sprintf("%s=%s/%s: %s", c.Type, c.Status, c.Reason, c.Message))
	}
	for _, part := range []any{status.Deployed, status.Credentials, status.Target, status.NextCheckTime} {
		lines = append(lines, asJSON(part))
	}
	return strings.Join(lines, "\n")
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
