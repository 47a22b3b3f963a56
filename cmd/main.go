// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager is the operator: it keeps JupicoCredentials proven and delivered.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	goruntime "runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	_ "golang.org/x/crypto/x509roots/fallback" // the image holds the program alone, and no certificates of a system
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/controller"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/options"
	"github.com/jupico-operator/jupico-operator/internal/version"
)

func main() {
	var opts options.Options
	opts.BindFlags(flag.CommandLine)
	var logging zap.Options
	logging.BindFlags(flag.CommandLine)
	asked := version.Flag(flag.CommandLine)
	flag.Parse()
	asksVersion, err := asked()
	if asksVersion {
		fmt.Println(version.Text("jupico-operator"))
		return
	}
	ctrl.SetLogger(options.NewLogger(&logging))

	if err := errors.Join(err, opts.Validate()); err != nil {
		fmt.Fprintf(os.Stderr, "The command line cannot be used:\n%v\nSee --help.\n", err)
		os.Exit(2)
	}
	if err := run(ctrl.SetupSignalHandler(), &opts); err != nil {
		ctrl.Log.WithName("setup").Error(err, "Stopped")
		os.Exit(1)
	}
}

// run wires the parts together and works until the context ends.
func run(ctx context.Context, opts *options.Options) error {
	proxy, err := jupico.ProxyFromEnvironment()
	if err != nil {
		return err
	}
	kubernetes, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("found no cluster to work in; outside of a pod, give --kubeconfig: %w", err)
	}
	kubernetes.QPS, kubernetes.Burst = float32(opts.KubeAPIQPS), opts.KubeAPIBurst
	if err := waitForAPI(ctx, kubernetes); err != nil || ctx.Err() != nil {
		return err
	}
	manager, err := newManager(kubernetes, opts)
	if err != nil {
		return err
	}
	allowed, err := opts.AllowList()
	if err != nil {
		return err
	}
	roots, err := opts.Roots()
	if err != nil {
		return err
	}
	config := jupico.Config{
		Timeout: opts.CheckTimeout, UserAgent: "jupico-operator/" + version.Version(), Proxy: proxy, Roots: roots,
	}
	checks := checker.New(allowed, config, checker.Options{
		QPS:     opts.CheckQPS,
		Burst:   opts.CheckBurst,
		Workers: opts.MaxConcurrentReconciles,
		Clock:   clock.RealClock{},
	})
	metrics.Registry.MustRegister(checks, buildInfo())
	if err := controller.SetUp(ctx, manager, controller.Options{
		MaxConcurrentReconciles: opts.MaxConcurrentReconciles,
		Namespaces:              opts.Namespaces,
		ProbeAddress:            opts.HealthProbeBindAddress,
		Checker:                 checks,
		Clock:                   clock.RealClock{},
		Metrics:                 metrics.Registry,
	}); err != nil {
		return fmt.Errorf("could not set up the controller: %w", err)
	}
	ctrl.Log.WithName("setup").Info("Started operator", "version", version.Version())
	return manager.Start(ctx)
}

// buildInfo is a metric that is always 1, and says in its labels what runs.
func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "jupico_build_info",
		Help:        "The version of the operator, and of Go, that it was built from.",
		ConstLabels: prometheus.Labels{"version": version.Version(), "goversion": goruntime.Version()},
	}, func() float64 { return 1 })
}

// The waits for the API server at the start.
const (
	patience      = 30 * time.Second
	answerTimeout = 5 * time.Second
	retryInterval = 2 * time.Second
)

// waitForAPI returns when the API server knows the kind JupicoCredential, or says why it does not.
func waitForAPI(ctx context.Context, kubernetes *rest.Config) error {
	client, err := discovery.NewDiscoveryClientForConfig(kubernetes)
	if err != nil {
		return err
	}
	var problem error
	err = wait.PollUntilContextTimeout(ctx, retryInterval, patience, true, func(ctx context.Context) (bool, error) {
		attempt, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		path := "/apis/" + v1alpha1.GroupVersion.String()
		err := client.RESTClient().Get().AbsPath(path).Do(attempt).Error()
		if ctx.Err() != nil {
			return false, nil // and the problem stays that of the last attempt
		}
		problem = err
		if err == nil || apierrors.IsNotFound(err) {
			return true, nil
		}
		ctrl.Log.WithName("setup").Info("Could not ask the API server, tries again", "url", kubernetes.Host,
			"problem", err.Error())
		return false, nil
	})
	switch {
	case apierrors.IsNotFound(problem):
		return fmt.Errorf("the API server at %s does not know JupicoCredentials: install their CRD with 'make install', "+
			"or with crds.yaml of the release", kubernetes.Host)
	case err != nil && ctx.Err() == nil:
		return fmt.Errorf("the API server at %s could not be asked for %s: is it running, and is it the right one? %w",
			kubernetes.Host, patience, problem)
	}
	return nil
}

func newManager(kubernetes *rest.Config, opts *options.Options) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	// Of Kubernetes' own kinds, only those that the operator writes: each group costs memory.
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	serving := metricsserver.Options{
		BindAddress:   opts.MetricsBindAddress,
		SecureServing: opts.MetricsSecure,
		CertDir:       opts.MetricsCertDir,
	}
	serving.FilterProvider = controller.OpenMetricsFilter
	if opts.MetricsSecure {
		serving.FilterProvider = controller.MetricsFilter
	}
	manager, err := ctrl.NewManager(kubernetes, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controller.CacheOptions(),
		Client:                        controller.ClientOptions(),
		Metrics:                       serving,
		HealthProbeBindAddress:        "0", // the controller serves them
		PprofBindAddress:              opts.ProfilingAddress(),
		LeaderElection:                opts.LeaderElect,
		LeaderElectionID:              "jupico-operator.credentials.jupico.dev",
		LeaderElectionReleaseOnCancel: true, // the process ends with the manager
		// A leader that dies is replaced after the lease's duration and at most two periods of its successor: one until it
		// saw the last renewal, one until it looks again. They are jittered, up to 2.2 times as long. That is 18.6 s at most.
		LeaseDuration: new(12 * time.Second),
		RenewDeadline: new(8 * time.Second),
		RetryPeriod:   new(1500 * time.Millisecond),
	})
	if err != nil {
		return nil, fmt.Errorf("could not set up the manager: %w", err)
	}
	return manager, nil
}
