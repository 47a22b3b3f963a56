// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

const (
	startTimeout   = time.Minute
	kubectlTimeout = 30 * time.Second
	pollInterval   = 100 * time.Millisecond
)

// startControlPlane starts etcd and kube-apiserver, and writes the administrator's kubeconfig.
func (d *demo) startControlPlane(context.Context) error {
	existing := false // USE_EXISTING_CLUSTER must not make the demo use a cluster that belongs to somebody
	d.controlPlane = &envtest.Environment{
		UseExistingCluster:       &existing,
		BinaryAssetsDirectory:    d.assets,
		ControlPlaneStartTimeout: startTimeout,
	}
	config, err := d.controlPlane.Start()
	if err != nil {
		return err
	}
	d.kubeconfig = d.path("kubeconfig")
	if err := os.WriteFile(d.kubeconfig, d.controlPlane.KubeConfig, 0o600); err != nil {
		return err
	}
	d.client, err = newClient(config)
	if err != nil {
		return err
	}
	fmt.Printf("   kube-apiserver serves on %s\n", config.Host)
	return nil
}

func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// writeOperatorKubeconfig gives the operator the identity of its service account in a cluster, so that it has exactly
// the rights that config/rbac grants.
func (d *demo) writeOperatorKubeconfig() (string, error) {
	const namespace = "jupico-operator-system"
	user, err := d.controlPlane.AddUser(envtest.User{
		Name:   "system:serviceaccount:" + namespace + ":jupico-operator-controller-manager",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace},
	}, nil)
	if err != nil {
		return "", err
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		return "", err
	}
	path := d.path("operator.kubeconfig")
	return path, os.WriteFile(path, kubeconfig, 0o600)
}

func (d *demo) kubectlPath() string { return filepath.Join(d.assets, "kubectl") }

// kubectl runs kubectl, and prints the command and its output.
func (d *demo) kubectl(ctx context.Context, args ...string) error {
	output, err := d.kubectlOutput(ctx, args...)
	for line := range strings.Lines(output) {
		fmt.Print("   ", line)
	}
	return err
}

// kubectlOutput runs kubectl, and prints the command but not the output.
func (d *demo) kubectlOutput(ctx context.Context, args ...string) (string, error) {
	fmt.Printf("   $ kubectl %s\n", strings.Join(args, " "))
	ctx, cancel := context.WithTimeout(ctx, kubectlTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.kubectlPath(), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.kubeconfig, "KUBECACHEDIR="+d.path("kubectl-cache"))
	output, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w", args[0], err)
	}
	return string(output), err
}

// condition says what it observed, and whether that is what the demo waits for.
type condition func(context.Context) (observed string, met bool)

// waitFor returns when the condition is met. If it is not met in time, or a process ends before, the error says what
// was observed last.
func (d *demo) waitFor(ctx context.Context, limit time.Duration, condition condition) error {
	var observed string
	err := wait.PollUntilContextTimeout(ctx, pollInterval, limit, true, func(ctx context.Context) (met bool, _ error) {
		observed, met = condition(ctx)
		return met, errors.Join(d.operator.Failure(), d.emulator.Failure())
	})
	switch {
	case err == nil:
		return nil
	case wait.Interrupted(err):
		return fmt.Errorf("not within %s; last observed: %s", limit, observed)
	default:
		return fmt.Errorf("%w; last observed: %s", err, observed)
	}
}
