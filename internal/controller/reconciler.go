// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller is the only place with Kubernetes I/O: it reads sources, writes targets and status, and leaves
// every judgement to the packages decision and render.
package controller

import (
	"context"
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
	client client.Client // reads JupicoCredentials from the cache, and writes Secrets
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
}

// Reconcile brings one resource's target and status up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	resource := &v1alpha1.JupicoCredential{}
	// It is the cache's own, and only to be read.
	if err := r.client.Get(ctx, request.NamespacedName, resource, client.UnsafeDisableDeepCopy); err != nil {
		r.memories.forget(request.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !resource.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // what becomes of the target is the garbage collector's to do
	}
	known := r.memories.get(resource)
	if isBehind(resource, known) {
		return ctrl.Result{RequeueAfter: cacheLag}, nil
	}
	if wakeUp, ok, err := r.resume(ctx, resource, known); ok || err != nil {
		return r.until(wakeUp, inTurn), err
	}

	findings, err := r.evaluate(ctx, resource, known)
	if findings == nil {
		return ctrl.Result{}, err
	}
	written, writeErr := r.writeStatus(ctx, resource, known, findings)
	if !written {
		return ctrl.Result{RequeueAfter: cacheLag}, writeErr
	}
	known.record(findings.sight)
	r.announce(ctx, resource, findings)
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.until(findings.wakeUp, findings.priority), nil
}

// findings are what an evaluation came to.
type findings struct {
	status v1alpha1.JupicoCredentialStatus
	wakeUp time.Time // zero: not before something happens
	sight  *sight    // that the status is about
	// priority in the work queue, at the wake-up.
	priority int
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
	priority := inTurn
	if verdict.IsExpected() {
		priority = expected
	}
	if retryAt := verdict.BriefWait(); !retryAt.IsZero() {
		return &findings{status: resource.Status, wakeUp: retryAt, sight: sight, priority: priority}, nil
	}
	target, err := r.deliver(ctx, sight, known, verdict)
	if isGone(err) {
		return nil, nil //nolint:nilnil // the namespace is being deleted, and nothing is left to say
	}
	status, wakeUp := decision.Conclude(verdict, target)
	wakeUp = decision.Earliest(wakeUp, sight.retryRequestAt)
	return &findings{status: status, wakeUp: wakeUp, sight: sight, priority: priority}, err
}

// cacheLag is how long to wait for the cache to show our own last write.
const cacheLag = 50 * time.Millisecond

// The priorities in the work queue. What a restart finds unchanged has a lower one, that of the initial list, which
// ends with the first look: the queue would keep it.
const (
	inTurn = 0
	// expected is whom the checker told when to come: its slot, which it has waited for, is given away when it is late.
	expected = 1
)

func (r *Reconciler) until(wakeUp time.Time, priority int) ctrl.Result {
	if wakeUp.IsZero() {
		return ctrl.Result{}
	}
	after := max(wakeUp.Sub(r.clock.Now()), time.Millisecond)
	return ctrl.Result{RequeueAfter: after, Priority: &priority}
}

func keyOf(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}
