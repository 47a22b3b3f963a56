// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/credential"
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

var (
	errNoAnswer = errors.New("the API server does not answer")
	noAnswer    = decision.Target{Problem: v1alpha1.ReasonTargetWriteFailed, Detail: "The API server does not answer."}
)

// start is within a second, as the clock mostly is.
var start = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

// world is what surrounds one resource: an API server with the resource, its sources and its targets, Jupico's API, and
// a clock. Whatever is decided in it, a decision.State decides.
type world struct {
	t   testing.TB
	now time.Time

	// The API server. resource is as it has it, and watched as the watch shows it, while that lags behind.
	resource, watched *v1alpha1.JupicoCredential
	source, standby   *secret                            // of the first and the second entry
	sourceOf          func(*v1alpha1.Credential) *secret // if there is one, it finds them instead
	targets           map[string]*secret                 // by name
	version           int                                // of what was written last
	// refusal is how the API server refuses to have a target written. The problem "error" is a failure that is no refusal.
	refusal         decision.Target
	templateProblem string
	targetProblem   string // why the target cannot be observed
	formerRemains   string // why former targets cannot be cleaned up
	ca              decision.CA
	// statusFates say what becomes of the next writes of the status, and refusesStatus of those after them.
	statusFates       []fate
	refusesStatus     bool
	losesTargetAnswer bool   // to the next write of a target
	alters            string // what an admission policy changes of each target that is written: "token" or "label"
	failsToRead       bool   // the target
	meanwhile         func() // happens once, in the middle of the next round

	// Jupico's API. accepts has what it answers to tokens, of which others are Rejected, and down what endpoints answer to
	// any token. hook, if there is one, answers in their place; nothing means that they do.
	accepts map[string]outcome.Outcome
	down    map[string]outcome.Result
	hook    func(tokenAt) outcome.Outcome
	// putOff, if there is one, says how long a check has to wait for its slot. 0 means not at all.
	putOff  func(tokenAt) time.Duration
	mass    bool          // whatever is rejected, most credentials were rejected together
	backoff time.Duration // is how long rejections stand for further checks, as those of other resources
	latency time.Duration // of each request
	// controlAge is how long before a check that is for a delivery a random token was refused.
	controlAge time.Duration
	requests   []request
	proofs     map[tokenAt]*evidence

	state decision.State
	// observed is the resource that the round is about, and before how many requests there were before it.
	observed *v1alpha1.JupicoCredential
	before   int

	wakeUp      time.Time
	evaluations int
	failures    int // in a row
	deliveries  int // that were asked for, and writes of targets that were made for them
	writes      int
	held        string // the token that was written last, and the entry that it was written for
	heldEntry   string
	events      []decision.Event
	isSampled   bool // look only now and then at what must hold after every round
}

// fate is what becomes of a write of the status.
type fate int

const (
	stored fate = iota
	refused
	requestLost
	answerLost
	crash // the process ends before it writes
)

// secret is a source or a target.
type secret struct {
	uid     types.UID
	version string
	// Of a source:
	value           string
	key             bool // an API key
	problem, detail string
	isUnreadable    bool
	// Of a target:
	token, owner string
	generation   int64 // of the spec that its labels, annotations and owners follow
	isUnmarked   bool
	isCopy       bool
}

func (s *secret) ref() v1alpha1.SourceStatus {
	return v1alpha1.SourceStatus{UID: s.uid, ResourceVersion: s.version}
}

// newWorld has a resource that nobody looked at yet, and no Secret.
func newWorld(t testing.TB, environment v1alpha1.Environment) *world {
	t.Helper()
	return &world{
		t: t, now: start, accepts: map[string]outcome.Outcome{}, down: map[string]outcome.Result{},
		targets: map[string]*secret{}, proofs: map[tokenAt]*evidence{},
		resource: &v1alpha1.JupicoCredential{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: "payments", UID: "3b1f6a52-5f1c-4d58-9a0b-1f1f0d1f9c11", Generation: 1,
				ResourceVersion: "1", Annotations: map[string]string{},
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
		version: 1,
	}
}

func (w *world) nextVersion() string {
	w.version++
	return strconv.Itoa(w.version)
}

// target is the Secret that the spec names.
func (w *world) target() *secret { return w.targets[w.resource.Spec.Target.Name] }

// reconcile does one round, as the controller does.
func (w *world) reconcile() {
	w.t.Helper()
	w.evaluations++
	w.now = w.now.Add(time.Microsecond)
	w.observed = w.resource.DeepCopy()
	if w.watched != nil && !w.state.IsCacheBehind(w.watched) {
		w.observed = w.watched.DeepCopy()
	}
	w.before = len(w.requests)
	began, before, isDisturbed := w.now, *w.observed.Status.DeepCopy(), w.meanwhile != nil
	round, err := w.state.Run(context.Background(), w.observe(), w.calls())
	w.happenMeanwhile()
	w.wakeUp = round.RequeueAt
	if isDisturbed {
		defer func() { w.wakeUp = w.now }() // a watch shows it
	}
	if round.IsSilent || !w.writeStatus(round) {
		return
	}
	if w.failures++; err == nil {
		w.failures = 0
	} else { // the work queue backs off
		w.wakeUp = w.now.Add(min(100*time.Millisecond<<min(w.failures, 10), time.Minute))
	}
	w.events = append(w.events, round.Events...)
	if w.isLookedAt() {
		w.expectUnchanged(before, w.observed.Status)
		w.expectSoundStatus(began, round.RequeueAt)
		w.expectIdempotence(isDisturbed || err != nil)
	}
}

func (w *world) calls() decision.Calls {
	now := func() time.Time { return w.now }
	return decision.Calls{Now: now, Check: w.check, ReadToken: w.readToken, Deliver: w.deliver}
}

func (w *world) happenMeanwhile() {
	if happen := w.meanwhile; happen != nil {
		w.meanwhile = nil
		happen()
	}
}

func (w *world) observe() decision.Observation {
	o := decision.Observation{
		Resource: w.observed, Now: w.now, Endpoint: endpointOf(w.observed),
		TemplateProblem: w.templateProblem, TargetProblem: w.targetProblem,
	}
	for name, target := range w.targets {
		isOurs := target.owner == w.observed.Name && !target.isCopy
		switch {
		case name == w.observed.Spec.Target.Name:
			o.Target = &decision.ObservedTarget{Version: target.ref(), ManagedBy: target.owner, Mark: target.mark(name)}
		case isOurs:
			o.FormerTargets = append(o.FormerTargets, name)
		}
	}
	slices.Sort(o.FormerTargets)
	if w.observed.Spec.Suspend {
		return o
	}
	if w.down[o.Endpoint.URL].Outcome == outcome.CAInvalid {
		o.CA.Problem = "the ConfigMap does not exist"
	}
	if w.ca != (decision.CA{}) {
		if !w.ca.RetryAt.IsZero() && !w.ca.Waits(w.now) {
			w.ca.ReadBackoff = w.ca.Next(w.now)
		}
		o.CA, o.Endpoint.CA = w.ca, w.ca.PEM
	}
	for i := range w.observed.Spec.Credentials {
		o.Sources[i] = w.readSource(i)
	}
	return o
}

func (w *world) readSource(i int) decision.Source {
	name, secret := w.observed.Spec.Credentials[i].SecretName(), w.secretOf(w.observed, i)
	sources, _ := w.state.Observed(w.observed)
	last, source := sources[i], decision.Source{}
	switch {
	case secret == nil:
		source.Problem = v1alpha1.ReasonSourceNotFound
		source.Detail = fmt.Sprintf("Secret %q does not exist: create it.", name)
	case secret.isUnreadable && last.Waits(w.now):
		return last
	case secret.isUnreadable:
		source.Problem = v1alpha1.ReasonSourceUnreadable
		source.Detail = fmt.Sprintf("Secret %q cannot be read.", name)
		source.ReadBackoff = last.Next(w.now)
	case secret.problem != "":
		source.Version, source.Problem, source.Detail = secret.ref(), secret.problem, secret.detail
	default:
		source.Version, source.Credential = secret.ref(), secret.credential()
	}
	return source
}

// writeStatus stores the status as its fate has it, and reports whether the operator knows that it did.
func (w *world) writeStatus(round *decision.Round) bool {
	w.t.Helper()
	fate := stored
	switch {
	case round.HasConflict || w.observed.ResourceVersion != w.resource.ResourceVersion || w.refusesStatus:
		fate = refused
	case len(w.statusFates) > 0:
		fate, w.statusFates = w.statusFates[0], w.statusFates[1:]
	}
	if fate == stored || fate == answerLost {
		w.resource.Status, w.resource.ResourceVersion = w.throughJSON(round.Status), w.nextVersion()
	} else {
		w.forgetRejections()
	}
	switch fate {
	case stored:
		w.state.Commit(round, w.resource.ResourceVersion)
	case crash:
		w.stop()
		w.wakeUp = w.now
	case refused, requestLost, answerLost:
		w.wakeUp = w.now.Add(w.state.Abandon(round, fate != refused))
	}
	return fate == stored
}

// check is Jupico's API, behind a checker that shares nothing.
func (w *world) check(_ context.Context, r check.Request) check.Answer {
	w.t.Helper()
	p := tokenAt{decode(r.Token), r.Endpoint}
	if r.NotBefore.After(w.now) {
		return check.Answer{RetryAt: r.NotBefore}
	}
	if w.putOff != nil && !r.Urgent && w.putOff(p) > 0 {
		return check.Answer{RetryAt: w.now.Add(w.putOff(p))}
	}
	answer := check.Answer{Result: w.answerTo(p), MassRejection: w.mass}
	if r.ForDelivery {
		w.now = w.now.Add(w.latency)
		answer.ControlledAt = w.now.Add(-w.controlAge)
	}
	answer.Began = w.now
	w.now = w.now.Add(w.latency)
	answer.Ended = w.now
	if answer.Outcome.Class() == outcome.Rejection && w.backoff > 0 {
		answer.BackoffUntil = w.now.Add(w.backoff)
	}
	w.note(request{r, p, answer.Began, answer.Outcome})
	return answer
}

func (w *world) answerTo(p tokenAt) outcome.Result {
	var said outcome.Outcome
	if w.hook != nil {
		said = w.hook(p)
	}
	if result, isDown := w.down[p.at.URL]; isDown && said == "" {
		return result
	}
	return outcome.Result{Outcome: cmp.Or(said, w.accepts[p.token], outcome.Rejected), Detail: "HTTP 999"}
}

func (w *world) readToken(_ context.Context, name string) (credential.Token, v1alpha1.SourceStatus, error) {
	target := w.targets[name]
	switch {
	case w.failsToRead:
		return credential.Token{}, v1alpha1.SourceStatus{}, errNoAnswer
	case target == nil:
		return credential.Token{}, v1alpha1.SourceStatus{}, nil
	}
	w.noteReading(target.token)
	token, _ := credential.ParseToken(encode(target.token))
	return token, target.ref(), nil
}

// deliver is the API server with the target, which refuses a write over another version than the one that was judged.
func (w *world) deliver(_ context.Context, d decision.Delivery) (decision.Target, error) {
	w.t.Helper()
	w.happenMeanwhile()
	if !d.NotAfter.IsZero() && w.now.After(d.NotAfter) {
		return decision.Target{HasConflict: true}, nil
	}
	w.expectSoundDelivery(d)
	w.deliveries++
	name := w.observed.Spec.Target.Name
	now := w.targets[name]
	if (now == nil) != (d.Judged == nil) || now != nil && now.ref() != d.Judged.Version {
		return decision.Target{HasConflict: true}, nil
	}
	next := secret{uid: types.UID("target-" + strconv.Itoa(w.version))}
	if now != nil {
		next = *now
	}
	next.owner, next.generation, next.isUnmarked = w.observed.Name, w.observed.Generation, false
	if d.Proof != nil {
		next.token = decode(d.Proof.Token)
	}
	target := decision.Target{Differed: now == nil || *now != next, OtherManager: "rival"}
	switch {
	case target.Differed && w.refusal.Problem == "error":
		return noAnswer, errNoAnswer
	case target.Differed && w.refusal.Problem != "":
		return w.refusal, nil
	case target.Differed && !d.MayWrite:
		return target, nil
	case target.Differed:
		next.version, target.Altered = w.nextVersion(), w.alters
		if w.alters == "token" {
			next.token = "altered"
		} else if w.alters != "" {
			next.generation = 0
		}
		w.targets[name], target.IsWritten = &next, true
		w.writes++
	}
	if target.IsWritten && d.Proof != nil {
		w.held, w.heldEntry = decode(d.Proof.Token), d.Proof.Entry
	}
	if w.losesTargetAnswer && target.IsWritten {
		w.losesTargetAnswer = false
		return noAnswer, errNoAnswer
	}
	target.Holds = d.Proof != nil && next.token == decode(d.Proof.Token)
	target.Status = &v1alpha1.TargetStatus{
		Name: name, UID: next.uid, ResourceVersion: next.version, Keys: []string{"authorization", "token", "url"},
	}
	if target.IsWritten {
		target.Status.UpdatedTime = &metav1.Time{Time: w.now.Truncate(time.Second)}
	}
	for _, former := range d.FormerTargets {
		if target.FormerRemains = w.formerRemains; target.FormerRemains != "" {
			break
		}
		delete(w.targets, former)
	}
	return target, nil
}

// What happens in the world. Each of these is followed by the rounds that a watch would cause.

// change edits the spec, and no watch shows it yet.
func (w *world) change(edit func(spec *v1alpha1.JupicoCredentialSpec)) {
	edit(&w.resource.Spec)
	w.resource.Generation++
	w.resource.ResourceVersion = w.nextVersion()
}

func (w *world) edit(edit func(spec *v1alpha1.JupicoCredentialSpec)) {
	w.change(edit)
	w.happens()
}

// stop ends the process. The next round is another one's.
func (w *world) stop() {
	w.state = decision.State{}
	for _, e := range w.proofs {
		e.isKnown = false
	}
}

// happens does rounds until there is nothing to do at once.
func (w *world) happens() {
	w.t.Helper()
	for range 10 {
		w.reconcile()
		if w.wakeUp.IsZero() || w.wakeUp.After(w.now.Add(time.Second)) {
			return
		}
		w.now = later(w.wakeUp, w.now.Add(time.Millisecond))
	}
	w.t.Fatalf("does round after round at %s, with the status\n%s", w.now, w.dump())
}

// run lets time pass, with the rounds that the operator wanted.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	end, first := w.now.Add(d), w.evaluations
	for !w.wakeUp.IsZero() && w.wakeUp.Before(end) {
		w.now = later(w.wakeUp, w.now.Add(time.Millisecond))
		w.reconcile()
		if w.evaluations-first > int(d/(2*time.Second))+20 {
			w.t.Fatalf("%d rounds in %s, with the status\n%s", w.evaluations-first, d, w.dump())
		}
	}
	w.now = later(w.now, end)
}
