// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// Indexes of JupicoCredentials by what they mention.
const (
	indexSecrets    = "mentioned-secrets"
	indexConfigMaps = "mentioned-configmaps"
)

func mentionedSecrets(object client.Object) []string {
	resource, ok := object.(*v1alpha1.JupicoCredential)
	if !ok {
		return nil
	}
	names := []string{resource.Spec.Target.Name}
	for i := range resource.Spec.Credentials {
		names = append(names, resource.Spec.Credentials[i].SecretName())
	}
	return names
}

func mentionedConfigMaps(object client.Object) []string {
	resource, ok := object.(*v1alpha1.JupicoCredential)
	if !ok || resource.Spec.Endpoint == nil || resource.Spec.Endpoint.CAConfigMapRef == nil {
		return nil
	}
	return []string{resource.Spec.Endpoint.CAConfigMapRef.Name}
}

// addIndex has the cache find the resources of a namespace by what they mention. It is what a manager would add,
// less the keys for a search in all namespaces, which nobody makes and which would take as much memory again.
func addIndex(ctx context.Context, resources cache.Cache, index string, mentioned func(client.Object) []string) error {
	informer, err := resources.GetInformer(ctx, &v1alpha1.JupicoCredential{}, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	return informer.AddIndexers(toolscache.Indexers{"field:" + index: func(object any) ([]string, error) {
		resource, isResource := object.(client.Object)
		if !isResource {
			return nil, fmt.Errorf("expected a resource, got %T", object)
		}
		keys := mentioned(resource)
		for i := range keys {
			keys[i] = resource.GetNamespace() + "/" + keys[i]
		}
		return keys, nil
	}})
}

// mentions are the objects of one kind that resources mention, and a source of the controller: it wakes the resources
// when these change.
type mentions struct {
	resources cache.Cache
	index     string
	// watched has one for each namespace to work in, or a single one for all.
	watched []*watched
}

func newMentions(resources cache.Cache, index string, objects metadata.Getter, namespaces []string) *mentions {
	m := &mentions{resources: resources, index: index}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		m.watched = append(m.watched, newWatched(objects, namespace))
	}
	return m
}

// in returns what is known of a namespace.
func (m *mentions) in(namespace string) *watched {
	for _, w := range m.watched {
		if w.namespace == namespace {
			return w
		}
	}
	return m.watched[0] // the one for all: a resource of another namespace is never seen
}

func (m *mentions) String() string { return m.index }

// Start implements source.Source. What is mentioned is known only once all resources are.
func (m *mentions) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	for _, w := range m.watched {
		w.isMentioned = func(name types.NamespacedName) bool { return len(m.by(ctx, name)) > 0 }
		w.changed = func(name types.NamespacedName, now *glimpse) { m.wake(ctx, name, now, queue) }
	}
	go func() {
		if _, err := m.resources.GetInformer(ctx, &v1alpha1.JupicoCredential{}); err != nil {
			return // the manager is ending
		}
		for _, w := range m.watched {
			go w.run(ctx)
		}
	}()
	return nil
}

// WaitForSync implements source.SyncingSource.
func (m *mentions) WaitForSync(ctx context.Context) error {
	for _, w := range m.watched {
		select {
		case <-w.hasList:
		case <-ctx.Done():
			return fmt.Errorf("found no list of %s: %w", m.index, ctx.Err())
		}
	}
	return nil
}

// by lists the resources that mention an object, which are only to be read.
func (m *mentions) by(ctx context.Context, name types.NamespacedName) []v1alpha1.JupicoCredential {
	var resources v1alpha1.JupicoCredentialList
	err := m.resources.List(ctx, &resources, client.InNamespace(name.Namespace),
		client.MatchingFields{m.index: name.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil // only when the cache is stopping
	}
	return resources.Items
}

// wake has the resources looked at that mention an object, unless their status is about the object as it now is: the
// initial list after a restart, and the echo of our own writes, change nothing.
func (m *mentions) wake(
	ctx context.Context, name types.NamespacedName, now *glimpse,
	queue workqueue.TypedRateLimitingInterface[reconcile.Request],
) {
	resources := m.by(ctx, name)
	for i := range resources {
		if isNews(&resources[i], name.Name, now) {
			queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&resources[i])})
		}
	}
}

// isNews reports whether a resource that mentions an object has yet to be told how it now is. Who wrote it knows, even
// before its status tells of that.
func isNews(resource *v1alpha1.JupicoCredential, name string, now *glimpse) bool {
	if now == nil {
		return true
	}
	isItsOwnWrite := now.isOurs && now.managedBy == resource.Name && resource.Spec.Target.Name == name
	return !isItsOwnWrite && !isInStatus(resource, now.ref)
}

func isInStatus(resource *v1alpha1.JupicoCredential, ref v1alpha1.SourceStatus) bool {
	if target := resource.Status.Target; target != nil && target.UID == ref.UID {
		return target.ResourceVersion == ref.ResourceVersion
	}
	isTold := false
	for i := range resource.Status.Credentials {
		source := resource.Status.Credentials[i].Source
		if source == nil || source.UID != ref.UID {
			continue
		}
		if source.ResourceVersion != ref.ResourceVersion {
			return false // of two entries that have it for a source, one was read earlier
		}
		isTold = true
	}
	return isTold
}
