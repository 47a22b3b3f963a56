// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/objectwatch"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

// observe gathers what a round decides on, and the calls that it may make. It reads only what has changed. An error
// means that the target could not be observed.
func (r *Reconciler) observe(
	ctx context.Context, resource *v1alpha1.JupicoCredential, state *decision.State,
) (decision.Observation, decision.Calls, error) {
	o := decision.Observation{
		Resource: resource, Now: r.clock.Now(), FormerTargets: r.formerTargets(resource),
		Endpoint: endpoint.Endpoint{URL: baseURL(resource)},
	}
	targetErr := r.observeTarget(ctx, &o)
	templates, err := render.Compile(resource)
	if err != nil {
		o.TemplateProblem = err.Error()
	}
	calls := r.calls(resource, templates)
	if resource.Spec.Suspend {
		return o, calls, targetErr
	}
	sources, ca := state.Observed(resource)
	for i := range resource.Spec.Credentials {
		o.Sources[i] = r.readSource(ctx, resource, i, sources[i])
	}
	if spec := resource.Spec.Endpoint; spec != nil && spec.CAConfigMapRef != nil {
		o.CA = r.readCA(ctx, resource, ca)
		o.Endpoint.CA = o.CA.PEM
	} else if spec != nil {
		o.Endpoint.CA = string(spec.CABundle)
	}
	return o, calls, targetErr
}

// formerTargets lists the Secrets that are marked as the resource's, and that its spec does not name.
func (r *Reconciler) formerTargets(resource *v1alpha1.JupicoCredential) []string {
	inSpec := sets.New(resource.Spec.Target.Name)
	for i := range resource.Spec.Credentials {
		inSpec.Insert(resource.Spec.Credentials[i].SecretName())
	}
	var former []string
	for _, name := range r.secrets.ManagedBy(resource.Namespace, resource.Name) {
		marked := r.secrets.Cached(keyOf(resource.Namespace, name))
		if !inSpec.Has(name) && marked != nil && !render.ParseMark(marked.Mark).IsCopy(name) {
			former = append(former, name)
		}
	}
	return former
}

// observeTarget costs a request only for a target that nobody referred to before.
func (r *Reconciler) observeTarget(ctx context.Context, o *decision.Observation) error {
	name := o.Resource.Spec.Target.Name
	target, err := r.secrets.Get(ctx, keyOf(o.Resource.Namespace, name))
	switch {
	case err != nil:
		o.TargetProblem = fmt.Sprintf("Secret %q could not be read (%s). The operator tries again.", name, readProblem(err))
	case target != nil:
		o.Target = &decision.ObservedTarget{
			Version: target.Version(), ManagedBy: target.ManagedBy, Mark: render.ParseMark(target.Mark),
		}
	}
	return err
}

// baseURL returns where the spec wants credentials to be checked, in the canonical spelling if the URL has one.
func baseURL(resource *v1alpha1.JupicoCredential) string {
	spec := resource.Spec.Endpoint
	if spec == nil {
		return decision.EnvironmentURL(resource.Spec.Environment)
	}
	canonical, _ := endpoint.Canonical(spec.URL)
	return cmp.Or(canonical, spec.URL)
}

// calls returns the calls that a round may make for a resource.
func (r *Reconciler) calls(resource *v1alpha1.JupicoCredential, templates *render.Templates) decision.Calls {
	return decision.Calls{
		Now:   r.clock.Now,
		Check: r.check,
		ReadToken: func(ctx context.Context, target string) (credential.Token, v1alpha1.SourceStatus, error) {
			secret := &corev1.Secret{}
			if err := r.live.Get(ctx, keyOf(resource.Namespace, target), secret); err != nil {
				return credential.Token{}, v1alpha1.SourceStatus{}, client.IgnoreNotFound(err)
			}
			token, _ := credential.ParseToken(secret.Data[v1alpha1.TargetKeyToken])
			return token, versionOf(secret), nil
		},
		Deliver: func(ctx context.Context, delivery decision.Delivery) (decision.Target, error) {
			return r.deliver(ctx, resource, templates, delivery)
		},
	}
}

// check answers with a check of its own, or with one for another resource that serves as well. It may be deferred.
func (r *Reconciler) check(ctx context.Context, request check.Request) check.Answer {
	answer := r.checker.Check(ctx, request)
	log := log.FromContext(ctx).V(1).WithValues("endpoint", request.Endpoint.URL)
	if answer.RetryAt.IsZero() {
		log.Info("Checked token", "outcome", answer.Outcome, "detail", answer.Detail, "duration", answer.Duration,
			"shared", answer.Shared)
	} else {
		log.Info("Deferred check", "until", answer.RetryAt)
	}
	return answer
}

// isNews reports whether a change of an object has to wake a resource. The initial list after a restart shows what the
// status is about, and so does the echo of our own writes. That changes nothing.
func isNews(resource *v1alpha1.JupicoCredential, name string, now *objectwatch.Object) bool {
	if now == nil {
		return true
	}
	if now.OwnWrite && now.ManagedBy == resource.Name && resource.Spec.Target.Name == name {
		return false
	}
	if target := resource.Status.Target; target != nil && target.UID == now.UID {
		return target.ResourceVersion != now.ResourceVersion || target.Name != resource.Spec.Target.Name
	}
	return !isKnownSource(resource, now)
}

// isKnownSource reports whether each entry that was read from the source was read from this version of it.
func isKnownSource(resource *v1alpha1.JupicoCredential, now *objectwatch.Object) bool {
	isKnown := false
	for i := range resource.Status.Credentials {
		source := resource.Status.Credentials[i].Source
		if source == nil || source.UID != now.UID {
			continue
		}
		if *source != now.Version() {
			return false
		}
		isKnown = true
	}
	return isKnown
}
