// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// pageSize is how many objects a list returns at once, where the API server cannot stream them.
const pageSize = 500

// glimpse is what is known of a Secret or a ConfigMap without its values: what tells a change, and whose it is.
type glimpse struct {
	ref       v1alpha1.SourceStatus
	managedBy string // the value of AnnotationManagedBy
	isOurs    bool   // this process wrote it so
	isGone    bool   // the object was deleted, at the resourceVersion of ref
}

// ifThere is nil when the object is not there.
func (g *glimpse) ifThere() *glimpse {
	if g == nil || g.isGone {
		return nil
	}
	return g
}

func glimpseOf(object metav1.Object) *glimpse {
	return &glimpse{
		ref:       v1alpha1.SourceStatus{UID: object.GetUID(), ResourceVersion: object.GetResourceVersion()},
		managedBy: object.GetAnnotations()[v1alpha1.AnnotationManagedBy],
	}
}

// watched knows the objects of one kind that resources mention. Of all others it knows only that they exist, in a few
// bytes each: a cluster may have many. An informer would hold the metadata of each, at the least while it starts.
//
// It is the store of a Reflector, which sees to everything that can happen to a watch.
type watched struct {
	resource  metadata.Getter
	namespace string // empty: all
	// isMentioned reports whether a resource mentions an object.
	isMentioned func(name types.NamespacedName) bool
	// changed is told of objects that are there, and of those that are no more, whose glimpse is nil.
	changed func(name types.NamespacedName, now *glimpse)
	hasList chan struct{} // closed after the first list
	once    sync.Once
	seed    maphash.Seed

	mu sync.Mutex
	// known holds what is mentioned: nil where it was never seen.
	known map[types.NamespacedName]*glimpse
	// others holds hashes of the names of what exists and is not mentioned, and coming what a list that is under way has
	// told of them so far. It is nil while none is.
	others, coming map[uint64]struct{}
}

func newWatched(resource metadata.Getter, namespace string) *watched {
	return &watched{
		resource: resource, namespace: namespace,
		hasList: make(chan struct{}), seed: maphash.MakeSeed(),
		known: map[types.NamespacedName]*glimpse{}, others: map[uint64]struct{}{},
	}
}

// run watches until the context ends.
func (w *watched) run(ctx context.Context) {
	listWatch := &toolscache.ListWatch{ListWithContextFunc: w.list, WatchFuncWithContext: w.watch}
	toolscache.NewReflectorWithOptions(listWatch, &metav1.PartialObjectMetadata{}, w, toolscache.ReflectorOptions{}).
		RunWithContext(ctx)
}

func (w *watched) requests() metadata.ResourceInterface {
	if w.namespace == "" {
		return w.resource
	}
	return w.resource.Namespace(w.namespace)
}

// watch passes on what is mentioned.
func (w *watched) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if options.SendInitialEvents != nil && *options.SendInitialEvents {
		w.beginList()
	}
	events, err := w.requests().Watch(ctx, options)
	if err != nil {
		return nil, err
	}
	return watch.Filter(events, func(e watch.Event) (watch.Event, bool) {
		object, isObject := e.Object.(*metav1.PartialObjectMetadata)
		if !isObject || e.Type == watch.Bookmark || e.Type == watch.Error {
			return e, true
		}
		return e, w.keeps(object, e.Type != watch.Deleted)
	}), nil
}

// list is for API servers that cannot stream a list. It comes in pages, and of each only that is kept which is
// mentioned.
func (w *watched) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	if options.Continue == "" {
		w.beginList()
		options.ResourceVersion, options.ResourceVersionMatch = "", "" // a cached list would come in one piece
		options.Limit = pageSize
	}
	list, err := w.requests().List(ctx, options)
	if err != nil {
		return nil, err
	}
	kept := list.Items[:0]
	for i := range list.Items {
		if w.keeps(&list.Items[i], true) {
			kept = append(kept, list.Items[i])
		}
	}
	clear(list.Items[len(kept):])
	list.Items = kept
	return list, nil
}

func (w *watched) beginList() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.coming = map[uint64]struct{}{}
}

// keeps reports whether an object is mentioned, and takes note of it when it is not.
func (w *watched) keeps(object metav1.Object, exists bool) bool {
	name := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
	isMentioned := w.isMentioned(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	hash := w.hash(name)
	if isMentioned {
		delete(w.others, hash)
		delete(w.coming, hash)
		return true
	}
	delete(w.known, name) // no longer
	if !exists {
		delete(w.others, hash)
		delete(w.coming, hash)
		return false
	}
	w.others[hash] = struct{}{}
	if w.coming != nil {
		w.coming[hash] = struct{}{}
	}
	return false
}

func (w *watched) hash(name types.NamespacedName) uint64 { return maphash.Comparable(w.seed, name) }

// peek returns what is known of an object without asking: nil when it is not there, or when it was not mentioned until
// now. From now on its changes are known.
func (w *watched) peek(name types.NamespacedName) *glimpse {
	now, _ := w.mention(name)
	return now
}

// look returns what is known of an object, nil when it is not there. The API server is asked only about one that is
// there, and was not mentioned until now.
func (w *watched) look(ctx context.Context, name types.NamespacedName) (*glimpse, error) {
	now, mustAsk := w.mention(name)
	if !mustAsk {
		return now, nil
	}
	object, err := w.resource.Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // not there is an answer
	}
	if err != nil {
		w.forget(name)
		return nil, err
	}
	return w.saw(object), nil
}

func (w *watched) mention(name types.NamespacedName) (now *glimpse, mustAsk bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, isKnown := w.known[name]
	if isKnown {
		return now.ifThere(), false
	}
	w.known[name] = nil
	hash := w.hash(name)
	_, exists := w.others[hash]
	delete(w.others, hash)
	return nil, exists
}

// forget lets an object be asked about the next time.
func (w *watched) forget(name types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.known, name)
	w.others[w.hash(name)] = struct{}{}
}

// saw takes note of an object that was read or told of, unless something newer is known, and returns what is: nil when
// it was deleted meanwhile.
func (w *watched) saw(object metav1.Object) *glimpse { return w.note(object, glimpseOf(object)) }

// wrote takes note of an object that this process wrote.
func (w *watched) wrote(object metav1.Object) {
	seen := glimpseOf(object)
	seen.isOurs = true
	w.note(object, seen)
}

func (w *watched) note(object metav1.Object, seen *glimpse) *glimpse {
	name := types.NamespacedName{Namespace: intern(object.GetNamespace()), Name: object.GetName()}
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := w.known[name]; before != nil {
		order, err := resourceversion.CompareResourceVersion(seen.ref.ResourceVersion, before.ref.ResourceVersion)
		isSame := order == 0 && (before.isGone || !seen.isOurs)
		if err == nil && (order < 0 || isSame) {
			return before.ifThere()
		}
	}
	w.known[name] = seen
	return seen.ifThere()
}

// Add implements cache.ReflectorStore.
func (w *watched) Add(object any) error { return w.Update(object) }

// Update implements cache.ReflectorStore.
func (w *watched) Update(object any) error {
	accessor, err := metadataOf(object)
	if err != nil {
		return err
	}
	// What we saw ourselves may be news to other resources.
	w.changed(types.NamespacedName{Namespace: accessor.Namespace, Name: accessor.Name}, w.saw(accessor))
	return nil
}

// Delete implements cache.ReflectorStore.
func (w *watched) Delete(object any) error {
	accessor, err := metadataOf(object)
	if err != nil {
		return err
	}
	gone := glimpseOf(accessor) // the answer to a read or a write of before may yet come
	gone.isGone = true
	name := types.NamespacedName{Namespace: intern(accessor.Namespace), Name: accessor.Name}
	w.mu.Lock()
	if before := w.known[name].ifThere(); before != nil && before.ref.UID != accessor.UID {
		w.mu.Unlock()
		return nil // another has taken its place, which we saw ourselves
	}
	w.known[name] = gone
	w.mu.Unlock()
	w.changed(name, nil)
	return nil
}

// Replace implements cache.ReflectorStore: what a list tells is taken as it is, since a cluster that was restored
// counts from an earlier version, and what is mentioned and not in it is no more.
func (w *watched) Replace(objects []any, _ string) error {
	listed := map[types.NamespacedName]*glimpse{}
	for _, object := range objects {
		accessor, err := metadataOf(object)
		if err != nil {
			return err
		}
		name := types.NamespacedName{Namespace: intern(accessor.Namespace), Name: accessor.Name}
		listed[name] = glimpseOf(accessor)
	}
	gone := w.endList(listed)
	for name, now := range listed {
		w.changed(name, now)
	}
	for _, name := range gone {
		w.changed(name, nil)
	}
	w.once.Do(func() { close(w.hasList) })
	return nil
}

// endList puts a list in place of what was known, and returns what was there and is not in it. What is mentioned and
// not there is asked for again when somebody looks for it.
func (w *watched) endList(listed map[types.NamespacedName]*glimpse) []types.NamespacedName {
	w.mu.Lock()
	defer w.mu.Unlock()
	var gone []types.NamespacedName
	for name, now := range w.known {
		if now.ifThere() != nil && listed[name] == nil {
			gone = append(gone, name)
		}
	}
	w.known, w.others, w.coming = maps.Clone(listed), w.coming, nil // who looks or hears of more changes what is known
	return gone
}

// Resync implements cache.ReflectorStore.
func (w *watched) Resync() error { return nil }

func metadataOf(object any) (*metav1.PartialObjectMetadata, error) {
	accessor, isMetadata := object.(*metav1.PartialObjectMetadata)
	if !isMetadata {
		return nil, fmt.Errorf("expected metadata, got %T", object)
	}
	return accessor, nil
}
