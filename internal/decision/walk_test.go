// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// walk edits one resource and its Secrets at random. Jupico's API never changes its mind meanwhile, so that all that
// changes comes of an edit. After each step, what is said of the resource must be what is said of a fresh one with the
// same spec, sources and target, but for what only a history can tell: the last known good token, and what was known
// before a suspension or before a source became unreadable.
type walk struct {
	*world
	random  *rand.Rand
	trail   []string
	sources map[string]*sourceSecret
	// authorities are ConfigMaps with certificates.
	authorities map[string]map[string]string
	// touched are targets that somebody wrote since the operator saw to them.
	touched map[types.UID]bool

	// good is the token that the target was given last. Nil before there was one.
	good *lastKnownGood
	// before is what was said after the last step.
	before map[string]string
}

// lastKnownGood is a token that was accepted and delivered, and what it was made of.
type lastKnownGood struct {
	token, entry, reason string
	at                   endpoint.Endpoint
}

// sourceSecret is a Secret that credentials are read from.
type sourceSecret struct {
	uid          types.UID
	version      string
	data         map[string]string
	isUnreadable bool
}

const (
	deniedURL = "https://denied.example"
	thirdName = "jupico-other"
	takenName = "taken"
)

func TestAfterAnyEditsTheStateIsThatOfAFreshResource(t *testing.T) {
	t.Parallel()
	runInParallel(t, numberFrom("WALKS", 2000), walkAtRandom)
}

func walkAtRandom(t *testing.T, seed uint64) {
	t.Helper()
	k := newWalk(t, seed)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: %s", seed, strings.Join(k.trail, "; "))
		}
	}()
	k.settle()
	for range 10 {
		k.trail = append(k.trail, k.makeStep())
		k.settle()
	}
}

func newWalk(t *testing.T, seed uint64) *walk {
	t.Helper()
	k := &walk{
		world: newWorld(t, sandbox), random: rand.New(rand.NewPCG(seed, 13)), touched: map[types.UID]bool{},
		before: map[string]string{}, sources: map[string]*sourceSecret{}, authorities: map[string]map[string]string{
			"authorities": {"ca.crt": "right", "other.crt": "other"},
		},
	}
	for i, name := range []string{sourceName, standbyName, thirdName} {
		k.writeSecret(name, map[string]string{"username": "user", "password": k.value(), "apiKey": k.value()})
		k.sources[name].uid = types.UID(fmt.Sprint("source ", i))
	}
	k.targets[takenName] = &secret{uid: "taken", version: k.nextVersion(), owner: "somebody"}
	k.isSampled, k.hook, k.sourceOf = true, walkAnswer, k.readSourceOf
	return k
}

// walkAnswer is what Jupico's API says.
func walkAnswer(p tokenAt) outcome.Outcome {
	switch {
	case p.at.URL == deniedURL:
		return outcome.EndpointDenied
	case p.at.CA == "garbage":
		return outcome.CAInvalid
	case p.at.CA == "other":
		return outcome.TLSFailure
	case p.at.URL == productionURL && p.token != "production", p.at.URL != productionURL && p.token == "production":
		return outcome.Rejected
	}
	switch p.token {
	case "good", "good too", "newline\n", "production":
		return outcome.Accepted
	case "limited":
		return outcome.LimitedPermissions
	case "inactive":
		return outcome.UserInactive
	default:
		return outcome.Rejected
	}
}

// value is a password or an API key, which is accepted at some endpoint more often than not.
func (k *walk) value() string {
	values := []string{"good", "good", "good too", "newline", "limited", "production", "bad", "worse", "inactive", ""}
	return values[k.random.IntN(len(values))]
}

func (k *walk) writeSecret(name string, data map[string]string) {
	uid := types.UID(name + strconv.Itoa(k.version))
	if former := k.sources[name]; former != nil {
		uid = former.uid
	}
	k.sources[name] = &sourceSecret{uid: uid, version: k.nextVersion(), data: data}
}

// readSourceOf is what the Secret of an entry holds for it.
func (k *walk) readSourceOf(entry *v1alpha1.Credential) *secret {
	from := k.sources[entry.SecretName()]
	if from == nil {
		return nil
	}
	read := &secret{uid: from.uid, version: from.version, isUnreadable: from.isUnreadable}
	var keys []string
	if login := entry.BasicAuthSecretRef; login != nil {
		keys = []string{orElse(login.UsernameKey, "username"), orElse(login.PasswordKey, "password")}
	} else {
		keys, read.key = []string{orElse(entry.APIKeySecretRef.Key, "apiKey")}, true
	}
	for _, key := range keys {
		if _, exists := from.data[key]; !exists {
			read.problem, read.detail = v1alpha1.ReasonSourceKeyMissing, "A key is missing."
			return read
		}
	}
	read.value = from.data[keys[len(keys)-1]]
	switch {
	case read.value == "":
		read.problem, read.detail = v1alpha1.ReasonInvalidSource, "A value is empty."
	case !read.key && from.data[keys[0]] != "user":
		read.value = "of another user"
	}
	return read
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// surround brings the ConfigMap and the templates in line with the spec.
func (k *walk) surround(w *world) {
	w.ca, w.templateProblem = decision.CA{}, ""
	spec := &w.resource.Spec
	if at := spec.Endpoint; at != nil && at.CAConfigMapRef != nil {
		data, exists := k.authorities[at.CAConfigMapRef.Name]
		pem := data[orElse(at.CAConfigMapRef.Key, v1alpha1.DefaultCAKey)]
		switch {
		case !exists:
			w.ca = decision.CA{Problem: "it does not exist", IsMissing: true}
		case pem == "":
			w.ca = decision.CA{Problem: "it has no such key"}
		default:
			w.ca = decision.CA{PEM: pem}
		}
	}
	if template := spec.Target.Template; template != nil && template.Data["a"] == "{{" {
		w.templateProblem = templateProblem
	}
}

// fresh is a resource with this spec and what now surrounds the walk's, seen for the first time by a new process.
func (k *walk) fresh(spec *v1alpha1.JupicoCredentialSpec, targets map[string]*secret, reads bool) *world {
	w := newWorld(k.t, sandbox)
	w.resource.Spec = *spec.DeepCopy()
	w.version, w.isSampled, w.hook = k.version, true, walkAnswer
	w.sourceOf = func(entry *v1alpha1.Credential) *secret {
		read := k.readSourceOf(entry)
		if read != nil && reads {
			read.isUnreadable = false
		}
		return read
	}
	w.targets = cloneSecrets(targets)
	k.surround(w)
	w.happens()
	w.run(m)
	return w
}

func cloneSecrets(secrets map[string]*secret) map[string]*secret {
	clones := map[string]*secret{}
	for name, one := range secrets {
		clone := *one
		clones[name] = &clone
	}
	return clones
}

// settle lets the operator act on a step, and compares what comes of it with what must be.
func (k *walk) settle() {
	k.t.Helper()
	k.surround(k.world)
	spec, targets := k.resource.Spec.DeepCopy(), cloneSecrets(k.targets)
	k.happens()
	if spec.Suspend {
		k.run(max(3*spec.CheckInterval.Duration, 15*m) + m) // until all that was known is stale
		k.expectSuspended(targets)
	} else {
		k.run(spec.CheckInterval.Duration + 2*m)
		k.expectFresh(spec, targets)
	}
	k.before = k.said()
}

// said lists the conditions, each as "status/reason".
func (w *world) said() map[string]string {
	said := map[string]string{}
	for _, c := range w.resource.Status.Conditions {
		said[c.Type] = string(c.Status) + "/" + c.Reason
	}
	return said
}

func (k *walk) fail(format string, args ...any) {
	k.t.Helper()
	k.t.Fatalf("%s\nspec: %s\n%s", fmt.Sprintf(format, args...), asJSON(k.resource.Spec), k.dump())
}

// expectFresh compares the walk's resource with a fresh one.
func (k *walk) expectFresh(spec *v1alpha1.JupicoCredentialSpec, targets map[string]*secret) {
	k.t.Helper()
	fresh := k.fresh(spec, targets, false)
	if k.takesOver(fresh) {
		k.noteGood(fresh)
	} else if k.good != nil {
		k.followName(spec)
	}
	k.expectSaid(spec, targets, k.wanted(fresh, spec, targets, false))
	switch got := k.resource.Status.Deployed; {
	case k.good == nil && got != nil:
		k.fail("it says to have delivered %+v", got)
	case k.good == nil:
		k.expectUntouched(targets)
		return
	case got == nil || got.Credential != k.good.entry || got.Endpoint != k.good.at.URL || got.Reason != k.good.reason ||
		got.Verdict != v1alpha1.VerdictAccepted:
		k.fail("it says to have delivered %+v, and that was %+v", got, k.good)
	}
	if synced := k.condition(v1alpha1.ConditionSecretSynced); synced == "False/TargetConflict" || k.templateProblem != "" {
		k.expectUntouched(targets)
		return
	}
	k.expectDelivered()
}

// takesOver reports whether the token that a fresh resource delivers has to take the place of the one that is last known
// to be good: always, unless that came from an entry that goes before the fresh one's (section 5, rule 6).
func (k *walk) takesOver(fresh *world) bool {
	deployed := fresh.resource.Status.Deployed
	if deployed == nil {
		return false
	}
	if k.good == nil || fresh.target().token == k.good.token && fresh.deployedAt() == k.good.at {
		return true
	}
	rank := entryOf(&fresh.resource.Spec, k.good.entry)
	return rank < 0 || entryOf(&fresh.resource.Spec, deployed.Credential) <= rank
}

func (k *walk) noteGood(fresh *world) {
	deployed := fresh.resource.Status.Deployed
	k.good = &lastKnownGood{
		token: fresh.target().token, entry: deployed.Credential, reason: deployed.Reason, at: fresh.deployedAt(),
	}
}

// followName follows the name of the entry that the last known good token comes from. Of two that make it, either is.
func (k *walk) followName(spec *v1alpha1.JupicoCredentialSpec) {
	var makers []string
	for i := range spec.Credentials {
		read := k.readSourceOf(&spec.Credentials[i])
		if read != nil && read.problem == "" && !read.isUnreadable && k.ca.Problem == "" && k.deployedAt() == k.good.at &&
			(read.value == k.good.token || !read.key && read.value+"\n" == k.good.token) {
			makers = append(makers, spec.Credentials[i].Name)
		}
	}
	if len(makers) > 0 {
		k.good.entry = makers[0]
	}
	if said := k.resource.Status.Deployed; said != nil && slices.Contains(makers, said.Credential) {
		k.good.entry = said.Credential
	}
}

// deployedAt is the endpoint that the spec asks for, with its certificates.
func (w *world) deployedAt() endpoint.Endpoint {
	at := w.endpoint()
	at.CA += w.ca.PEM
	return at
}

// entryOf returns the index of an entry, or -1.
func entryOf(spec *v1alpha1.JupicoCredentialSpec, name string) int {
	return slices.IndexFunc(spec.Credentials, func(c v1alpha1.Credential) bool { return c.Name == name })
}

// wanted is what has to be said: what is said of a fresh resource, but for what only a history tells.
func (k *walk) wanted(
	fresh *world, spec *v1alpha1.JupicoCredentialSpec, targets map[string]*secret, reads bool,
) map[string]string {
	want := fresh.said()
	if want[v1alpha1.ConditionEndpointAvailable] == "Unknown/NotChecked" { // there is no candidate to ask about
		switch known := k.before[v1alpha1.ConditionEndpointAvailable]; {
		case k.good != nil && k.good.at.URL == fresh.endpoint().URL:
			want[v1alpha1.ConditionEndpointAvailable] = "True/Available"
		case known != "" && !strings.HasPrefix(known, "Unknown/"):
			want[v1alpha1.ConditionEndpointAvailable] = known
		}
	}
	if k.good == nil || k.takesOver(fresh) {
		return want
	}
	// The conditions are about the entry that the token came from, if it is still there.
	about := fresh
	if i := entryOf(spec, k.good.entry); i >= 0 && len(spec.Credentials) > 1 {
		alone := spec.DeepCopy()
		alone.Credentials = alone.Credentials[i : i+1]
		about = k.fresh(alone, targets, reads)
	}
	for _, progress := range []string{reconciling, stalled} {
		delete(want, progress)
		if said := about.condition(progress); said != "" {
			want[progress] = said
		}
	}
	want[v1alpha1.ConditionCredentialAccepted] = "True/" + k.good.reason
	status, reason := "True/", strings.SplitN(about.ready(), "/", 2)[1]
	switch {
	case reason == v1alpha1.ReasonTargetConflict, reason == v1alpha1.ReasonTemplateError && !k.isInForce(targets):
		status = "False/"
	case reason == v1alpha1.ReasonTemplateError:
	case outcome.Outcome(reason).Class() == outcome.Rejection:
		reason = v1alpha1.ReasonCandidateRejected
		delete(want, stalled)
	case strings.Contains(reason, "Source"):
		delete(want, stalled)
		delete(want, reconciling)
	}
	want[v1alpha1.ConditionReady] = status + reason
	want[v1alpha1.ConditionSecretSynced] = "False/" + reason
	return want
}

// isInForce reports whether the target holds the last known good token, and nobody wrote it since.
func (k *walk) isInForce(targets map[string]*secret) bool {
	target := targets[k.resource.Spec.Target.Name]
	return target != nil && target.owner == k.resource.Name && target.token == k.good.token && !k.touched[target.uid]
}

// expectSaid compares conditions. Of a source that is unreadable, what was known of its bytes still holds.
func (k *walk) expectSaid(spec *v1alpha1.JupicoCredentialSpec, targets map[string]*secret, want map[string]string) {
	k.t.Helper()
	got := k.said()
	if maps.Equal(got, want) {
		return
	}
	isUnreadable := func(c v1alpha1.Credential) bool {
		read := k.readSourceOf(&c)
		return read != nil && read.isUnreadable
	}
	known := want
	if slices.ContainsFunc(spec.Credentials, isUnreadable) {
		known = k.wanted(k.fresh(spec, targets, true), spec, targets, true)
	}
	for _, conditionType := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionCredentialAccepted, v1alpha1.ConditionSecretSynced,
		v1alpha1.ConditionEndpointAvailable, v1alpha1.ConditionRedundant, reconciling, stalled,
	} {
		isFreshOnly := conditionType == v1alpha1.ConditionSecretSynced || conditionType == v1alpha1.ConditionRedundant
		is := got[conditionType]
		if is != want[conditionType] && (isFreshOnly || is != known[conditionType]) {
			k.fail("%s is %q, want %q", conditionType, is, want[conditionType])
		}
	}
}

// expectDelivered looks whether the target holds the last known good token, and nothing else is ours.
func (k *walk) expectDelivered() {
	k.t.Helper()
	target, status := k.target(), k.resource.Status.Target
	switch {
	case target == nil || target.owner != k.resource.Name || target.token != k.good.token:
		k.fail("the target is %+v, want the token %q", target, k.good.token)
	case target.generation != k.resource.Generation || status.ObservedGeneration != k.resource.Generation:
		k.fail("the target follows generation %d, and its status %d", target.generation, status.ObservedGeneration)
	case status.Name != k.resource.Spec.Target.Name || status.UID != target.uid || status.ResourceVersion != target.version:
		k.fail("the target is %+v, and its status %+v", target, status)
	}
	for name, other := range k.targets {
		if other != target && other.owner == k.resource.Name {
			k.fail("the former target %q is left behind", name)
		}
	}
	clear(k.touched)
}

// expectUntouched looks whether all targets hold what they held before.
func (k *walk) expectUntouched(targets map[string]*secret) {
	k.t.Helper()
	for name, was := range targets {
		if is := k.targets[name]; is == nil || is.token != was.token || is.owner != was.owner {
			k.fail("the target %q was %+v, and is %+v", name, was, is)
		}
	}
	if len(k.targets) != len(targets) {
		k.fail("there were %d targets, and are %d", len(targets), len(k.targets))
	}
}

// expectSuspended looks whether nothing was done, and whether all that was known is still said.
func (k *walk) expectSuspended(targets map[string]*secret) {
	k.t.Helper()
	asKnown := func(conditionType string) string {
		return orElse(k.before[conditionType], "Unknown/Suspended")
	}
	status, _, _ := strings.Cut(asKnown(v1alpha1.ConditionReady), "/")
	want := map[string]string{
		v1alpha1.ConditionReady:             status + "/Suspended",
		v1alpha1.ConditionSecretSynced:      "Unknown/Suspended",
		v1alpha1.ConditionEndpointAvailable: asKnown(v1alpha1.ConditionEndpointAvailable),
	}
	if len(k.resource.Spec.Credentials) > 1 {
		want[v1alpha1.ConditionRedundant] = asKnown(v1alpha1.ConditionRedundant)
	}
	got := k.said()
	accepted := got[v1alpha1.ConditionCredentialAccepted]
	delete(got, v1alpha1.ConditionCredentialAccepted)
	if !maps.Equal(got, want) {
		k.fail("%v is said, want %v", got, want)
	}
	isKnown := accepted == k.before[v1alpha1.ConditionCredentialAccepted] && strings.HasPrefix(accepted, "False/")
	isStale := accepted == "Unknown/Stale"
	if k.good != nil && !isStale || k.good == nil && !isStale && !isKnown && accepted != "Unknown/Suspended" {
		k.fail("CredentialAccepted is %s, and was %s", accepted, k.before[v1alpha1.ConditionCredentialAccepted])
	}
	if deployed := k.resource.Status.Deployed; (deployed == nil) != (k.good == nil) ||
		deployed != nil && (deployed.Credential != k.good.entry || deployed.Endpoint != k.good.at.URL) {
		k.fail("it says to have delivered %+v, and that was %+v", deployed, k.good)
	}
	k.expectUntouched(targets)
}
