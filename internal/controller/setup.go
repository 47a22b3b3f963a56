// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"sync"
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
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

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
	// MaxConcurrentReconciles is the number of workers of each namespace, or of all of them together when none is chosen.
	MaxConcurrentReconciles int
	// Namespaces to work in. None means all.
	Namespaces []string
	// ProbeAddress is where probes are served. "0" means nowhere.
	ProbeAddress string
	Checker      *checker.Checker
	Clock        clock.PassiveClock
	// Metrics is where the controller registers its own.
	Metrics prometheus.Registerer
}

// CacheOptions keep the manager's cache empty: each namespace has its own, and a read never starts an informer, which
// would hold the values of Secrets.
func CacheOptions() cache.Options {
	return cache.Options{ReaderFailOnMissingInformer: true}
}

// cacheOptions are those of the cache of a namespace, or of all.
func cacheOptions(namespace string) cache.Options {
	options := CacheOptions()
	options.DefaultTransform = cache.TransformStripManagedFields()
	if namespace != metav1.NamespaceAll {
		options.DefaultNamespaces = map[string]cache.Config{namespace: {}}
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
		return limitScrape(handler), err
	}, nil
}

// OpenMetricsFilter lets everybody read the metrics, within scrapeTimeout.
func OpenMetricsFilter(*rest.Config, *http.Client) (metricsserver.Filter, error) {
	return func(_ logr.Logger, metrics http.Handler) (http.Handler, error) { return limitScrape(metrics), nil }, nil
}

func limitScrape(handler http.Handler) http.Handler {
	return http.TimeoutHandler(handler, scrapeTimeout, "The scrape took too long.")
}

// SetUp registers a controller for each namespace with a manager that was made with CacheOptions and ClientOptions.
// It also serves the probes.
func SetUp(ctx context.Context, mgr ctrl.Manager, options Options) error {
	names := slices.Compact(slices.Sorted(slices.Values(options.Namespaces)))
	if len(names) == 0 {
		names = []string{metav1.NamespaceAll}
	}
	var namespaces []*namespace
	for _, name := range names {
		n, err := newNamespace(ctx, mgr, name)
		if err != nil {
			return err
		}
		namespaces = append(namespaces, n)
	}
	metrics := newMetrics(options.Clock, namespaces...)
	if err := options.Metrics.Register(metrics); err != nil {
		return err
	}
	stop, err := stopper(mgr)
	if err != nil {
		return err
	}
	checks := map[string]healthz.Checker{}
	for _, n := range namespaces {
		r, err := newReconciler(mgr, options, n)
		if err != nil {
			return err
		}
		r.metrics, r.stop = metrics, stop
		checks[n.label("workqueue")] = r.checkHealth
		if err := addController(mgr, options, n, r); err != nil {
			return err
		}
	}
	return serveProbes(ctx, mgr, options.ProbeAddress, checks, namespaces)
}

func newReconciler(mgr ctrl.Manager, options Options, n *namespace) (*Reconciler, error) {
	objects, err := metadata.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	watch := func(index, resource string) *objectwatch.Watch {
		kind := objects.Resource(corev1.SchemeGroupVersion.WithResource(resource))
		return objectwatch.New(n, index, kind, n.name, isNews, n.report(resource))
	}
	return &Reconciler{
		cache:      n.resources,
		live:       mgr.GetAPIReader(),
		client:     mgr.GetClient(),
		statuses:   objects.Resource(v1alpha1.GroupVersion.WithResource(resourcesKind)),
		secrets:    watch(objectwatch.IndexSecrets, "secrets"),
		configMaps: watch(objectwatch.IndexConfigMaps, "configmaps"),
		events:     mgr.GetEventRecorder(render.ManagerName),
		checker:    options.Checker,
		clock:      options.Clock,
		elected:    mgr.Elected(),
		isWorking:  n.isWorking,
	}, nil
}

// addController adds the controller of a namespace. It begins to work when all that it watches there is known.
func addController(mgr ctrl.Manager, options Options, n *namespace, r *Reconciler) error {
	c, err := controller.New(n.label("jupicocredential"), mgr, controller.Options{
		Reconciler:              r,
		MaxConcurrentReconciles: options.MaxConcurrentReconciles,
		CacheSyncTimeout:        math.MaxInt64, // a namespace may get its rights at any time
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
			shortestErrorBackoff, longestErrorBackoff),
	})
	if err != nil {
		return err
	}
	resource := client.Object(&v1alpha1.JupicoCredential{})
	resources := source.Kind(n, resource, &handler.EnqueueRequestForObject{}, isEdited())
	return errors.Join(c.Watch(resources), c.Watch(r.secrets), c.Watch(r.configMaps))
}

// stopper returns a function that ends the manager with errRestored.
func stopper(mgr ctrl.Manager) (func(), error) {
	restored := make(chan struct{})
	return sync.OnceFunc(func() { close(restored) }), mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
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
