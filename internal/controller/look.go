// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

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
	// candidate is nil when the source gives none.
	candidate *candidate
	// caProblem stands for the candidate's check when the certificates could not be read. Else nil.
	caProblem *outcome.Result
	// target as the cache shows it. Nil when it does not exist.
	target   *metav1.PartialObjectMetadata
	warnings []string
	// retryRequestAt is when a check that was asked for too often may be made.
	retryRequestAt time.Time
}

// recordedAfter is the candidate that the status is about once it is written.
func (s *sight) recordedAfter(known *memory) *candidate {
	if s.resource.Spec.Suspend {
		return known.recorded // nothing was looked at
	}
	return s.candidate
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
	if err := r.lookAtSource(ctx, s, known); err != nil {
		return nil, err
	}
	if err := r.lookAtTarget(ctx, s, known); err != nil {
		return nil, err
	}
	r.lookAtRequest(s, known)
	s.facts.FirstContact = s.caProblem == nil && !r.checker.Controlled(s.endpoint)
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
		s.endpoint.CA = string(spec.CABundle)
	case spec.CAConfigMapRef != nil:
		if err := r.readCA(ctx, s.resource, &known.ca); err != nil {
			return err
		}
		s.endpoint.CA = known.ca.pem
		if known.ca.problem != "" {
			s.caProblem = &outcome.Result{Outcome: outcome.CAInvalid, Detail: known.ca.problem}
		}
	}
	return nil
}

func (r *Reconciler) lookAtSource(ctx context.Context, s *sight, known *memory) error {
	warnings, err := r.readSource(ctx, s.resource, &known.source)
	if err != nil {
		return err
	}
	s.facts.Source = decision.Source{
		Problem: known.source.problem,
		Detail:  known.source.detail,
		Login:   known.source.credential.IsLogin(),
	}
	if known.source.problem != "" {
		return nil
	}
	s.candidate = &candidate{
		origin{known.source.credential, s.resource.Spec.Credentials[0].Name, s.resource.Spec.Environment}, s.endpoint,
	}
	s.facts.Source.Status = &v1alpha1.SourceStatus{
		UID: known.source.ref.UID, ResourceVersion: known.source.ref.ResourceVersion,
	}
	s.facts.Source.OnRecord = s.isOnRecord(known)
	_, s.facts.Source.Proven = known.proven.form(s.candidate)
	if !s.facts.Source.OnRecord {
		s.warnings = warnings
	}
	return nil
}

// isOnRecord reports whether the status is about this candidate. After a restart only an unchanged source and spec
// tell.
func (s *sight) isOnRecord(known *memory) bool {
	if known.recorded != nil {
		return known.recorded.equal(s.candidate)
	}
	status := s.resource.Status
	return len(status.Credentials) > 0 && status.Credentials[0].Source != nil &&
		*status.Credentials[0].Source == known.source.ref && status.ObservedGeneration == s.resource.Generation
}

// lookAtTarget sees whether the target is as it was left, and recalls the token in it where that is needed.
func (r *Reconciler) lookAtTarget(ctx context.Context, s *sight, known *memory) error {
	target, err := r.seen(ctx, "Secret", s.resource.Namespace, s.resource.Spec.Target.Name)
	if err != nil {
		return err
	}
	s.target = target
	s.facts.TargetDrifted = s.resource.Status.Deployed != nil &&
		(isUnwritten(s.resource) || !isAsLeft(s.resource.Status.Target, target, s.resource.Spec.Target.Name))
	if err := r.recallDeployed(ctx, s, known); err != nil {
		return err
	}
	form, isCandidate := known.deployed.form(s.candidate)
	if isCandidate {
		known.deployed.origin = s.candidate.origin
	}
	s.facts.Deployed = decision.Deployed{Known: known.deployed != nil, IsCandidate: isCandidate}
	if isCandidate && s.facts.Source.Login {
		s.facts.Deployed.Form = apiForm(form)
	}
	return nil
}

// recallDeployed reads the deployed token back from the target after a restart, when the source no longer makes it.
// What somebody else put there is never taken for it.
func (r *Reconciler) recallDeployed(ctx context.Context, s *sight, known *memory) error {
	deployed := s.resource.Status.Deployed
	isNeeded := deployed != nil && (deployed.LastCheckTime != nil || !s.facts.Source.OnRecord)
	left := s.resource.Status.Target
	if known.deployed != nil || !isNeeded || left == nil {
		return nil
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
	if secret.UID != left.UID || secret.ResourceVersion != left.ResourceVersion {
		return nil
	}
	if token, ok := credential.ParseToken(secret.Data[v1alpha1.TargetKeyToken]); ok {
		known.deployed = &proof{origin{entry: deployed.Credential}, token, endpoint}
	}
	return nil
}

// endpointOfDeployed gives back the TLS settings of an endpoint that a status names, as far as they are still known.
// The other environment's is never one, whatever a status says.
func endpointOfDeployed(url string, s *sight) (checker.Endpoint, bool) {
	if s.endpoint.URL == url {
		return s.endpoint, true
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
	if known.requests.AllowN(now, 1) {
		s.facts.CheckRequested = true
		return
	}
	s.retryRequestAt = refilledAt(known.requests, now)
}

// refilledAt is when a limiter has its next token.
func refilledAt(limiter *rate.Limiter, now time.Time) time.Time {
	missing := 1 - limiter.TokensAt(now)
	return now.Add(time.Duration(missing / float64(limiter.Limit()) * float64(time.Second)))
}

// seen returns the metadata of an object of the core API as the cache shows it, or nil.
func (r *Reconciler) seen(
	ctx context.Context, kind, namespace, name string,
) (*metav1.PartialObjectMetadata, error) {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: kind})
	err := r.metadata.Get(ctx, keyOf(namespace, name), object)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // not there is an answer
	}
	return object, err
}
