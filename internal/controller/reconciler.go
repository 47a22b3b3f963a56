// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller is the only place with Kubernetes I/O. It observes resources and their Secrets, makes the calls
// that a round of package decision asks for, and writes targets, statuses and events.
package controller

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/objectwatch"
)

// +kubebuilder:rbac:groups=credentials.jupico.dev,resources=jupicocredentials,verbs=get;list;watch
// +kubebuilder:rbac:groups=credentials.jupico.dev,resources=jupicocredentials/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler keeps JupicoCredentials proven and delivered.
type Reconciler struct {
	cache      client.Reader   // of JupicoCredentials
	live       client.Reader   // asks the API server itself
	client     client.Client   // only for writes
	statuses   metadata.Getter // of JupicoCredentials
	secrets    *objectwatch.Watch
	configMaps *objectwatch.Watch
	events     events.EventRecorder
	checker    *checker.Checker
	clock      clock.PassiveClock
	metrics    *metrics
	// states maps the name of each resource to its *decision.State. The work queue lets one worker at a time use it.
	states sync.Map
	// stop ends the manager with errRestored.
	stop func()

	// elected is closed once this process is the leader.
	elected <-chan struct{}
	// isWorking reports whether the namespace could ever be watched, and its resources are watched now.
	isWorking func() bool
	// lastFinished is when the last reconcile ended.
	lastFinished atomic.Pointer[time.Time]
}

// errRestored is why the process ends after the cluster's state was restored from a backup.
var errRestored = errors.New("the API server returned an older version of a resource than before: its state was " +
	"restored, so the operator has to start anew")

// Reconcile brings one resource's target and status up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	defer func() { r.lastFinished.Store(new(r.clock.Now())) }()
	resource, state, err := r.read(ctx, request.NamespacedName)
	if resource == nil {
		return ctrl.Result{}, err
	}
	requeueAt, err := r.run(ctx, resource, state)
	if err != nil || requeueAt.IsZero() {
		return ctrl.Result{}, err
	}
	return requeueAfter(resource, max(requeueAt.Sub(r.clock.Now()), time.Millisecond)), nil
}

// run runs a round. It returns when to reconcile the resource again even if nothing happens. Zero means never.
func (r *Reconciler) run(
	ctx context.Context, resource *v1alpha1.JupicoCredential, state *decision.State,
) (time.Time, error) {
	observation, calls, targetErr := r.observe(ctx, resource, state)
	round, err := state.Run(ctx, observation, calls)
	if round == nil {
		return time.Time{}, err
	}
	r.metrics.count(resource, round.Answers)
	if round.IsSilent {
		return round.RequeueAt, nil
	}
	if round.HasConflict {
		return r.clock.Now().Add(state.Abandon(round, false)), nil
	}
	version, writeErr := r.writeStatus(ctx, resource, &round.Status)
	switch {
	case apierrors.IsConflict(writeErr), apierrors.IsNotFound(writeErr):
		// The next round begins with what somebody else wrote.
		return r.clock.Now().Add(state.Abandon(round, false)), nil
	case writeErr != nil:
		state.Abandon(round, true) // nobody knows whether the status was written
		return time.Time{}, writeErr
	}
	state.Commit(round, version)
	r.recordEvents(ctx, resource, round)
	return round.RequeueAt, errors.Join(targetErr, err)
}

// read returns a resource, which is only to be read, and what is known of it. It returns no resource when there is
// nothing to do. When the cache is behind, it asks the API server itself.
func (r *Reconciler) read(
	ctx context.Context, name types.NamespacedName,
) (*v1alpha1.JupicoCredential, *decision.State, error) {
	value, _ := r.states.LoadOrStore(name, &decision.State{})
	state, _ := value.(*decision.State)
	resource := &v1alpha1.JupicoCredential{}
	err := r.cache.Get(ctx, name, resource, client.UnsafeDisableDeepCopy)
	if err == nil && state.IsCacheBehind(resource) {
		cached := resource
		resource = &v1alpha1.JupicoCredential{}
		err = r.live.Get(ctx, name, resource)
		if err == nil && state.IsRestored(resource, cached) {
			r.stop()
			return nil, nil, nil
		}
	}
	if apierrors.IsNotFound(err) {
		r.states.Delete(name)
	}
	if err != nil || !resource.DeletionTimestamp.IsZero() { // the garbage collector deletes the target
		return nil, nil, client.IgnoreNotFound(err)
	}
	return resource, state, nil
}

// requeueAfter puts a resource for which nothing was ever delivered before the others, since somebody waits for it.
// Without a priority, the work queue would keep the low one of the initial list.
func requeueAfter(resource *v1alpha1.JupicoCredential, wait time.Duration) ctrl.Result {
	priority := 0
	if resource.Status.Deployed == nil {
		priority = 10
	}
	return ctrl.Result{RequeueAfter: wait, Priority: &priority}
}

func keyOf(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func versionOf(object metav1.Object) v1alpha1.SourceStatus {
	return v1alpha1.SourceStatus{UID: object.GetUID(), ResourceVersion: object.GetResourceVersion()}
}
