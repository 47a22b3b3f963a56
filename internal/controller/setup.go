// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/render"
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
	// Namespaces to work in, as in CacheOptions.
	Namespaces []string
	Checker    *checker.Checker
	Clock      clock.PassiveClock
	// Metrics is where the controller registers its own.
	Metrics prometheus.Registerer
}

// CacheOptions keep a read from starting an informer, which would hold the values of Secrets. No namespaces means all.
func CacheOptions(config *rest.Config, namespaces []string) cache.Options {
	options := cache.Options{
		ReaderFailOnMissingInformer: true,
		DefaultTransform:            cache.TransformStripManagedFields(),
		ByObject:                    map[client.Object]cache.ByObject{&v1alpha1.JupicoCredential{}: {Transform: compact}},
	}
	switch len(namespaces) {
	case 0:
		options.NewInformer = newInformer(config, metav1.NamespaceAll)
	case 1:
		options.NewInformer = newInformer(config, namespaces[0])
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

// SetUp registers the controller with a manager that was made with CacheOptions and ClientOptions.
// The manager's liveness then depends on the work queue.
func SetUp(ctx context.Context, manager ctrl.Manager, options Options) error {
	config := rest.CopyConfig(manager.GetConfig())
	config.WarningHandlerWithContext = log.NewKubeAPIWarningLogger(log.KubeAPIWarningLoggerOptions{Deduplicate: true})
	objects, err := metadata.NewForConfigAndClient(config, manager.GetHTTPClient())
	if err != nil {
		return err
	}
	watch := func(index, resource string) *mentions {
		kind := objects.Resource(corev1.SchemeGroupVersion.WithResource(resource))
		return newMentions(manager.GetCache(), index, kind, options.Namespaces)
	}
	list := listFrom(manager.GetCache())
	r := &Reconciler{
		cache:      manager.GetCache(),
		client:     manager.GetClient(),
		resources:  objects.Resource(v1alpha1.GroupVersion.WithResource("jupicocredentials")),
		secrets:    watch(indexSecrets, "secrets"),
		configMaps: watch(indexConfigMaps, "configmaps"),
		live:       manager.GetAPIReader(),
		events:     manager.GetEventRecorder(render.ManagerName),
		checker:    options.Checker,
		clock:      options.Clock,
		metrics:    newMetrics(list, options.Clock),
		memories:   memories{of: map[client.ObjectKey]*memory{}},
	}
	if err := options.Metrics.Register(r.metrics); err != nil {
		return err
	}
	heart := &heartbeat{list: list, clock: options.Clock, elected: manager.Elected()}
	if err := manager.AddHealthzCheck("workqueue", heart.check); err != nil {
		return err
	}
	if err := addIndex(ctx, manager.GetCache(), indexSecrets, mentionedSecrets); err != nil {
		return err
	}
	if err := addIndex(ctx, manager.GetCache(), indexConfigMaps, mentionedConfigMaps); err != nil {
		return err
	}
	edited := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
	return ctrl.NewControllerManagedBy(manager).
		For(&v1alpha1.JupicoCredential{}, builder.WithPredicates(edited)).
		WatchesRawSource(r.secrets).
		WatchesRawSource(r.configMaps).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: options.MaxConcurrentReconciles,
			LogConstructor:          naming(manager.GetLogger()),
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
				shortestBackoff, longestBackoff),
		}).
		Complete(heart.of(r))
}

// naming has log lines name the resource that they are about. The library's own name it twice, once by way of
// reflection, which took a twentieth of the processor time of each check.
func naming(log logr.Logger) func(*reconcile.Request) logr.Logger {
	return func(request *reconcile.Request) logr.Logger {
		if request == nil {
			return log
		}
		return log.WithValues("namespace", request.Namespace, "name", request.Name)
	}
}
