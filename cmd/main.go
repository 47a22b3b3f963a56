// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager is the operator: it keeps JupicoCredentials proven and delivered.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	goruntime "runtime"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
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

// A leader that dies is replaced after the lease's duration and at most two periods of its successor: one until it saw
// the last renewal, one until it looks again. They are jittered, up to 2.2 times as long. That is 18.6 s at most.
const (
	leaseDuration = 12 * time.Second
	renewDeadline = 8 * time.Second
	retryPeriod   = 1500 * time.Millisecond
)

func main() {
	slackenTimers()

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
	limit := options.MemoryLimit(os.DirFS("/sys/fs/cgroup"))
	if _, isSet := os.LookupEnv("GOMEMLIMIT"); limit > 0 && !isSet {
		debug.SetMemoryLimit(limit)
	}
	// The work is to wait for answers. Several processors would mostly wake each other in vain, and a check cost a sixth
	// more processor time.
	if _, isSet := os.LookupEnv("GOMAXPROCS"); !isSet {
		goruntime.GOMAXPROCS(1)
	}
	if err := run(ctrl.SetupSignalHandler(), &opts); err != nil {
		ctrl.Log.WithName("setup").Error(err, "Stopped")
		os.Exit(1)
	}
}

// newLogger leaves nothing out. By default, of more than 100 lines a second with the same message, such as those that
// tell of a Secret that was written, all but each hundredth would be.
func newLogger(options *zap.Options) logr.Logger {
	var whole zapcore.Core
	keep := uberzap.WrapCore(func(core zapcore.Core) zapcore.Core {
		whole = core
		return core
	})
	log := zap.NewRaw(zap.UseFlagOptions(options), zap.RawZapOpts(keep))
	lazily := uberzap.WrapCore(func(zapcore.Core) zapcore.Core { return lazyCore{whole} })
	return zapr.NewLogger(log.WithOptions(lazily))
}

// lazyCore encodes what a logger says in all of its lines when it has the first to write. That of an unchanged check
// writes none.
type lazyCore struct{ zapcore.Core }

// With implements zapcore.Core.
func (c lazyCore) With(fields []zapcore.Field) zapcore.Core {
	return lazyCore{zapcore.NewLazyWith(c.Core, fields)}
}

// run wires the parts together and works until the context ends.
func run(ctx context.Context, opts *options.Options) error {
	manager, err := newManager(opts)
	if err != nil {
		return err
	}
	allowed, err := opts.AllowList()
	if err != nil {
		return err
	}
	config := jupico.Config{Timeout: opts.CheckTimeout, UserAgent: "jupico-operator/" + version}
	checks := checker.New(allowed, config, checker.Options{
		QPS:     opts.CheckQPS,
		Burst:   opts.CheckBurst,
		Workers: opts.MaxConcurrentReconciles,
		Clock:   clock.RealClock{},
		Log:     ctrl.Log.WithName("checker"),
	})
	if err := metrics.Registry.Register(checks); err != nil {
		return fmt.Errorf("could not register the metrics of checks: %w", err)
	}
	err = controller.SetUp(ctx, manager, controller.Options{
		MaxConcurrentReconciles: opts.MaxConcurrentReconciles,
		Namespaces:              opts.Namespaces,
		Checker:                 checks,
		Clock:                   clock.RealClock{},
		Metrics:                 metrics.Registry,
	})
	if err != nil {
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
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	serving := metricsserver.Options{
		BindAddress:   opts.MetricsBindAddress,
		SecureServing: opts.MetricsSecure,
		CertDir:       opts.MetricsCertDir,
	}
	if opts.MetricsSecure {
		serving.FilterProvider = controller.GuardMetrics
	}
	manager, err := ctrl.NewManager(kubernetes, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controller.CacheOptions(kubernetes, opts.Namespaces),
		Client:                        controller.ClientOptions(),
		Metrics:                       serving,
		HealthProbeBindAddress:        opts.HealthProbeBindAddress,
		PprofBindAddress:              opts.ProfilingAddress(),
		LeaderElection:                opts.LeaderElect,
		LeaderElectionID:              "jupico-operator.credentials.jupico.dev",
		LeaderElectionReleaseOnCancel: true, // the process ends with the manager
		LeaseDuration:                 new(leaseDuration),
		RenewDeadline:                 new(renewDeadline),
		RetryPeriod:                   new(retryPeriod),
	})
	if err != nil {
		return nil, fmt.Errorf("could not set up the manager: %w", err)
	}
	return manager, manager.AddReadyzCheck("readyz", healthz.Ping)
}
