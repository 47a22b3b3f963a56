// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller is the only place with Kubernetes I/O: it reads sources, writes targets and status, and leaves
// every judgement to the packages decision and render.
package controller

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/decision"
)

// +kubebuilder:rbac:groups=credentials.jupico.dev,resources=jupicocredentials,verbs=list;watch
// +kubebuilder:rbac:groups=credentials.jupico.dev,resources=jupicocredentials/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler keeps JupicoCredentials proven and delivered.
type Reconciler struct {
	cache  client.Reader // has JupicoCredentials
	client client.Writer // writes Secrets
	// resources patches JupicoCredentials, and is answered with their metadata alone.
	resources  metadata.Getter
	secrets    *mentions
	configMaps *mentions
	live       client.Reader // reads Secrets and ConfigMaps from the API server
	events     events.EventRecorder
	checker    *checker.Checker
	clock      clock.PassiveClock
	metrics    *metrics
	memories   memories
	patches    atomic.Int64 // of statuses
}

// Reconcile brings one resource's target and status up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	resource := &v1alpha1.JupicoCredential{}
	// It is the cache's own, and only to be read.
	if err := r.cache.Get(ctx, request.NamespacedName, resource, client.UnsafeDisableDeepCopy); err != nil {
		r.memories.forget(request.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !resource.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // what becomes of the target is the garbage collector's to do
	}
	known := r.memories.get(resource)
	if isBehind(resource, known, r.clock.Now()) {
		return again(resource, cacheLag), nil
	}
	if wakeUp, ok, err := r.resume(ctx, resource, known); ok || err != nil {
		return r.until(resource, wakeUp, false), err
	}

	held := known.deployed
	findings, err := r.evaluate(ctx, resource, known)
	if findings == nil {
		return ctrl.Result{}, err
	}
	written, writeErr := r.writeStatus(ctx, resource, known, findings)
	if !written {
		known.disown(held, findings.status.Target, resource.Status.Target, writeErr)
		return again(resource, cacheLag), writeErr
	}
	known.record(findings.sight)
	r.announce(ctx, resource, findings)
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.until(resource, findings.wakeUp, findings.isExpected), nil
}

// findings are what an evaluation came to.
type findings struct {
	status v1alpha1.JupicoCredentialStatus
	wakeUp time.Time // zero: not before something happens
	sight  *sight    // that the status is about
	// isExpected: at the wake-up, a check is to be made that was announced or waits for its slot.
	isExpected bool
}

// evaluate proves, decides and delivers. An error means trouble with Kubernetes, and everything else is an outcome;
// both may come together.
func (r *Reconciler) evaluate(
	ctx context.Context, resource *v1alpha1.JupicoCredential, known *memory,
) (*findings, error) {
	sight, err := r.look(ctx, resource, known)
	if err != nil {
		return nil, err
	}
	plan := decision.NewPlan(sight.facts)
	outcomes, err := r.check(ctx, sight, known, plan)
	if err != nil {
		return nil, err
	}
	sight.facts.Now = r.clock.Now()
	verdict := decision.Decide(sight.facts, plan, outcomes)
	isExpected := verdict.IsExpected()
	if retryAt := verdict.BriefWait(); !retryAt.IsZero() {
		return &findings{status: resource.Status, wakeUp: retryAt, sight: sight, isExpected: isExpected}, nil
	}
	target, err := r.deliver(ctx, sight, known, verdict)
	if isGone(err) {
		return nil, nil //nolint:nilnil // the namespace is being deleted, and nothing is left to say
	}
	status, wakeUp := decision.Conclude(verdict, target)
	wakeUp = decision.Earliest(wakeUp, sight.retryRequestAt)
	return &findings{status: status, wakeUp: wakeUp, sight: sight, isExpected: isExpected}, err
}

// cacheLag is how long to wait for the cache to show our own last write.
const cacheLag = 50 * time.Millisecond

// Priorities in the work queue. The initial list's low one, which the queue would otherwise keep, ends with the first
// look.
const (
	routine    = 0
	expected   = 1  // the checker told it when to come: its slot, which it has waited for, is given away when it is late
	firstProof = 10 // somebody waits for it
)

func again(resource *v1alpha1.JupicoCredential, after time.Duration) ctrl.Result {
	priority := routine
	if isNew(resource) {
		priority = firstProof
	}
	return ctrl.Result{RequeueAfter: after, Priority: &priority}
}

// isNew reports whether nothing was ever delivered.
func isNew(resource *v1alpha1.JupicoCredential) bool { return resource.Status.Deployed == nil }

func (r *Reconciler) until(resource *v1alpha1.JupicoCredential, wakeUp time.Time, isExpected bool) ctrl.Result {
	if wakeUp.IsZero() {
		return ctrl.Result{}
	}
	result := again(resource, max(wakeUp.Sub(r.clock.Now()), time.Millisecond))
	if isExpected {
		*result.Priority += expected
	}
	return result
}

func keyOf(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}
