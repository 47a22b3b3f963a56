// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
	"github.com/jupico-operator/jupico-operator/hack/testbed/specs"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// The suite runs the real controller, with the rights of config/rbac and nothing more, against a real kube-apiserver
// and emulators of Jupico's API.
func TestTheControllerAgainstARealAPIServer(t *testing.T) {
	specs.Run(t, "Controller")
}

const (
	operatorUser = "jupico-operator"
	// checkTimeout is short, so that a hanging server does not hold a test up.
	checkTimeout = 2 * time.Second
)

var (
	ctx           context.Context
	administrator *rest.Config
	admin         client.Client // the test's own eyes and hands
	// userConfig makes a user of this name, who may do what roles grant.
	userConfig func(name string) *rest.Config
	operator   *runningOperator
	emulators  *emulatorPool
	logs       syncBuffer
	auditLog   string
	testClock  shiftedClock
	scheme     = runtime.NewScheme()
)

var _ = BeforeSuite(func() {
	var cancel context.CancelFunc
	ctx, cancel = context.WithCancel(context.Background())
	DeferCleanup(func() { cancel() })
	ctrl.SetLogger(loggerOf(&logs, "--zap-devel", "--zap-log-level=10")) // none shows more

	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	var environment *envtest.Environment
	environment, administrator = startControlPlane()
	var err error
	admin, err = client.New(administrator, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())

	userConfig = func(name string) *rest.Config {
		user, err := environment.AddUser(envtest.User{Name: name}, administrator)
		Expect(err).NotTo(HaveOccurred())
		return user.Config()
	}
	Expect(testbed.GrantOperatorRole(ctx, admin, "../..", operatorUser)).To(Succeed())
	emulators = newEmulatorPool()
	DeferCleanup(emulators.close)
	operator = &runningOperator{config: userConfig(operatorUser)}
	operator.start()
	DeferCleanup(func() { operator.stop() })
})

func startControlPlane() (*envtest.Environment, *rest.Config) {
	directory := GinkgoT().TempDir()
	auditLog = filepath.Join(directory, "audit.log")
	policy := filepath.Join(directory, "policy.yaml")
	Expect(os.WriteFile(policy, []byte(`
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["`+operatorUser+`", "`+namespacedUser+`"]
- level: None
`), 0o600)).To(Succeed())

	programs, err := testbed.ControlPlane("../..")
	Expect(err).NotTo(HaveOccurred())
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
		BinaryAssetsDirectory: programs,
	}
	environment.ControlPlane.GetAPIServer().Configure().
		Set("audit-policy-file", policy).
		Set("audit-log-path", auditLog).
		Set("audit-log-mode", "blocking-strict").
		Append("enable-admission-plugins", "OwnerReferencesPermissionEnforcement")
	administrator, err := environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)
	return environment, administrator
}

// runningOperator is the controller in a manager of its own. Stopped and started, it remembers nothing.
type runningOperator struct {
	config      *rest.Config
	namespaces  []string // none: all
	probes      string   // the address of the probes; none: nowhere
	elect       string   // the namespace of the lease; none: no election
	lacksRights bool     // nobody waits until it watches each namespace

	registry *prometheus.Registry
	cancel   context.CancelFunc
	done     chan struct{}
}

func (o *runningOperator) start() {
	manager, err := ctrl.NewManager(rest.CopyConfig(o.config), ctrl.Options{
		Scheme:     scheme,
		Cache:      CacheOptions(),
		Client:     ClientOptions(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},

		LeaderElection:                o.elect != "",
		LeaderElectionNamespace:       o.elect,
		LeaderElectionID:              operatorUser,
		LeaderElectionReleaseOnCancel: true,
	})
	Expect(err).NotTo(HaveOccurred())
	allowed, err := endpoint.NewAllowList(emulators.allowed()...)
	Expect(err).NotTo(HaveOccurred())
	o.registry = prometheus.NewRegistry()
	running, cancel := context.WithCancel(ctx)
	o.cancel, o.done = cancel, make(chan struct{})
	checks := checker.New(allowed, jupico.Config{Timeout: checkTimeout, UserAgent: "test"},
		checker.Options{QPS: 100, Burst: 100, Workers: 8, Clock: &testClock})
	o.registry.MustRegister(checks)
	Expect(SetUp(running, manager, Options{
		MaxConcurrentReconciles: 8,
		Namespaces:              o.namespaces,
		ProbeAddress:            o.probes,
		Checker:                 checks,
		Clock:                   &testClock,
		Metrics:                 o.registry,
	})).To(Succeed())
	go func() {
		defer GinkgoRecover()
		defer close(o.done)
		Expect(manager.Start(running)).To(Succeed())
	}()
	if !o.lacksRights {
		Eventually(func() []float64 { return o.samples("jupico_namespace_watched") }, soon, "10ms").
			Should(HaveEach(BeEquivalentTo(1)))
	}
}

// samples are the values of a gauge, of all of its labels or of those that have these values.
func (o *runningOperator) samples(name string, labels ...string) []float64 {
	families, err := o.registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	values := []float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			if family.GetName() == name && hasLabels(metric, labels) {
				values = append(values, metric.GetGauge().GetValue())
			}
		}
	}
	return values
}

func (o *runningOperator) stop() {
	o.cancel()
	<-o.done
}

// emulatorPool serves many emulators on one port, each under a base URL of its own that the operator allows.
type emulatorPool struct {
	server *httptest.Server
	ca     *jupicotest.CA
	mu     sync.Mutex
	taken  []*jupicotest.Emulator
}

const emulatorPoolSize = 400

func newEmulatorPool() *emulatorPool {
	ca, err := jupicotest.NewCA()
	Expect(err).NotTo(HaveOccurred())
	pool := &emulatorPool{ca: ca}
	pool.server = jupicotest.NewServer(pool, ca)
	return pool
}

// shiftedClock is the real clock, moved ahead when a test says so.
type shiftedClock struct{ offset atomic.Int64 }

func (c *shiftedClock) Now() time.Time                  { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *shiftedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c *shiftedClock) advance(d time.Duration)         { c.offset.Add(int64(d)) }

// syncBuffer collects what is logged.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func emulatorPath(i int) string { return fmt.Sprintf("/e%d", i) }
