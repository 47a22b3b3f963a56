// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package objectwatch watches the metadata of the Secrets and ConfigMaps that JupicoCredentials refer to, and wakes the
// resources when one of them changes. Values are never read here.
//
// It tracks an object only while a resource refers to it or while the annotation managed-by marks it. A former target
// is found by its mark alone, because no spec names it any more. Of all other objects the package keeps only hashes of
// their names. An informer would hold the metadata of every object in the cluster, at least while it starts. That is
// why this package exists.
package objectwatch

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/metadata"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// Indexes of JupicoCredentials by the names of the objects that they refer to, which are in their own namespace.
const (
	IndexSecrets    = "referenced-secrets"
	IndexConfigMaps = "referenced-configmaps"
)

var references = map[string]func(resource *v1alpha1.JupicoCredential) []string{
	IndexSecrets: func(resource *v1alpha1.JupicoCredential) []string {
		names := []string{resource.Spec.Target.Name}
		for i := range resource.Spec.Credentials {
			names = append(names, resource.Spec.Credentials[i].SecretName())
		}
		return names
	},
	IndexConfigMaps: func(resource *v1alpha1.JupicoCredential) []string {
		if resource.Spec.Endpoint == nil || resource.Spec.Endpoint.CAConfigMapRef == nil {
			return nil
		}
		return []string{resource.Spec.Endpoint.CAConfigMapRef.Name}
	},
}

// RegisterIndexes adds both indexes to a cache, before it starts.
func RegisterIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for index, names := range references {
		namesOf := func(object client.Object) []string { return names(object.(*v1alpha1.JupicoCredential)) }
		if err := indexer.IndexField(ctx, &v1alpha1.JupicoCredential{}, index, namesOf); err != nil {
			return err
		}
	}
	return nil
}

// Object is what is known of a Secret or ConfigMap without its values. It is only to be read.
type Object struct {
	UID             types.UID
	ResourceVersion string
	// ManagedBy is the value of the annotation managed-by: the name of a JupicoCredential, or empty.
	ManagedBy string
	// Mark is the value of the annotation ownership, or empty.
	Mark string
	// OwnWrite is true if this process wrote this version.
	OwnWrite bool
	// isDeleted marks the end of an object, which has a ResourceVersion after all others. It never leaves the package.
	isDeleted bool
}

func newObject(object metav1.Object) *Object {
	return &Object{
		UID:             object.GetUID(),
		ResourceVersion: object.GetResourceVersion(),
		ManagedBy:       object.GetAnnotations()[v1alpha1.AnnotationManagedBy],
		Mark:            object.GetAnnotations()[v1alpha1.AnnotationOwnership],
	}
}

func keyOf(object metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}

// Version returns the version of an object as a status tells it.
func (o *Object) Version() v1alpha1.SourceStatus {
	return v1alpha1.SourceStatus{UID: o.UID, ResourceVersion: o.ResourceVersion}
}

// ifExists returns nil for an object that was deleted.
func (o *Object) ifExists() *Object {
	if o == nil || o.isDeleted {
		return nil
	}
	return o
}

// isAtLeast reports whether an object is as new as another one, or newer. When both are the same version, an own write
// counts as newer: the watch may show it before the API server's answer arrives.
func (o *Object) isAtLeast(other *Object) bool {
	if o == nil {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(o.ResourceVersion, other.ResourceVersion)
	if err != nil {
		return false
	}
	return order > 0 || order == 0 && (o.isDeleted || !other.OwnWrite)
}

// Watch knows the objects of one kind that resources refer to, or that are marked as managed by one. As a source of a
// controller, it wakes these resources when an object changes.
type Watch struct {
	resources cache.Cache
	index     string
	isNews    func(resource *v1alpha1.JupicoCredential, name string, now *Object) bool
	queue     workqueue.TypedRateLimitingInterface[reconcile.Request]
	store     *store
}

var _ source.SyncingSource = &Watch{}

// New returns a Watch of the objects in a namespace, or in all, that an index of resources finds. When an object
// changes, isNews says whether a resource that is concerned has to be woken: now is what is known of the object, or nil
// if it is gone, or if nobody refers to it any more and its mark was removed. Report is as in Reporting.
func New(
	resources cache.Cache, index string, objects metadata.Getter, namespace string,
	isNews func(resource *v1alpha1.JupicoCredential, name string, now *Object) bool, report func(error),
) *Watch {
	w := &Watch{resources: resources, index: index, isNews: isNews}
	w.store = newStore(objects, namespace, w.isReferenced)
	w.store.changed, w.store.report = w.wake, report
	return w
}

// String implements fmt.Stringer. The controller names its sources by it.
func (w *Watch) String() string { return w.index }

// Start implements source.Source. The objects are listed only once all resources are known, because what they refer to
// decides what is tracked.
func (w *Watch) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	w.queue = queue
	go func() {
		informer, err := w.resources.GetInformer(ctx, &v1alpha1.JupicoCredential{})
		if err != nil {
			return // the manager is stopping
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			UpdateFunc: func(before, _ any) { w.releaseReferences(before) },
			DeleteFunc: w.releaseReferences,
		})
		if err != nil {
			return
		}
		w.store.run(ctx)
	}()
	return nil
}

// WaitForSync implements source.SyncingSource.
func (w *Watch) WaitForSync(ctx context.Context) error {
	select {
	case <-w.store.synced:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the list of %s: %w", w.index, ctx.Err())
	}
}

// Cached returns what is known of an object without asking the API server. It returns nil for an object that does not
// exist, and for one that nobody referred to until now. From now on, its changes wake the resource.
func (w *Watch) Cached(name types.NamespacedName) *Object {
	return w.store.cached(name)
}

// Exists reports whether an object exists as far as the watch shows, even if nobody referred to it until now.
func (w *Watch) Exists(name types.NamespacedName) bool { return w.store.exists(name) }

// Get returns what is known of an object, or nil if it does not exist. It asks the API server only about an object that
// exists and that nobody referred to until now. An error is one of the API server.
func (w *Watch) Get(ctx context.Context, name types.NamespacedName) (*Object, error) {
	return w.store.get(ctx, name)
}

// Observe records an object that was read, unless something newer is known.
func (w *Watch) Observe(object metav1.Object) {
	w.store.observe(keyOf(object), newObject(object))
}

// Write calls write, which creates or updates an object, and records what was written. Until then, nobody is woken by a
// change of the object: the watch may show the write before the API server has answered it.
func (w *Watch) Write(object metav1.Object, write func() error) error {
	return w.store.write(object, write)
}

// ManagedBy returns the sorted names of all objects of a namespace whose annotation managed-by names the resource,
// whether or not a resource refers to them.
func (w *Watch) ManagedBy(namespace, resource string) []string {
	return w.store.managedBy(types.NamespacedName{Namespace: namespace, Name: resource})
}

func (w *Watch) isReferenced(name types.NamespacedName) bool {
	return len(w.referrers(name, client.Limit(1))) > 0
}

// referrers lists the resources that refer to an object. They are only to be read.
func (w *Watch) referrers(name types.NamespacedName, options ...client.ListOption) []v1alpha1.JupicoCredential {
	options = append(options, client.InNamespace(name.Namespace), client.MatchingFields{w.index: name.Name},
		client.UnsafeDisableDeepCopy)
	var resources v1alpha1.JupicoCredentialList
	// The cache answers from memory: there is nothing to cancel, and it fails only when it is stopping.
	_ = w.resources.List(context.Background(), &resources, options...)
	return resources.Items
}

// releaseReferences drops the objects that a resource referred to before it was edited or deleted. Those that somebody
// still refers to stay.
func (w *Watch) releaseReferences(before any) {
	if deleted, isUnknown := before.(toolscache.DeletedFinalStateUnknown); isUnknown {
		before = deleted.Obj
	}
	resource, isResource := before.(*v1alpha1.JupicoCredential)
	if !isResource {
		return
	}
	for _, name := range references[w.index](resource) {
		w.store.release(types.NamespacedName{Namespace: resource.Namespace, Name: name})
	}
}

// wake queues the resources that a change of an object concerns: those that refer to it, and those that its mark names
// or named. A resource to which the change is no news is left out: the initial list after a restart, and the echo of
// its own writes, tell it nothing.
func (w *Watch) wake(name types.NamespacedName, before, now *Object) {
	concerned := w.referrers(name)
	for _, object := range []*Object{before, now} {
		if object == nil || object.ManagedBy == "" {
			continue
		}
		var manager v1alpha1.JupicoCredential
		key := types.NamespacedName{Namespace: name.Namespace, Name: object.ManagedBy}
		if w.resources.Get(context.Background(), key, &manager, client.UnsafeDisableDeepCopy) == nil {
			concerned = append(concerned, manager)
		}
	}
	for i := range concerned {
		if w.isNews(&concerned[i], name.Name, now) {
			w.queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&concerned[i])})
		}
	}
}
