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
	existing := false // whatever the environment says: never somebody's cluster
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

// writeOperatorKubeconfig makes the operator the service account that it is in a cluster, so that it may do here what
// config/rbac lets it do, and no more.
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

// kubectl runs kubectl, and shows the command and its output.
func (d *demo) kubectl(ctx context.Context, args ...string) error {
	output, err := d.kubectlOutput(ctx, args...)
	for line := range strings.Lines(output) {
		fmt.Print("   ", line)
	}
	return err
}

// kubectlOutput runs kubectl, and shows the command only.
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

// look says what it sees, and whether that is what is waited for.
type look func(context.Context) (seen string, there bool)

// waitFor returns once look sees what is waited for. What it saw last is part of the error when that does not come in
// time, or when a process ends meanwhile.
func (d *demo) waitFor(ctx context.Context, limit time.Duration, look look) error {
	var seen string
	err := wait.PollUntilContextTimeout(ctx, pollInterval, limit, true, func(ctx context.Context) (there bool, _ error) {
		seen, there = look(ctx)
		return there, errors.Join(d.operator.Failure(), d.emulator.Failure())
	})
	switch {
	case err == nil:
		return nil
	case wait.Interrupted(err):
		return fmt.Errorf("not within %s; seen last: %s", limit, seen)
	default:
		return fmt.Errorf("%w; seen last: %s", err, seen)
	}
}
