// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/jupico-operator/jupico-operator/hack/process"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

// demo holds the processes that the demo runs, and the directory that they write to.
type demo struct {
	dir      string // holds every file that the demo writes
	assets   string // directory of etcd, kube-apiserver and kubectl
	programs string // directory of the operator, the emulator and the plugin of kubectl

	controlPlane *envtest.Environment
	kubeconfig   string // the administrator's
	client       client.Client

	emulator testbed.Emulator
	operator *process.Process
}

// newDemo checks that everything the demo needs is there, and makes its directory.
func newDemo(programs string) (*demo, error) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS must name the directory of etcd, kube-apiserver and kubectl: " +
			"run make demo, which sets it")
	}
	d := &demo{}
	var err error
	if d.assets, err = filepath.Abs(assets); err != nil {
		return nil, err
	}
	if d.programs, err = filepath.Abs(programs); err != nil {
		return nil, err
	}
	for _, path := range []string{
		d.program("manager"), d.program("jupico-emulator"), d.program("kubectl-jupico"), "config/samples/kustomization.yaml",
	} {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w: run make demo, in the repository's root", err)
		}
	}
	dir, err := os.MkdirTemp("", "jupico-demo-")
	if err != nil {
		return nil, err
	}
	// kustomize compares real paths, but the path of a temporary directory may contain a symbolic link.
	if d.dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	// Libraries make temporary directories too. This puts theirs into ours, which is removed at the end.
	return d, os.Setenv("TMPDIR", d.dir)
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) program(name string) string { return filepath.Join(d.programs, name) }

// close stops every process and removes every file. The operator stops first, before the servers that it talks to.
func (d *demo) close() error {
	fmt.Println("\nCleaning up ...")
	errs := []error{d.operator.Stop(), d.emulator.Stop()}
	if d.controlPlane != nil {
		errs = append(errs, d.controlPlane.Stop())
	}
	errs = append(errs, os.RemoveAll(d.dir))
	return errors.Join(errs...)
}

// explain prints logs, resources and events that help to find out why a step failed.
func (d *demo) explain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, p := range []*process.Process{d.emulator.Process, d.operator} {
		if p != nil {
			fmt.Printf("\n--- The end of the log of %s\n%s", p.Name, p.Tail(40))
		}
	}
	if d.client == nil {
		return
	}
	for _, args := range [][]string{{"get", "jcred", "-o", "yaml"}, {"get", "events"}} {
		fmt.Println()
		if err := d.kubectl(ctx, args...); err != nil {
			fmt.Println(err)
		}
	}
}

// stayUp waits for Ctrl-C, and prints commands that the user can try in the meantime.
func (d *demo) stayUp(ctx context.Context) error {
	fmt.Printf(`
The demo stays up until you press Ctrl-C. In another terminal:

  cd %s
  source ./demo.env

Then follow docs/tutorial.md, or try:

  kubectl get jcred -o wide --watch
  kubectl explain jupicocredential.spec
  tail -f %s
  curl $EMULATOR   # lists what the emulator can do
`, d.dir, filepath.Base(d.operator.Log))
	select {
	case <-ctx.Done():
		return nil
	case <-d.emulator.Exited:
		d.explain(ctx)
		return d.emulator.Failure()
	case <-d.operator.Exited:
		d.explain(ctx)
		return d.operator.Failure()
	}
}
