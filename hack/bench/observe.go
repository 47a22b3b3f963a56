// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// observer watches the resources of a namespace and, if told to, the tokens in its Secrets.
type observer struct {
	namespace string

	mu      sync.Mutex
	states  map[string]string // of Ready, such as "True/Accepted", by resource
	counts  map[string]int    // of resources, by state
	tokens  map[string]token  // by Secret
	changed chan struct{}     // is closed at the next change
	cancel  context.CancelFunc
}

// token is the token in a Secret, and when it was seen first.
type token struct {
	value string
	since time.Time
}

// observe begins to watch the resources of a namespace.
func (b *bench) observe(ctx context.Context, namespace string) (*observer, error) {
	ctx, cancel := context.WithCancel(ctx)
	o := &observer{
		namespace: namespace, states: map[string]string{}, counts: map[string]int{}, tokens: map[string]token{},
		changed: make(chan struct{}), cancel: cancel,
	}
	return o, b.follow(ctx, o, &v1alpha1.JupicoCredential{})
}

// observeTargets begins to watch the Secrets of the namespace too.
func (b *bench) observeTargets(ctx context.Context, f *fleet) error {
	return b.follow(ctx, f.observer, &corev1.Secret{})
}

func (o *observer) stop() { o.cancel() }

// follow tells the observer of every change of a kind, until the context ends. The informer goes on after a watch that
// the API server broke off, as it does with one that cannot keep pace.
func (b *bench) follow(ctx context.Context, o *observer, kind client.Object) error {
	objects, err := cache.New(b.config, cache.Options{
		Scheme: b.admin.Scheme(), DefaultNamespaces: map[string]cache.Config{o.namespace: {}},
		DefaultTransform: cache.TransformStripManagedFields(),
	})
	if err != nil {
		return err
	}
	informer, err := objects.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    o.record,
		UpdateFunc: func(_, object any) { o.record(object) },
		DeleteFunc: o.forget,
	})
	if err != nil {
		return err
	}
	go func() { _ = objects.Start(ctx) }()
	if !objects.WaitForCacheSync(ctx) {
		return fmt.Errorf("could not watch the %T of namespace %s", kind, o.namespace)
	}
	return nil
}

// record notes the state of an object.
func (o *observer) record(object any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch object := object.(type) {
	case *v1alpha1.JupicoCredential:
		o.counts[o.states[object.Name]]--
		o.states[object.Name] = stateOf(object)
		o.counts[stateOf(object)]++
	case *corev1.Secret:
		if value := string(object.Data[v1alpha1.TargetKeyToken]); value != o.tokens[object.Name].value {
			o.tokens[object.Name] = token{value, time.Now()}
		}
	}
	o.tell()
}

// forget notes that an object is gone.
func (o *observer) forget(object any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	last, isStale := object.(toolscache.DeletedFinalStateUnknown) // the watch missed the deletion
	if isStale {
		object = last.Obj
	}
	switch object := object.(type) {
	case *v1alpha1.JupicoCredential:
		o.counts[o.states[object.Name]]--
		delete(o.states, object.Name)
	case *corev1.Secret:
		delete(o.tokens, object.Name)
	}
	o.tell()
}

// tell wakes those who wait for a change.
func (o *observer) tell() {
	close(o.changed)
	o.changed = make(chan struct{})
}

func stateOf(resource *v1alpha1.JupicoCredential) string {
	ready := meta.FindStatusCondition(resource.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "new"
	}
	return string(ready.Status) + "/" + ready.Reason
}

// waitTimeout is three times as long as a storm takes, which is the longest wait.
const waitTimeout = 10 * time.Minute

// accepted is the state of a resource whose token was accepted and delivered.
const accepted = "True/Accepted"

// wait returns when the condition holds. It fails after the limit, and when the operator exits.
func (o *observer) wait(ctx context.Context, b *bench, limit time.Duration, condition func() bool) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	var exited chan struct{}
	if b.operator != nil {
		exited = b.operator.Exited
	}
	for {
		o.mu.Lock()
		done, changed := condition(), o.changed
		o.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-exited:
			return b.operator.Failure()
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return fmt.Errorf("waited %s in vain: %s; a list has %s", limit, o.describe(), o.list(ctx, b))
		}
	}
}

// waitForAll waits until n resources are in a state.
func (o *observer) waitForAll(ctx context.Context, b *bench, state string, n int) error {
	return o.wait(ctx, b, waitTimeout, func() bool { return o.counts[state] == n })
}

// waitForToken waits until a target holds a token, and returns when it was seen first.
func (o *observer) waitForToken(ctx context.Context, b *bench, name, want string) (time.Time, error) {
	var since time.Time
	err := o.wait(ctx, b, startTimeout, func() bool {
		held := o.tokens[name]
		since = held.since
		return held.value == want
	})
	return since, err
}

func (o *observer) describe() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return describeCounts(o.counts)
}

// list describes the resources as the API server has them, which tells whether the watch missed something.
func (o *observer) list(ctx context.Context, b *bench) string {
	list := &v1alpha1.JupicoCredentialList{}
	if err := b.admin.List(ctx, list, client.InNamespace(o.namespace)); err != nil {
		return err.Error()
	}
	counts := map[string]int{}
	for i := range list.Items {
		counts[stateOf(&list.Items[i])]++
	}
	return describeCounts(counts)
}

func describeCounts(counts map[string]int) string {
	var states []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		if counts[state] > 0 {
			states = append(states, fmt.Sprintf("%d %s", counts[state], state))
		}
	}
	return strings.Join(states, ", ")
}
