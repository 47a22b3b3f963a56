// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/objectwatch"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

const (
	// The waits after an error of the API server. They are short, since a failed write must not delay a check.
	shortestErrorBackoff = 100 * time.Millisecond
	longestErrorBackoff  = time.Minute

	// scrapeTimeout is how long a scrape of the metrics may take in all. Prometheus waits as long by default.
	scrapeTimeout = 10 * time.Second
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
func CacheOptions(namespaces []string) cache.Options {
	options := cache.Options{
		ReaderFailOnMissingInformer: true,
		DefaultTransform:            cache.TransformStripManagedFields(),
		DefaultNamespaces:           map[string]cache.Config{},
	}
	for _, namespace := range namespaces {
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

// MetricsFilter lets a client read the metrics if the cluster allows it to get /metrics. The library does not limit how
// long it waits for the API server's answer, so a scrape that takes longer than scrapeTimeout ends with an error.
func MetricsFilter(config *rest.Config, client *http.Client) (metricsserver.Filter, error) {
	filter, err := filters.WithAuthenticationAndAuthorization(config, client)
	if err != nil {
		return nil, err
	}
	return func(log logr.Logger, metrics http.Handler) (http.Handler, error) {
		handler, err := filter(log, metrics)
		if err != nil {
			return nil, err
		}
		return http.TimeoutHandler(handler, scrapeTimeout, "The scrape took too long."), nil
	}, nil
}

// SetUp registers the controller with a manager that was made with CacheOptions and ClientOptions.
// The manager's liveness then depends on the work queue.
func SetUp(ctx context.Context, mgr ctrl.Manager, options Options) error {
	if err := objectwatch.RegisterIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	r, err := newReconciler(mgr, options)
	if err != nil {
		return err
	}
	if err := options.Metrics.Register(r.metrics); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("workqueue", r.checkHealth); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.JupicoCredential{}, builder.WithPredicates(isEdited())).
		WatchesRawSource(r.secrets).
		WatchesRawSource(r.configMaps).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: options.MaxConcurrentReconciles,
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
				shortestErrorBackoff, longestErrorBackoff),
		}).
		Complete(r)
}

func newReconciler(mgr ctrl.Manager, options Options) (*Reconciler, error) {
	objects, err := metadata.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	watch := func(index, resource string) *objectwatch.Watch {
		kind := objects.Resource(corev1.SchemeGroupVersion.WithResource(resource))
		return objectwatch.New(mgr.GetCache(), index, kind, options.Namespaces, isNews)
	}
	restored := make(chan struct{})
	r := &Reconciler{
		cache:      mgr.GetCache(),
		live:       mgr.GetAPIReader(),
		client:     mgr.GetClient(),
		secrets:    watch(objectwatch.IndexSecrets, "secrets"),
		configMaps: watch(objectwatch.IndexConfigMaps, "configmaps"),
		events:     mgr.GetEventRecorder(render.ManagerName),
		checker:    options.Checker,
		clock:      options.Clock,
		metrics:    newMetrics(mgr.GetCache(), options.Clock),
		elected:    mgr.Elected(),
		stop:       sync.OnceFunc(func() { close(restored) }),
	}
	return r, mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		select {
		case <-restored:
			return errRestored
		case <-ctx.Done():
			return nil
		}
	}))
}

// isEdited selects what a user changed, and a resource that was deleted and made again while the watch was interrupted.
func isEdited() predicate.Predicate {
	isReplaced := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetUID() != e.ObjectNew.GetUID()
	}}
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, isReplaced)
}
