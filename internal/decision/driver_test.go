// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	sandboxURL    = "https://sandbox-platform.jupico.com"
	productionURL = "https://platform.jupico.com"
	gatewayURL    = "https://gateway.example"

	sourceName  = "jupico-login"
	standbyName = "jupico-key"
	targetName  = "payments-jupico"
)

// start is within a second, as the clock mostly is.
var start = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

// world is one resource with all that surrounds it: its source, its target, the API, and a process that evaluates it as
// the controller does. Its status goes through JSON after each evaluation, as through the API server.
type world struct {
	t        *testing.T
	now      time.Time
	resource *v1alpha1.JupicoCredential
	source   *secret // of the first entry
	standby  *secret // of the second entry, if there is one
	target   *secret
	version  int

	// accepts has what the API answers to tokens. Others are Rejected.
	accepts map[string]outcome.Outcome
	// down has what endpoints answer to any token.
	down map[string]outcome.Result
	// contactUntil is how long another resource's first contact with the endpoint goes on.
	contactUntil time.Time
	// hook, if there is one, answers in their place. Nothing means that they do.
	hook func(p proof) outcome.Outcome
	// putOff, if there is one, says how long a check has to wait for its slot. 0 means not at all.
	putOff func(p proof) time.Duration
	// mass: whatever is answered, most credentials were rejected together.
	mass bool
	// latched is how long rejections stand for checks, as those of other resources.
	latched time.Duration
	// latency of each request.
	latency  time.Duration
	requests []request
	// before is how many requests there were before this evaluation.
	before int
	proofs map[proof]*evidence

	// refusal is how the API server refuses to have the target written. The problem "error" is a failure that is no
	// refusal.
	refusal decision.Target
	// conflicts is how many writes of the status are yet to fail.
	conflicts int
	rest      bool // let a resource that is in order be after a restart
	light     bool // look only now and then at what must hold after every evaluation

	process process
	writes  int
	wakeUp  time.Time
	events  []decision.Transition
	// stored is the status as the API server has it.
	stored      string
	evaluations int
}

// process is the memory of the operator, which a restart empties.
type process struct {
	evaluated  bool
	recorded   map[string]*candidate // by the entry's name
	proven     map[string]*proof
	checkedFor map[string]int64 // generation
	deployed   *proof
	asked      string
	askedAt    time.Time
	controlled map[string]bool
}

type endpoint struct{ url, ca string }

type secret struct {
	uid     types.UID
	version string
	// Of a source:
	value           string
	key             bool // an API key
	problem, detail string
	// Of a target:
	name, token, owner string
}

type candidate struct {
	key   bool
	value string
	at    endpoint
}

type proof struct {
	token string
	at    endpoint
}

type request struct {
	at      time.Time
	to      endpoint
	token   string
	outcome outcome.Outcome
}

// evidence is what the API showed of a token.
type evidence struct {
	accepted   bool // in the life of this process
	rejections int  // in a row
}

func (c *candidate) token(form v1alpha1.TokenForm) string {
	if form == v1alpha1.TokenFormTrailingNewline && !c.key {
		return c.value + "\n"
	}
	return c.value
}

func (p *proof) form(of *candidate) (v1alpha1.TokenForm, bool) {
	if p == nil || of == nil || p.at != of.at {
		return "", false
	}
	for _, form := range []v1alpha1.TokenForm{v1alpha1.TokenFormStandard, v1alpha1.TokenFormTrailingNewline} {
		if of.token(form) == p.token {
			return form, true
		}
	}
	return "", false
}

// newWorld has a resource that nobody looked at yet, and no Secret.
func newWorld(t *testing.T, environment v1alpha1.Environment) *world {
	t.Helper()
	return &world{
		t: t, now: start, accepts: map[string]outcome.Outcome{}, down: map[string]outcome.Result{},
		proofs: map[proof]*evidence{},
		resource: &v1alpha1.JupicoCredential{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: "payments", UID: "3b1f6a52-5f1c-4d58-9a0b-1f1f0d1f9c11", Generation: 1,
				Annotations: map[string]string{},
			},
			Spec: v1alpha1.JupicoCredentialSpec{
				Environment: environment,
				Credentials: []v1alpha1.Credential{{
					Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: sourceName},
				}},
				Target:        v1alpha1.Target{Name: targetName},
				CheckInterval: metav1.Duration{Duration: 5 * time.Minute},
			},
			Status: v1alpha1.JupicoCredentialStatus{ObservedGeneration: -1},
		},
	}
}

// What happens in the world. Each of these is followed by the evaluations that a watch would cause.

func (w *world) writeSource(value string) {
	w.source = &secret{uid: "source", version: w.nextVersion(), value: value, key: strings.HasPrefix(value, "key")}
	w.happens()
}

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

func (w *world) touchSource() {
	w.source.version = w.nextVersion()
	w.happens()
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
	w.target = nil
	w.happens()
}

func (w *world) tamper(token string) {
	w.target.token, w.target.version = token, w.nextVersion()
	w.happens()
}

// edit changes the spec.
func (w *world) edit(change func(spec *v1alpha1.JupicoCredentialSpec)) {
	change(&w.resource.Spec)
	w.resource.Generation++
	w.happens()
}

func (w *world) suspend(suspended bool) {
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Suspend = suspended })
}

func (w *world) useEndpoint(url string) {
	w.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Endpoint = &v1alpha1.Endpoint{URL: url} })
}

func (w *world) askForCheck(value string) {
	w.resource.Annotations[v1alpha1.AnnotationCheckRequestedAt] = value
	w.happens()
}

func (w *world) restart() {
	w.stop()
	w.happens()
}

// stop ends the process. The next evaluation is another one's.
func (w *world) stop() {
	w.process = process{}
	for _, e := range w.proofs {
		e.accepted = false
	}
}

func (w *world) answer(token string, o outcome.Outcome) { w.accepts[token] = o }

func (w *world) goDown(url string, o outcome.Outcome) {
	w.down[url] = outcome.Result{Outcome: o, Detail: "HTTP 999"}
}

func (w *world) comeUp(url string) { delete(w.down, url) }

// happens evaluates until there is nothing to do at once.
func (w *world) happens() {
	w.t.Helper()
	for range 5 {
		w.reconcile()
		if w.wakeUp.IsZero() || w.wakeUp.After(w.now.Add(time.Second)) {
			return
		}
		w.now = later(w.wakeUp, w.now.Add(time.Millisecond))
	}
	w.t.Fatalf("evaluates again and again at %s, with the status\n%s", w.now, w.dump())
}

// run lets time pass, with the evaluations that the operator wanted.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	end, first := w.now.Add(d), w.evaluations
	for !w.wakeUp.IsZero() && w.wakeUp.Before(end) {
		w.now = later(w.wakeUp, w.now.Add(time.Millisecond))
		w.reconcile()
		if w.evaluations-first > int(d/(2*time.Second))+10 {
			w.t.Fatalf("%d evaluations in %s, with the status\n%s", w.evaluations-first, d, w.dump())
		}
	}
	w.now = later(w.now, end)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (w *world) nextVersion() string {
	w.version++
	return strconv.Itoa(w.version)
}

// The controller.

// reconcile evaluates once, and then once more if nothing is due, which must change nothing.
func (w *world) reconcile() {
	w.t.Helper()
	w.evaluations++
	if wakeUp, ok := w.resume(); ok {
		w.wakeUp = wakeUp
		return
	}
	f, recorded := w.look()
	began, held := w.now, w.process.deployed
	plan := decision.NewPlan(f)
	if f.Resource.Spec.Suspend && !plan.IsEmpty() {
		w.t.Fatalf("plans checks while suspended: %+v", plan)
	}
	outcomes := w.check(f, plan)
	f.Now = w.now
	verdict := decision.Decide(f, plan, outcomes)
	if retryAt := verdict.BriefWait(); !retryAt.IsZero() {
		w.wakeUp = retryAt
		return
	}
	before := w.resource.DeepCopy()
	target, failed := w.deliver(f, verdict)
	status, wakeUp := decision.Conclude(verdict, target)
	if w.evaluations < 100 && !equality.Semantic.DeepEqual(before, f.Resource) {
		w.t.Fatal("the resource that was read was changed")
	}
	if w.conflicts > 0 {
		w.conflicts--
		w.process.deployed = held
		w.forget(outcomes)
		w.wakeUp = w.now.Add(50 * time.Millisecond)
		return
	}
	w.store(status)
	w.process.evaluated, w.process.recorded = true, recorded
	for i := range outcomes {
		if o := &outcomes[i]; o.Entry != decision.Deployed && o.RetryAt.IsZero() {
			if w.process.checkedFor == nil {
				w.process.checkedFor = map[string]int64{}
			}
			w.process.checkedFor[w.resource.Spec.Credentials[o.Entry].Name] = w.resource.Generation
		}
	}
	if transition := decision.FindTransition(&before.Status, &w.resource.Status); transition != nil {
		w.events = append(w.events, *transition)
	}
	w.wakeUp = wakeUp
	if failed {
		w.wakeUp = w.now.Add(time.Minute) // the work queue backs off
	}
	if !w.light || w.evaluations%32 == 0 {
		w.expectSoundStatus(f, began, wakeUp)
		w.expectIdempotence()
	}
}

// forget takes back the rejections that a status which could not be written was about.
func (w *world) forget(outcomes []decision.Outcome) {
	if len(outcomes) == 0 {
		return
	}
	for _, e := range w.proofs {
		e.rejections = 0
	}
}

func (w *world) resume() (time.Time, bool) {
	if !w.rest || w.process.evaluated || w.target == nil || w.source == nil {
		return time.Time{}, false
	}
	wakeUp, ok := decision.Rest(w.resource, w.now)
	if !ok || !w.isAsLeft() || w.target.owner != w.resource.Name {
		return time.Time{}, false
	}
	for i := range w.resource.Spec.Credentials {
		recorded := w.statusOf(w.resource.Spec.Credentials[i].Name).Source
		if source := w.secretOf(i); source == nil || recorded == nil || *recorded != source.ref() {
			return time.Time{}, false
		}
	}
	return wakeUp, true
}

func (w *world) statusOf(name string) *v1alpha1.CredentialStatus {
	for i := range w.resource.Status.Credentials {
		if w.resource.Status.Credentials[i].Name == name {
			return &w.resource.Status.Credentials[i]
		}
	}
	return nil
}

func (w *world) secretOf(i int) *secret {
	if w.resource.Spec.Credentials[i].SecretName() == standbyName {
		return w.standby
	}
	return w.source
}

func (s *secret) ref() v1alpha1.SourceStatus {
	return v1alpha1.SourceStatus{UID: s.uid, ResourceVersion: s.version}
}

// store carries the status through JSON.
func (w *world) store(status v1alpha1.JupicoCredentialStatus) {
	w.t.Helper()
	if w.light && w.evaluations%32 != 0 {
		w.resource.Status, w.stored = status, ""
		return
	}
	encoded := encode(status)
	if encoded == w.stored {
		return
	}
	w.stored = encoded
	w.resource.Status = v1alpha1.JupicoCredentialStatus{}
	if err := json.Unmarshal([]byte(encoded), &w.resource.Status); err != nil {
		w.t.Fatal(err)
	}
	if w.evaluations < 100 && encode(w.resource.Status) != encoded {
		w.t.Fatalf("the status does not survive JSON:\n%s\n%s", encoded, w.dump())
	}
}

func encode(status v1alpha1.JupicoCredentialStatus) string {
	encoded, err := json.Marshal(status)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

func (w *world) endpoint() endpoint {
	if at := w.resource.Spec.Endpoint; at != nil {
		return endpoint{at.URL, string(at.CABundle)}
	}
	return endpoint{url: w.environmentURL()}
}

func (w *world) environmentURL() string {
	if w.resource.Spec.Environment == v1alpha1.EnvironmentProduction {
		return productionURL
	}
	return sandboxURL
}

func (w *world) candidateOf(i int) *candidate {
	source := w.secretOf(i)
	if source == nil || source.problem != "" {
		return nil
	}
	return &candidate{key: source.key, value: source.value, at: w.endpoint()}
}

// look gathers the facts, and the candidates that the status is about once it is written.
func (w *world) look() (decision.Facts, map[string]*candidate) {
	w.before = len(w.requests)
	f := decision.Facts{Resource: w.resource.DeepCopy(), Now: w.now, Endpoint: w.endpoint().url}
	if w.resource.Spec.Suspend {
		return f, w.process.recorded
	}
	recorded := map[string]*candidate{}
	for i := range w.resource.Spec.Credentials {
		c := w.candidateOf(i)
		if c != nil {
			recorded[w.resource.Spec.Credentials[i].Name] = c
		}
		w.lookAtSource(&f.Sources[i], i, c)
	}
	deployed := w.resource.Status.Deployed
	f.TargetDrifted = deployed != nil && !w.isAsLeft()
	w.recallDeployed(f)
	f.DeployedKnown = w.process.deployed != nil
	for i := range w.resource.Spec.Credentials {
		source := &f.Sources[i]
		if form, isMade := w.process.deployed.form(w.candidateOf(i)); isMade {
			source.MakesDeployed = true
			if source.Login {
				source.DeployedForm = form
			}
		}
	}
	asked := decision.CheckRequest(w.resource)
	if asked != "" && asked != w.resource.Status.LastHandledCheckRequest {
		if w.process.asked != asked {
			w.process.asked, w.process.askedAt = asked, w.now
		}
		f.RequestedAt = w.process.askedAt
	}
	f.FirstContact = !w.process.controlled[w.endpoint().url] &&
		w.down[w.endpoint().url].Outcome != outcome.CAInvalid
	if w.contactUntil.After(w.now) {
		f.FirstContact, f.ContactedAt = false, w.contactUntil
	}
	return f, recorded
}

func (w *world) lookAtSource(s *decision.Source, i int, c *candidate) {
	source := w.secretOf(i)
	switch {
	case source == nil:
		s.Problem = v1alpha1.ReasonSourceNotFound
		s.Detail = fmt.Sprintf("Secret %q, which the credential is read from, does not exist: create it.",
			w.resource.Spec.Credentials[i].SecretName())
	case source.problem != "":
		s.Problem, s.Detail = source.problem, source.detail
	default:
		ref := source.ref()
		s.Status, s.Login = &ref, !source.key
		s.Record = w.recordOf(i, c)
		_, s.Proven = w.process.proven[w.resource.Spec.Credentials[i].Name].form(c)
		s.Checked = s.Record != "" && w.process.checkedFor[w.resource.Spec.Credentials[i].Name] == w.resource.Generation
		s.Repeats = i > 0 && w.candidateOf(0) != nil && *w.candidateOf(0) == *c
	}
}

func (w *world) recordOf(i int, c *candidate) string {
	name := w.resource.Spec.Credentials[i].Name
	if recorded := w.process.recorded[name]; recorded != nil {
		if *recorded == *c {
			return name
		}
		return ""
	}
	for former, recorded := range w.process.recorded {
		if *recorded == *c && !slices.ContainsFunc(w.resource.Spec.Credentials, func(e v1alpha1.Credential) bool {
			return e.Name == former
		}) {
			return former
		}
	}
	status := w.statusOf(name)
	if status != nil && status.Source != nil && *status.Source == w.secretOf(i).ref() &&
		w.resource.Status.ObservedGeneration == w.resource.Generation {
		return name
	}
	return ""
}

func (w *world) isAsLeft() bool {
	left := w.resource.Status.Target
	if left == nil || w.target == nil || w.target.name != left.Name || left.Name != w.resource.Spec.Target.Name {
		return false
	}
	return w.target.uid == left.UID && w.target.version == left.ResourceVersion
}

func (w *world) recallDeployed(f decision.Facts) {
	deployed, left := w.resource.Status.Deployed, w.resource.Status.Target
	isNeeded := deployed != nil && (deployed.LastCheckTime != nil ||
		!slices.ContainsFunc(f.Sources[:], func(s decision.Source) bool { return s.Record == deployed.Credential }))
	if w.process.deployed != nil || !isNeeded || left == nil {
		return
	}
	at := w.endpoint()
	if at.url != deployed.Endpoint {
		if at = (endpoint{url: deployed.Endpoint}); at.url != w.environmentURL() {
			return
		}
	}
	if w.target == nil || w.target.uid != left.UID || w.target.version != left.ResourceVersion {
		return
	}
	w.process.deployed = &proof{w.target.token, at}
}

func (w *world) check(f decision.Facts, plan decision.Plan) []decision.Outcome {
	w.t.Helper()
	var outcomes []decision.Outcome
	for _, check := range plan.Checks {
		if check.Entry == decision.Deployed && decision.IsReplaced(f, plan, outcomes) {
			continue
		}
		outcomes = append(outcomes, w.makeCheck(f, check))
	}
	for _, check := range decision.FollowUp(f, outcomes) {
		if !check.Urgent || check.NotBefore.IsZero() {
			w.t.Fatalf("follows up with %+v", check)
		}
		outcomes = append(outcomes, w.makeCheck(f, check))
	}
	return outcomes
}

func (w *world) makeCheck(f decision.Facts, check decision.Check) decision.Outcome {
	w.t.Helper()
	if check.Entry == decision.Deployed {
		return w.ask(check.Entry, *w.process.deployed)
	}
	c := w.candidateOf(check.Entry)
	if c == nil {
		w.t.Fatal("plans to check a candidate that is none")
	}
	if f.Sources[check.Entry].Login != (check.Form != "") {
		w.t.Fatalf("plans the form %q of a login %t", check.Form, f.Sources[check.Entry].Login)
	}
	try := func(form v1alpha1.TokenForm) decision.Outcome {
		p := proof{c.token(form), c.at}
		if w.putOff != nil && !check.Urgent && w.putOff(p) > 0 {
			return decision.Outcome{Entry: check.Entry, Form: form, RetryAt: w.now.Add(w.putOff(p))}
		}
		o := w.ask(check.Entry, p)
		o.Form = form
		return o
	}
	result := try(check.Form)
	if !result.RetryAt.IsZero() {
		return result
	}
	if result.Outcome == outcome.Rejected && check.BothForms {
		other := v1alpha1.TokenFormTrailingNewline
		if check.Form == other {
			other = v1alpha1.TokenFormStandard
		}
		result = decision.MoreSpecific(result, try(other))
		if result.Form != check.Form { // the rejection of the first form is not on record
			w.proofs[proof{c.token(check.Form), c.at}].rejections--
		}
	}
	if result.Outcome.Class() == outcome.Acceptance {
		if w.process.proven == nil {
			w.process.proven = map[string]*proof{}
		}
		w.process.proven[w.resource.Spec.Credentials[check.Entry].Name] = &proof{c.token(result.Form), c.at}
	}
	return result
}

func (w *world) ask(entry int, p proof) decision.Outcome {
	began := w.now
	result, isDown := w.down[p.at.url]
	if w.hook != nil {
		if answer := w.hook(p); answer != "" {
			result, isDown = outcome.Result{Outcome: answer, Detail: "HTTP 999"}, true
		}
	}
	if !isDown {
		result = outcome.Result{Outcome: w.accepts[p.token], Detail: "HTTP 999"}
		if result.Outcome == "" {
			result.Outcome = outcome.Rejected
		}
		if w.process.controlled == nil {
			w.process.controlled = map[string]bool{}
		}
		w.process.controlled[p.at.url] = true
	}
	w.now = w.now.Add(w.latency)
	if result.Outcome.Sent() {
		w.requests = append(w.requests, request{w.now, p.at, p.token, result.Outcome})
	}
	if w.proofs[p] == nil {
		w.proofs[p] = &evidence{}
	}
	switch e := w.proofs[p]; result.Outcome.Class() {
	case outcome.Acceptance:
		e.accepted, e.rejections = true, 0
	case outcome.Rejection:
		e.rejections++
	case outcome.NoEvidence, outcome.Transient:
	}
	o := decision.Outcome{Entry: entry, Result: result, Began: began, Ended: w.now, Mass: w.mass}
	if w.latched > 0 && result.Outcome.Class() == outcome.Rejection {
		o.LatchedUntil = w.now.Add(w.latched)
	}
	return o
}

// deliver writes the target, and reports whether the API server failed.
func (w *world) deliver(f decision.Facts, verdict decision.Verdict) (decision.Target, bool) {
	w.t.Helper()
	name := w.resource.Spec.Target.Name
	isOther := w.target != nil && w.target.name != name // a renamed target leaves the old one behind
	switch {
	case f.Resource.Spec.Suspend:
		return decision.Target{}, false
	case w.target != nil && !isOther && w.target.owner != w.resource.Name:
		return conflict(name), false
	case w.refusal.Problem == v1alpha1.ReasonTemplateError: // which is found whatever there is to write
		return w.refusal, false
	case !verdict.Deploy && !verdict.Keep:
		return decision.Target{}, false
	}
	var token *proof
	if verdict.Entry != decision.Deployed {
		token = w.process.proven[w.resource.Spec.Credentials[verdict.Entry].Name]
	}
	if verdict.Keep {
		w.process.deployed = cmp.Or(w.process.deployed, token)
		token = w.process.deployed
	}
	if token == nil {
		w.t.Fatalf("is to write a token that nobody knows (%+v)", verdict)
	}
	isAcceptance := func(r request) bool {
		return proof{r.token, r.to} == *token && r.outcome.Class() == outcome.Acceptance
	}
	if verdict.Accepted != slices.ContainsFunc(w.requests[w.before:], isAcceptance) {
		w.t.Fatalf("that %q was accepted just now is %t\n%s", token.token, verdict.Accepted, w.dump())
	}
	if verdict.Keep && !f.TargetDrifted && !f.Unwritten() &&
		w.resource.Status.Target.ObservedGeneration == w.resource.Generation {
		return decision.Target{Holds: true}, false
	}
	isAsRendered := w.target != nil && !isOther && w.target.token == token.token
	if w.refusal.Problem == "error" && !isAsRendered {
		return decision.Target{Problem: v1alpha1.ReasonTargetWriteFailed, Detail: "The API server does not answer."}, true
	}
	if w.refusal.Problem != "" && !isAsRendered {
		refusal := w.refusal
		if refusal.Problem == v1alpha1.ReasonTargetContested {
			refusal.RetryAt = f.Now.Add(time.Minute)
		}
		return refusal, false
	}
	w.write(*token, verdict.Deploy, name)
	w.process.deployed = token
	return decision.Target{Holds: true, Status: &v1alpha1.TargetStatus{
		Name: name, UID: w.target.uid, ResourceVersion: w.target.version, Keys: []string{"authorization", "token", "url"},
		ObservedGeneration: w.resource.Generation,
	}}, false
}

func conflict(name string) decision.Target {
	return decision.Target{
		Problem: v1alpha1.ReasonTargetConflict, Detail: fmt.Sprintf("Secret %q exists and is not this resource's.", name),
	}
}

func (w *world) write(token proof, deploy bool, name string) {
	w.t.Helper()
	if w.target != nil && w.target.name == name && w.target.token == token.token {
		return
	}
	e := w.proofs[token]
	switch {
	case e == nil:
		w.t.Fatalf("writes %q, which was never checked", token.token)
	case e.rejections > 1:
		w.t.Fatalf("writes %q, which was rejected %d times", token.token, e.rejections)
	case deploy && !e.accepted:
		w.t.Fatalf("deploys %q, which this process did not see accepted", token.token)
	}
	uid := types.UID("target-" + w.nextVersion())
	if w.target != nil && w.target.name == name {
		uid = w.target.uid
	}
	w.target = &secret{uid: uid, version: w.nextVersion(), name: name, token: token.token, owner: w.resource.Name}
	w.writes++
}

// What holds after every evaluation.

var reasonSyntax = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// leftovers are traces of messages that were not thought through.
var leftovers = []string{"%!", "  ", `""`, "an unknown time", "0001-01-01", "()", "..", " .", "<nil>"}

// isSound reports whether a message is one or more sentences, within the schema's bound.
func isSound(message string) bool {
	isLeftover := func(leftover string) bool { return strings.Contains(message, leftover) }
	return strings.HasSuffix(message, ".") && len(message) <= 32768 && !slices.ContainsFunc(leftovers, isLeftover)
}

func (w *world) expectSoundStatus(f decision.Facts, began, wakeUp time.Time) {
	w.t.Helper()
	status := w.resource.Status
	fail := func(format string, args ...any) {
		w.t.Helper()
		w.t.Fatalf("%s\nstatus: %s\nfacts: %+v", fmt.Sprintf(format, args...), w.dump(), f)
	}
	if status.ObservedGeneration != w.resource.Generation && w.putOff == nil {
		fail("observedGeneration is %d, the resource's is %d", status.ObservedGeneration, w.resource.Generation)
	}
	for _, c := range status.Conditions {
		if !reasonSyntax.MatchString(c.Reason) || len(c.Reason) > 1024 {
			fail("%s has the reason %q", c.Type, c.Reason)
		}
		if !isSound(c.Message) {
			fail("%s has the message %q", c.Type, c.Message)
		}
		if c.ObservedGeneration != w.resource.Generation {
			fail("%s is about generation %d", c.Type, c.ObservedGeneration)
		}
		if c.LastTransitionTime.IsZero() || c.LastTransitionTime.After(w.now) {
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
	w.expectTruth(f, fail)
	if f.Resource.Spec.Suspend {
		return
	}
	isRefused := w.refusal.Problem != "" || w.condition(v1alpha1.ConditionReady) == "False/TargetConflict" || w.putOff != nil
	next := status.NextCheckTime
	if next != nil && next.Time.Before(began.Truncate(time.Second)) && !isRefused {
		fail("nextCheckTime %s has passed at %s", next, f.Now)
	}
	if next != nil && (wakeUp.IsZero() || wakeUp.After(next.Add(time.Second)) && wakeUp.After(f.Now) && w.putOff == nil) {
		fail("wakes up at %s", wakeUp)
	}
	if wakeUp.IsZero() && f.Sources[0].Problem == "" {
		fail("never wakes up again")
	}
}

func (w *world) expectSoundRecords(fail func(string, ...any)) {
	w.t.Helper()
	status := w.resource.Status
	var records []v1alpha1.CheckRecord
	for i := range w.resource.Spec.Credentials {
		isThere := i < len(status.Credentials) && status.Credentials[i].Name != ""
		if w.resource.Spec.Suspend && !isThere {
			continue
		}
		if !isThere || status.Credentials[i].Name != w.resource.Spec.Credentials[i].Name && !w.resource.Spec.Suspend {
			fail("status.credentials has not one entry per credential")
		}
		records = append(records, status.Credentials[i].CheckRecord)
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
func (w *world) expectTruth(f decision.Facts, fail func(string, ...any)) {
	w.t.Helper()
	ready := w.condition(v1alpha1.ConditionReady)
	isSynced := w.condition(v1alpha1.ConditionSecretSynced) == "True/Synced"
	if ready != "True/Accepted" && ready != "True/LimitedPermissions" || !isSynced {
		return
	}
	c := w.candidateOf(0)
	if status := w.resource.Status.Deployed; len(w.resource.Spec.Credentials) > 1 &&
		status.Credential == w.resource.Spec.Credentials[1].Name {
		c = w.candidateOf(1)
	}
	switch {
	case w.target == nil || w.target.name != f.Resource.Spec.Target.Name || w.target.owner != w.resource.Name:
		fail("%s, and there is no target of ours", ready)
	case c == nil:
		fail("%s, and there is no credential", ready)
	case w.target.token != c.token("") && w.target.token != c.token(v1alpha1.TokenFormTrailingNewline):
		fail("%s, and the target holds %q, which %q does not make", ready, w.target.token, c.value)
	case w.proofs[proof{w.target.token, c.at}] == nil:
		fail("%s, and the token in the target was never checked at %+v", ready, c.at)
	case w.proofs[proof{w.target.token, c.at}].rejections > 1 &&
		(!f.Sources[0].MakesDeployed || !f.Sources[1].MakesDeployed): // whose first rejections count together
		fail("%s, and the token in the target was rejected", ready)
	}
}

func (w *world) expectIdempotence() {
	w.t.Helper()
	held := w.process.deployed
	f, _ := w.look()
	plan := decision.NewPlan(f)
	if !plan.IsEmpty() || w.process.deployed != held {
		return // a check is due, or the token was read back only now
	}
	writes := w.writes
	verdict := decision.Decide(f, plan, nil)
	target, _ := w.deliver(f, verdict)
	status, _ := decision.Conclude(verdict, target)
	if w.writes != writes {
		w.t.Fatalf("wrote the target though nothing happened:\n%s", w.dump())
	}
	if encode(status) != w.stored {
		w.t.Fatalf("at %s the status changes though nothing happened:\n%s", w.now, difference(w.dump(), dump(status)))
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
		encoded, err := json.Marshal(part)
		if err != nil {
			panic(err)
		}
		lines = append(lines, string(encoded))
	}
	return strings.Join(lines, "\n")
}
