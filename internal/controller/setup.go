// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

// Indexes of JupicoCredentials by what they mention.
const (
	indexSecrets    = "mentioned-secrets"
	indexConfigMaps = "mentioned-configmaps"
)

// The waits after trouble with Kubernetes. The longest is short, since a failed write must not delay a check.
const (
	shortestBackoff = 100 * time.Millisecond
	longestBackoff  = time.Minute
)

// Options of the controller.
type Options struct {
	// MaxConcurrentReconciles is the number of workers.
	MaxConcurrentReconciles int
	Checker                 *checker.Checker
	Clock                   clock.PassiveClock
	// Metrics is where the controller registers its own.
	Metrics prometheus.Registerer
}

// CacheOptions keep of Secrets and ConfigMaps only what tells a change, never a value. No namespaces means all.
func CacheOptions(namespaces []string) cache.Options {
	options := cache.Options{
		ReaderFailOnMissingInformer: true, // a read must not start an informer with values
		DefaultTransform:            cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}:    {Transform: strip},
			&corev1.ConfigMap{}: {Transform: strip},
		},
	}
	for _, namespace := range namespaces {
		if options.DefaultNamespaces == nil {
			options.DefaultNamespaces = map[string]cache.Config{}
		}
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options
}

// ClientOptions name the field manager, and keep values out of the cache once more.
func ClientOptions() client.Options {
	return client.Options{
		FieldOwner: render.ManagerName,
		Cache:      &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}},
	}
}

// strip leaves of an object what identifies its content and its owner.
func strip(in any) (any, error) {
	object, isMetadata := in.(*metav1.PartialObjectMetadata)
	if !isMetadata {
		return nil, fmt.Errorf("expected metadata, got %T", in)
	}
	stripped := metav1.ObjectMeta{
		Namespace: object.Namespace, Name: object.Name, UID: object.UID, ResourceVersion: object.ResourceVersion,
	}
	if owner, exists := object.Annotations[v1alpha1.AnnotationManagedBy]; exists {
		stripped.Annotations = map[string]string{v1alpha1.AnnotationManagedBy: owner}
	}
	object.ObjectMeta = stripped
	return object, nil
}

// SetUp registers the controller with a manager that was made with CacheOptions and ClientOptions.
// The manager's liveness then depends on the work queue.
func SetUp(ctx context.Context, manager ctrl.Manager, options Options) error {
	list := listFrom(manager.GetClient())
	r := &Reconciler{
		client:   manager.GetClient(),
		metadata: manager.GetCache(),
		live:     manager.GetAPIReader(),
		events:   manager.GetEventRecorder(render.ManagerName),
		checker:  options.Checker,
		clock:    options.Clock,
		metrics:  newMetrics(list, options.Clock),
		memories: memories{of: map[client.ObjectKey]*memory{}},
	}
	if err := options.Metrics.Register(r.metrics); err != nil {
		return err
	}
	heart := &heartbeat{list: list, clock: options.Clock, elected: manager.Elected()}
	if err := manager.AddHealthzCheck("workqueue", heart.check); err != nil {
		return err
	}
	indexer := manager.GetFieldIndexer()
	if err := indexer.IndexField(ctx, &v1alpha1.JupicoCredential{}, indexSecrets, mentionedSecrets); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &v1alpha1.JupicoCredential{}, indexConfigMaps, mentionedConfigMaps); err != nil {
		return err
	}
	edited := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
	return ctrl.NewControllerManagedBy(manager).
		For(&v1alpha1.JupicoCredential{}, builder.WithPredicates(edited)).
		WatchesMetadata(&corev1.Secret{}, r.whenChanged(indexSecrets)).
		WatchesMetadata(&corev1.ConfigMap{}, r.whenChanged(indexConfigMaps)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: options.MaxConcurrentReconciles,
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
				shortestBackoff, longestBackoff),
		}).
		Complete(heart.of(r))
}

func mentionedSecrets(object client.Object) []string {
	resource, ok := object.(*v1alpha1.JupicoCredential)
	if !ok {
		return nil
	}
	names := []string{resource.Spec.Target.Name}
	for i := range resource.Spec.Credentials {
		names = append(names, resource.Spec.Credentials[i].SecretName())
	}
	return names
}

func mentionedConfigMaps(object client.Object) []string {
	resource, ok := object.(*v1alpha1.JupicoCredential)
	if !ok || resource.Spec.Endpoint == nil || resource.Spec.Endpoint.CAConfigMapRef == nil {
		return nil
	}
	return []string{resource.Spec.Endpoint.CAConfigMapRef.Name}
}

// whenChanged wakes the resources that mention an object, unless their status is about the object as it now is: the
// initial list after a restart, and the echo of our own writes, change nothing.
func (r *Reconciler) whenChanged(index string) handler.EventHandler {
	wake := func(ctx context.Context, object client.Object, isKnown func(*v1alpha1.JupicoCredential) bool,
		queue workqueue.TypedRateLimitingInterface[reconcile.Request],
	) {
		var resources v1alpha1.JupicoCredentialList
		err := r.client.List(ctx, &resources, client.InNamespace(object.GetNamespace()),
			client.MatchingFields{index: object.GetName()}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return // only when the cache is stopping
		}
		for i := range resources.Items {
			if !isKnown(&resources.Items[i]) {
				queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&resources.Items[i])})
			}
		}
	}
	asInStatus := func(object client.Object) func(*v1alpha1.JupicoCredential) bool {
		return func(resource *v1alpha1.JupicoCredential) bool { return isInStatus(resource, object) }
	}
	never := func(*v1alpha1.JupicoCredential) bool { return false }
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { wake(ctx, e.Object, asInStatus(e.Object), q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			wake(ctx, e.ObjectNew, asInStatus(e.ObjectNew), q)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { wake(ctx, e.Object, never, q) },
	}
}

func isInStatus(resource *v1alpha1.JupicoCredential, object client.Object) bool {
	ref := refOf(object)
	if target := resource.Status.Target; target != nil && target.UID == ref.UID {
		return target.ResourceVersion == ref.ResourceVersion
	}
	for i := range resource.Status.Credentials {
		if source := resource.Status.Credentials[i].Source; source != nil && *source == ref {
			return true
		}
	}
	return false
}
