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
	"time"

	"github.com/go-logr/logr"
	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	_ "golang.org/x/crypto/x509roots/fallback" // the image holds the program alone, and no certificates of a system
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/controller"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/options"
)

// version is stamped at build time.
var version = "dev"

func main() {
	var opts options.Options
	opts.BindFlags(flag.CommandLine)
	var logging zap.Options
	logging.BindFlags(flag.CommandLine)
	flag.Parse()
	ctrl.SetLogger(newLogger(&logging))

	if err := opts.Validate(); err != nil {
		fmt.Fprintf(os.Stderr, "Some flags cannot be used:\n%v\nSee --help.\n", err)
		os.Exit(2)
	}
	if err := run(ctrl.SetupSignalHandler(), &opts); err != nil {
		ctrl.Log.WithName("setup").Error(err, "Stopped")
		os.Exit(1)
	}
}

// mostVerbose is the most verbose level that --zap-log-level can set. One level further, client-go logs the bodies of
// requests and responses, which hold the values of Secrets.
const mostVerbose = zapcore.Level(-7)

// newLogger returns a logger that writes every line. The library drops lines with the same message when there are more
// than 100 a second, but not at a verbose level. So it gets the most verbose one, and a filter keeps to what flags say.
func newLogger(options *zap.Options) logr.Logger {
	level := zapcore.InfoLevel
	switch {
	case options.Level != nil:
		level = max(zapcore.LevelOf(options.Level), mostVerbose)
	case options.Development:
		level = zapcore.DebugLevel
	}
	return zap.New(zap.UseFlagOptions(options), zap.Level(mostVerbose), zap.RawZapOpts(uberzap.IncreaseLevel(level)))
}

// run wires the parts together and works until the context ends.
func run(ctx context.Context, opts *options.Options) error {
	proxy, err := jupico.ProxyFromEnvironment()
	if err != nil {
		return err
	}
	manager, err := newManager(opts)
	if err != nil {
		return err
	}
	allowed, err := opts.AllowList()
	if err != nil {
		return err
	}
	config := jupico.Config{Timeout: opts.CheckTimeout, UserAgent: "jupico-operator/" + version, Proxy: proxy}
	checks := checker.New(allowed, config, checker.Options{
		QPS:     opts.CheckQPS,
		Burst:   opts.CheckBurst,
		Workers: opts.MaxConcurrentReconciles,
		Clock:   clock.RealClock{},
	})
	metrics.Registry.MustRegister(checks)
	if err := controller.SetUp(ctx, manager, controller.Options{
		MaxConcurrentReconciles: opts.MaxConcurrentReconciles,
		Namespaces:              opts.Namespaces,
		Checker:                 checks,
		Clock:                   clock.RealClock{},
		Metrics:                 metrics.Registry,
	}); err != nil {
		return fmt.Errorf("could not set up the controller: %w", err)
	}
	ctrl.Log.WithName("setup").Info("Started operator", "version", version)
	return manager.Start(ctx)
}

func newManager(opts *options.Options) (ctrl.Manager, error) {
	kubernetes, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("found no cluster to work in; outside of a pod, give --kubeconfig: %w", err)
	}
	kubernetes.QPS, kubernetes.Burst = float32(opts.KubeAPIQPS), opts.KubeAPIBurst

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
	if opts.MetricsSecure {
		serving.FilterProvider = controller.MetricsFilter
	}
	manager, err := ctrl.NewManager(kubernetes, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controller.CacheOptions(opts.Namespaces),
		Client:                        controller.ClientOptions(),
		Metrics:                       serving,
		HealthProbeBindAddress:        opts.HealthProbeBindAddress,
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
	return manager, manager.AddReadyzCheck("readyz", healthz.Ping)
}
