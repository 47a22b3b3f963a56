// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/hack/process"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

const (
	operatorUser = "operator"
	// startTimeout is long enough for a machine that is busy with other things. Usually it takes seconds.
	startTimeout = 10 * time.Minute
	// killTimeout is how long an API server may take to end. It takes longer than that while it is watched, and so is
	// killed.
	killTimeout = time.Second
)

// soak holds the running processes, what the resources should be, and what was observed.
type soak struct {
	settings

	began  time.Time
	dir    string // holds every file that is written
	random *rand.Rand

	controlPlane       *envtest.Environment
	admin              client.Client
	operatorKubeconfig string
	emulator           testbed.Emulator
	// runtimeEnvironment of the operator is that of the manifest.
	runtimeEnvironment []string

	fleet    []*member
	happened map[string]int // how often, by incident

	mu        sync.Mutex // guards all below
	operator  *operator  // nil while there is none
	calmAfter time.Time  // when the effects of the last disturbance are over
	samples   []sample   // of the operator that runs
}

func newSoak(s settings) *soak {
	return &soak{
		settings: s, began: time.Now(), random: rand.New(rand.NewPCG(s.seed, 1)), //nolint:gosec // it must be repeatable
		happened: map[string]int{},
	}
}

// logf prints a line with the time since the beginning.
func (k *soak) logf(format string, args ...any) {
	fmt.Printf("[%4.0f s] %s\n", time.Since(k.began).Seconds(), fmt.Sprintf(format, args...))
}

func (k *soak) path(name string) string { return filepath.Join(k.dir, name) }

func (k *soak) open(ctx context.Context) error {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		return errors.New("KUBEBUILDER_ASSETS must name the directory of etcd and kube-apiserver: run make soak, which " +
			"sets it")
	}
	for _, path := range []string{k.managerPath, k.emulatorPath, filepath.Join("config", "crd", "bases")} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: run make soak in the root of the repository", err)
		}
	}
	var err error
	if k.runtimeEnvironment, err = testbed.RuntimeEnvironment(testbed.Manifest); err != nil {
		return err
	}
	if k.dir, err = os.MkdirTemp("", "jupico-soak-"); err != nil {
		return err
	}
	if err := os.Setenv("TMPDIR", k.dir); err != nil { // temporary files of libraries are removed with ours
		return err
	}
	if err := k.startControlPlane(ctx, assets); err != nil {
		return err
	}
	if k.emulator, err = testbed.StartEmulator(ctx, k.emulatorPath, k.dir); err != nil {
		return err
	}
	return k.startOperator()
}

// close stops every process and removes every file. The operator is stopped first, because it uses the others.
func (k *soak) close() error {
	errs := []error{k.operator.stop(), k.emulator.Stop()}
	if k.controlPlane != nil {
		_ = k.controlPlane.Stop() // an API server that had to be killed is an error to it
	}
	return errors.Join(append(errs, os.RemoveAll(k.dir))...)
}

func (k *soak) printOperatorLog() {
	if k.operator != nil {
		fmt.Printf("\n--- The last lines of the operator's log\n%s", k.operator.Tail(10))
	}
}

func (k *soak) startControlPlane(ctx context.Context, assets string) error {
	existing := false // never use somebody's cluster, whatever the environment says
	k.controlPlane = &envtest.Environment{
		UseExistingCluster:       &existing,
		BinaryAssetsDirectory:    assets,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  killTimeout,
		CRDDirectoryPaths:        []string{filepath.Join("config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
	}
	// In a directory of ours, the certificates stay the same when the API server starts again.
	apiServer := k.controlPlane.ControlPlane.GetAPIServer()
	apiServer.CertDir = k.path("apiserver")
	if err := os.Mkdir(apiServer.CertDir, 0o700); err != nil {
		return err
	}
	config, err := k.controlPlane.Start()
	if err != nil {
		return err
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if k.admin, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if err := testbed.GrantOperatorRole(ctx, k.admin, ".", operatorUser); err != nil {
		return err
	}
	k.operatorKubeconfig = k.path("operator.kubeconfig")
	return testbed.WriteKubeconfig(k.controlPlane, operatorUser, k.operatorKubeconfig)
}

// restartAPIServer kills the API server and starts it again, with the same address and certificates.
func (k *soak) restartAPIServer(ctx context.Context) error {
	apiServer := k.controlPlane.ControlPlane.APIServer
	_ = apiServer.Stop() // it had to be killed, which is an error to it
	// On a busy machine, a process that was killed may keep its port for a while.
	isFree := func(context.Context) (bool, error) {
		listener, err := net.Listen("tcp", apiServer.HostPort())
		return err == nil && listener.Close() == nil, nil
	}
	if err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, startTimeout, true, isFree); err != nil {
		return err
	}
	return apiServer.Start()
}

// operator is the process of the operator.
type operator struct {
	*process.Process

	began    time.Time
	profiles string // base URL
}

// operatorFlags let the operator check more often than by default, so that much happens in little time.
var operatorFlags = []string{
	"--check-qps=300", "--check-burst=300", "--check-timeout=5s",
	"--health-probe-bind-address=0", "--zap-stacktrace-level=panic",
}

func (k *soak) startOperator() error {
	profiles, err := testbed.FreeAddress()
	if err != nil {
		return err
	}
	// The operator trusts the emulator's authority as it would Jupico's, so that the resources need no CA reference.
	environment := append([]string{"SSL_CERT_FILE=" + k.emulator.CAFile}, k.runtimeEnvironment...)
	p, err := process.Start("the operator", k.path("operator.log"), environment, k.managerPath, append([]string{
		"--kubeconfig=" + k.operatorKubeconfig, "--allowed-endpoint=" + k.emulator.URL, "--pprof-bind-address=" + profiles,
	}, operatorFlags...)...)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.operator = &operator{Process: p, began: time.Now(), profiles: "http://" + profiles}
	k.samples = nil
	return nil
}

// restartOperator kills the operator with SIGKILL, and starts another that remembers nothing.
func (k *soak) restartOperator(context.Context) error {
	k.mu.Lock()
	killed := k.operator
	k.operator = nil
	k.mu.Unlock()
	if err := syscall.Kill(killed.ID(), syscall.SIGKILL); err != nil {
		return err
	}
	<-killed.Exited
	return k.startOperator()
}

func (o *operator) stop() error {
	if o == nil {
		return nil
	}
	return o.Stop()
}
