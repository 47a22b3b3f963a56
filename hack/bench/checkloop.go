// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/hack/process"
)

// checkLoopCommand as the first argument makes this program the bare loop of checks.
const checkLoopCommand = "check-loop"

// checkLoop does for each unchanged check what the operator cannot do without: it asks Jupico, and patches the status.
// It keeps no cache, watches nothing and decides nothing. It has a process of its own, so that its CPU is measured in
// the same way as the operator's.
type checkLoop struct {
	client *http.Client
	url    string
	// resources are checked one after the other, at an even pace.
	resources []*checkedResource
	statuses  dynamic.ResourceInterface
}

// checkedResource is what the loop knows of a resource.
type checkedResource struct {
	name            string
	resourceVersion string
	authorization   string
	// interval is the time between two checks of the resource that its status plans.
	interval    time.Duration
	credentials []v1alpha1.CredentialStatus
}

// startCheckLoop starts the loop on a fleet whose operator was stopped.
func (b *bench) startCheckLoop(f *fleet) (*process.Process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return process.Start("the loop of checks", b.path("check-loop.log"), b.runtimeEnvironment, program, checkLoopCommand,
		"--kubeconfig="+b.loopKubeconfig, "--url="+b.emulator.URL, "--ca-file="+b.emulator.CAFile, "--namespace="+f.namespace)
}

// runCheckLoop is the process of the loop. It returns when the context ends or a check fails.
func runCheckLoop(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet(checkLoopCommand, flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "`file` that says where the API server is")
	url := flags.String("url", "", "base `URL` of the emulator")
	caFile := flags.String("ca-file", "", "`file` with the emulator's authority")
	namespace := flags.String("namespace", "", "`namespace` of the fleet")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	config.Timeout = checkTimeout
	clients, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	l := checkLoop{url: *url + "/status", statuses: clients.Resource(resources).Namespace(*namespace)}
	if l.client, err = newJupicoClient(*caFile); err != nil {
		return err
	}
	if err := l.list(ctx, fleet{namespace: *namespace}); err != nil {
		return err
	}
	return l.run(ctx)
}

// checkTimeout is shorter than any time between two checks of a resource, so that these do not overlap.
const checkTimeout = 10 * time.Second

// list reads the resources of the fleet once.
func (l *checkLoop) list(ctx context.Context, f fleet) error {
	list, err := l.statuses.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items { // the API server sorts them by name, and so by number
		var resource v1alpha1.JupicoCredential
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &resource)
		if err != nil {
			return err
		}
		status := resource.Status
		if status.LastCheckTime == nil || status.NextCheckTime == nil {
			return fmt.Errorf("%s was not checked yet", resource.Name)
		}
		l.resources = append(l.resources, &checkedResource{
			name:            resource.Name,
			resourceVersion: resource.ResourceVersion,
			authorization:   "Basic " + tokenOf(&f, i, 0),
			interval:        status.NextCheckTime.Sub(status.LastCheckTime.Time),
			credentials:     status.Credentials,
		})
	}
	return nil
}

// run makes as many checks a second as the statuses plan, and spreads them evenly.
func (l *checkLoop) run(ctx context.Context) error {
	perSecond := 0.0
	for _, resource := range l.resources {
		perSecond += 1 / resource.interval.Seconds()
	}
	ticker := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer ticker.Stop()
	group, checking := errgroup.WithContext(ctx)
	for i := 0; ; i++ {
		select {
		case <-ticker.C:
			group.Go(func() error { return l.check(checking, l.resources[i%len(l.resources)]) })
		case <-checking.Done():
			if err := group.Wait(); ctx.Err() == nil {
				return err
			}
			return nil
		}
	}
}

// check makes one check of a resource.
func (l *checkLoop) check(ctx context.Context, resource *checkedResource) error {
	if err := askJupico(ctx, l.client, l.url, resource.authorization); err != nil {
		return err
	}
	patch, err := resource.statusPatch(time.Now())
	if err != nil {
		return err
	}
	updated, err := l.statuses.Patch(ctx, resource.name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return err
	}
	resource.resourceVersion = updated.GetResourceVersion()
	return nil
}

// statusPatch is a merge patch of what a check changes when nothing else did: its times.
func (r *checkedResource) statusPatch(now time.Time) ([]byte, error) {
	checked, next := metav1.NewTime(now), metav1.NewTime(now.Add(r.interval))
	for i := range r.credentials {
		record := &r.credentials[i].CheckRecord
		record.LastCheckTime, record.NextCheckTime, record.LastAcceptedTime = &checked, &next, &checked
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": r.resourceVersion},
		"status": map[string]any{
			"credentials":   r.credentials,
			"deployed":      map[string]any{"lastAcceptedTime": checked},
			"lastCheckTime": checked,
			"nextCheckTime": next,
		},
	})
}
