// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"slices"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// sight is what an evaluation sees before it checks anything.
type sight struct {
	facts    decision.Facts
	resource *v1alpha1.JupicoCredential
	// endpoint that the spec asks for.
	endpoint checker.Endpoint
	// candidates of the entries of the spec. Nil where the source gives none.
	candidates [v1alpha1.MaxCredentials]*candidate
	// caProblem stands for the candidates' checks when the certificates could not be read. Else nil.
	caProblem *outcome.Result
	// target as the watch shows it. Nil when it does not exist.
	target *glimpse
	// warnings about what was cut off the source of an entry.
	warnings [v1alpha1.MaxCredentials][]string
	// asked are the checks that were made.
	asked []asked
	// retryRequestAt is when a check that was asked for too often may be made.
	retryRequestAt time.Time
}

// asked is a token, of an entry or deployed, and when its check began.
type asked struct {
	entry int
	token *proof
	began time.Time
}

// look gathers the facts. On an unchanged resource it asks the API server nothing.
func (r *Reconciler) look(ctx context.Context, resource *v1alpha1.JupicoCredential, known *memory) (*sight, error) {
	s := &sight{resource: resource, facts: decision.Facts{Resource: resource, Now: r.clock.Now()}}
	if resource.Spec.Suspend {
		s.facts.Endpoint = baseURL(resource)
		return s, nil
	}
	if err := r.lookAtEndpoint(ctx, s, known); err != nil {
		return nil, err
	}
	for i := range resource.Spec.Credentials {
		if err := r.lookAtSource(ctx, s, known, i); err != nil {
			return nil, err
		}
	}
	known.generation = resource.Generation
	if err := r.lookAtTarget(ctx, s, known); err != nil {
		return nil, err
	}
	r.lookAtRequest(s, known)
	hasCandidate := s.candidates != [v1alpha1.MaxCredentials]*candidate{} && s.caProblem == nil
	if decision.IsFirst(resource) && hasCandidate {
		s.facts.FirstContact, s.facts.ContactedAt = r.checker.Contact(s.endpoint)
	}
	return s, nil
}

// baseURL is where the spec has the credential checked, in its canonical spelling if it has one.
func baseURL(resource *v1alpha1.JupicoCredential) string {
	if endpoint := resource.Spec.Endpoint; endpoint != nil {
		if canonical, err := jupico.CanonicalBaseURL(endpoint.URL); err == nil {
			return canonical
		}
		return endpoint.URL
	}
	return environmentURL(resource.Spec.Environment)
}

func environmentURL(environment v1alpha1.Environment) string {
	if environment == v1alpha1.EnvironmentProduction {
		return jupico.ProductionURL
	}
	return jupico.SandboxURL
}

func (r *Reconciler) lookAtEndpoint(ctx context.Context, s *sight, known *memory) error {
	s.endpoint = checker.Endpoint{URL: baseURL(s.resource)}
	s.facts.Endpoint = s.endpoint.URL
	spec := s.resource.Spec.Endpoint
	switch {
	case spec == nil:
	case len(spec.CABundle) > 0:
		s.endpoint.CA = intern(string(spec.CABundle)) // mostly the same in all resources, and kept with each token
	case spec.CAConfigMapRef != nil:
		if known.ca == nil {
			known.ca = &caMemory{}
		}
		if err := r.readCA(ctx, s.resource, known.ca); err != nil {
			return err
		}
		s.endpoint.CA = known.ca.pem
		if known.ca.problem != "" {
			s.caProblem = &outcome.Result{Outcome: outcome.CAInvalid, Detail: known.ca.problem}
		}
	}
	return nil
}

func (r *Reconciler) lookAtSource(ctx context.Context, s *sight, known *memory, i int) error {
	spec := &s.resource.Spec.Credentials[i]
	entry := known.entry(spec.Name)
	if err := r.readSource(ctx, s.resource, spec, &entry.source); err != nil {
		return err
	}
	source := &s.facts.Sources[i]
	source.Problem, source.Detail = entry.source.problem, entry.source.detail
	source.Login = entry.source.credential.IsLogin()
	if source.Problem != "" {
		return nil
	}
	c := &candidate{origin{entry.source.credential, spec.Name, s.resource.Spec.Environment}, s.endpoint}
	s.candidates[i] = c
	source.Status = &v1alpha1.SourceStatus{UID: entry.source.ref.UID, ResourceVersion: entry.source.ref.ResourceVersion}
	source.Record = s.recordOf(known, i)
	_, source.Proven = entry.proven.form(c)
	isEdited := source.Record == "" || known.generation != s.resource.Generation && s.facts.SpecEdited()
	if isEdited && s.resource.Status.ObservedGeneration > 0 { // a new resource edits nothing
		entry.editedAt = s.facts.Now
	}
	source.Checked = source.Record != "" && entry.checkedFor == s.resource.Generation
	source.Repeats = i > 0 && s.candidates[0] != nil && s.candidates[0].equal(c)
	if source.Record == "" {
		s.warnings[i] = entry.source.warnings
	}
	return nil
}

// recordOf returns the name under which the status is about a candidate: the entry's own, or a former one. After a
// restart only an unchanged source and spec tell.
func (s *sight) recordOf(known *memory, i int) string {
	name := s.resource.Spec.Credentials[i].Name
	if recorded := known.entry(name).recorded; recorded != nil {
		if recorded.equal(s.candidates[i]) {
			return name
		}
		return ""
	}
	for _, former := range known.entries {
		if former.recorded != nil && former.recorded.equal(s.candidates[i]) && !s.hasEntry(former.name) {
			return former.name
		}
	}
	for _, status := range s.resource.Status.Credentials {
		if status.Name == name && status.Source != nil && *status.Source == known.entry(name).source.ref &&
			s.resource.Status.ObservedGeneration == s.resource.Generation {
			return name
		}
	}
	return ""
}

func (s *sight) hasEntry(name string) bool {
	return slices.ContainsFunc(s.resource.Spec.Credentials, func(entry v1alpha1.Credential) bool {
		return entry.Name == name
	})
}

// lookAtTarget sees whether the target is as it was left, and recalls the token in it where that is needed.
func (r *Reconciler) lookAtTarget(ctx context.Context, s *sight, known *memory) error {
	target, err := r.seenTarget(ctx, s.resource)
	if err != nil {
		return err
	}
	s.target = target
	s.facts.TargetDrifted = s.resource.Status.Deployed != nil &&
		!isAsLeft(s.resource.Status.Target, target, s.resource.Spec.Target.Name)
	if err := r.recallDeployed(ctx, s, known); err != nil {
		return err
	}
	s.facts.DeployedKnown = known.deployed != nil
	var maker *candidate // the entry that the token came from, if that makes it still, or else another
	for i, c := range s.candidates {
		source := &s.facts.Sources[i]
		form, isMade := known.deployed.form(c)
		source.MakesDeployed = isMade
		if isMade && (maker == nil || c.entry == known.deployed.entry) {
			maker = c
		}
		if isMade && source.Login {
			source.DeployedForm = apiForm(form)
		}
	}
	if maker != nil {
		known.deployed.origin = maker.origin
	}
	return nil
}

// recallDeployed reads the deployed token back from the target after a restart, when no source makes it any more.
// What somebody else put there is never taken for it.
func (r *Reconciler) recallDeployed(ctx context.Context, s *sight, known *memory) error {
	deployed := s.resource.Status.Deployed
	isNeeded := deployed != nil && (deployed.LastCheckTime != nil || !s.isActive(deployed.Credential))
	left := s.resource.Status.Target
	if known.deployed != nil || !isNeeded || left == nil {
		return nil
	}
	isLeft := v1alpha1.SourceStatus{UID: left.UID, ResourceVersion: left.ResourceVersion}
	if known.readBack == isLeft {
		return nil // which did not help
	}
	endpoint, ok := endpointOfDeployed(deployed.Endpoint, s)
	if !ok {
		return nil
	}
	secret := &corev1.Secret{}
	if err := r.live.Get(ctx, keyOf(s.resource.Namespace, left.Name), secret); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	known.readBack = isLeft
	if glimpseOf(secret).ref != isLeft {
		return nil
	}
	if token, ok := credential.ParseToken(secret.Data[v1alpha1.TargetKeyToken]); ok {
		known.deployed = &proof{origin: origin{entry: deployed.Credential}, token: token, endpoint: endpoint}
	}
	return nil
}

// isActive reports whether an entry still has the candidate that the status tells of under a name.
func (s *sight) isActive(name string) bool {
	return slices.ContainsFunc(s.facts.Sources[:], func(source decision.Source) bool { return source.Record == name })
}

// endpointOfDeployed gives back the TLS settings of an endpoint that a status names, as far as they are still known.
// The other environment's is never one, whatever a status says.
func endpointOfDeployed(url string, s *sight) (checker.Endpoint, bool) {
	if s.endpoint.URL == url {
		return s.endpoint, s.caProblem == nil
	}
	return checker.Endpoint{URL: url}, url == environmentURL(s.resource.Spec.Environment)
}

// lookAtRequest lets a check request through, unless there were too many.
func (r *Reconciler) lookAtRequest(s *sight, known *memory) {
	asked := decision.CheckRequest(s.resource)
	if asked == "" || asked == s.resource.Status.LastHandledCheckRequest {
		return
	}
	if known.requests == nil {
		known.requests = rate.NewLimiter(rate.Every(requestEvery), requestsInARow)
	}
	now := s.facts.Now
	if known.request.value != asked && known.requests.AllowN(now, 1) {
		known.request.value, known.request.at = asked, now
	}
	if known.request.value == asked { // and so is tried until it is done
		s.facts.RequestedAt = known.request.at
		return
	}
	s.retryRequestAt = refilledAt(known.requests, now)
}

// refilledAt is when a limiter has its next token.
func refilledAt(limiter *rate.Limiter, now time.Time) time.Time {
	missing := 1 - limiter.TokensAt(now)
	return now.Add(time.Duration(missing / float64(limiter.Limit()) * float64(time.Second)))
}

// seenTarget returns the target as the watch shows it, or nil.
func (r *Reconciler) seenTarget(ctx context.Context, resource *v1alpha1.JupicoCredential) (*glimpse, error) {
	return r.secrets.in(resource.Namespace).look(ctx, keyOf(resource.Namespace, resource.Spec.Target.Name))
}
