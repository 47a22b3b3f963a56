// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

const (
	operatorUser = "operator"
	loopUser     = "loop"
	// latency is how long the emulator takes to answer.
	latency      = 20 * time.Millisecond
	startTimeout = time.Minute
	// stopTimeout is longer than the minute that a stopping API server waits for its requests.
	stopTimeout = 90 * time.Second
)

// bench holds the running processes and the results.
type bench struct {
	settings

	began  time.Time
	dir    string // holds every file that is written
	assets string // the directory of etcd, kube-apiserver and kubectl

	controlPlane       *envtest.Environment
	config             *rest.Config // the administrator's
	admin              client.Client
	operatorKubeconfig string
	loopKubeconfig     string
	// runtimeEnvironment is for the operator and for the loop of checks.
	runtimeEnvironment []string

	emulator testbed.Emulator
	operator *operator

	report report
	series series
	// fleet is the fleet that one part leaves to the next, or nil.
	fleet *fleet
}

// logf prints a line with the time since the beginning.
func (b *bench) logf(format string, args ...any) {
	fmt.Printf("[%4.0f s] %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// open starts the control plane and the emulator.
func (b *bench) open(ctx context.Context) error {
	b.assets = os.Getenv("KUBEBUILDER_ASSETS")
	if b.assets == "" {
		return errors.New("KUBEBUILDER_ASSETS must name the directory of etcd, kube-apiserver and kubectl: " +
			"run make bench, which sets it")
	}
	for _, path := range []string{b.managerPath, b.emulatorPath, testbed.Manifest} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: run make bench in the root of the repository", err)
		}
	}
	var err error
	if b.runtimeEnvironment, err = testbed.RuntimeEnvironment(testbed.Manifest); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "jupico-bench-"); err != nil {
		return err
	}
	if err := os.Setenv("TMPDIR", b.dir); err != nil { // temporary files of libraries are removed with ours
		return err
	}
	b.logf("Starting etcd, kube-apiserver and the emulator")
	if err := b.startControlPlane(ctx); err != nil {
		return err
	}
	if b.emulator, err = testbed.StartEmulator(ctx, b.emulatorPath, b.dir); err != nil {
		return err
	}
	return b.acceptTokens(ctx)
}

// close stops every process and removes every file. The operator is stopped first, because it uses the others.
func (b *bench) close() error {
	errs := []error{b.stopOperator(), b.emulator.Stop()}
	if b.controlPlane != nil {
		errs = append(errs, b.controlPlane.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// printOperatorLog helps to see why a part failed.
func (b *bench) printOperatorLog() {
	if b.operator != nil {
		fmt.Printf("\n--- The last lines of the operator's log\n%s", b.operator.Tail(30))
	}
}

func (b *bench) startControlPlane(ctx context.Context) error {
	existing := false // never use somebody's cluster, whatever the environment says
	b.controlPlane = &envtest.Environment{
		UseExistingCluster:       &existing,
		BinaryAssetsDirectory:    b.assets,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
		CRDDirectoryPaths:        []string{filepath.Join("config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
	}
	b.controlPlane.ControlPlane.Etcd = &envtest.Etcd{}
	b.controlPlane.ControlPlane.Etcd.Configure().Set("quota-backend-bytes", "6442450944")
	// By default, the API server deletes the objects of a collection one after the other.
	b.controlPlane.ControlPlane.GetAPIServer().Configure().Set("delete-collection-workers", strconv.Itoa(parallelism))
	config, err := b.controlPlane.Start()
	if err != nil {
		return err
	}
	config.QPS = -1
	b.config = config
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if b.admin, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return b.addUsers(ctx)
}

// addUsers creates a user for the operator, with exactly the rights that it has in a cluster. The loops get a user of
// their own, so that the API server's Priority and Fairness treats them like the operator.
func (b *bench) addUsers(ctx context.Context) error {
	b.operatorKubeconfig, b.loopKubeconfig = b.path("operator.kubeconfig"), b.path("loop.kubeconfig")
	for _, step := range []func() error{
		func() error { return testbed.GrantOperatorRole(ctx, b.admin, ".", operatorUser) },
		func() error { return testbed.WriteKubeconfig(b.controlPlane, operatorUser, b.operatorKubeconfig) },
		func() error { return testbed.Bind(ctx, b.admin, "cluster-admin", loopUser) },
		func() error { return testbed.WriteKubeconfig(b.controlPlane, loopUser, b.loopKubeconfig) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// acceptTokens makes the emulator accept the tokens of its accounts.
func (b *bench) acceptTokens(ctx context.Context) error {
	return b.emulator.Command(ctx, "/fault", fmt.Sprintf(`{"latency":%q}`, latency))
}

// rejectTokens makes the emulator reject every token.
func (b *bench) rejectTokens(ctx context.Context) error {
	fault := fmt.Sprintf(`{"latency":%q,"status":401,"code":"auth_invalid_api_token"}`, latency)
	return b.emulator.Command(ctx, "/fault", fault)
}
