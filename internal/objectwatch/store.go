// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package objectwatch

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pageSize is how many objects one page of a list has.
const pageSize = 500

// store holds what is known of the objects of one kind, in one namespace or in all of them. A Reflector fills it.
type store struct {
	objects   metadata.Getter
	namespace string // empty: all
	// isReferenced reports whether a resource refers to an object. It is called under the lock, so that an object is
	// never tracked after its last reference has gone.
	isReferenced func(name types.NamespacedName) bool
	// changed is called without the lock. Nil stands for an object that does not exist or is not tracked.
	changed func(name types.NamespacedName, before, now *Object)
	report  func(error)   // gets the result of each list and watch
	synced  chan struct{} // closed after the first list
	once    sync.Once
	seed    maphash.Seed

	mu sync.Mutex
	// tracked holds the objects that a resource refers to, or that are marked. A deleted object stays while a resource
	// refers to it, so that the late answer to an earlier read does not bring it back.
	tracked map[types.NamespacedName]*Object
	// managed holds the names of all tracked objects that a resource manages.
	managed map[types.NamespacedName][]string
	// untracked holds hashes of the names of all other objects. While a list is read, relisted collects those of the
	// list. It is nil at other times.
	untracked, relisted sets.Set[uint64]
	// writing has an entry for each object that this process is writing: what was known before each change since then.
	// These changes are told when the write ends.
	writing map[types.NamespacedName][]*Object
}

func newStore(objects metadata.Getter, namespace string, isReferenced func(types.NamespacedName) bool) *store {
	return &store{
		objects:      objects,
		namespace:    namespace,
		isReferenced: isReferenced,
		report:       func(error) {},
		synced:       make(chan struct{}),
		seed:         maphash.MakeSeed(),
		tracked:      map[types.NamespacedName]*Object{},
		managed:      map[types.NamespacedName][]string{},
		untracked:    sets.Set[uint64]{},
		writing:      map[types.NamespacedName][]*Object{},
	}
}

func (s *store) hash(name types.NamespacedName) uint64 { return maphash.Comparable(s.seed, name) }

func (s *store) cached(name types.NamespacedName) *Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tracked[name].ifExists()
}

// exists reports whether the watch shows an object, be it tracked or not.
func (s *store) exists(name types.NamespacedName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.tracked[name]; known != nil {
		return known.ifExists() != nil
	}
	return s.untracked.Has(s.hash(name))
}

func (s *store) get(ctx context.Context, name types.NamespacedName) (*Object, error) {
	s.mu.Lock()
	known := s.tracked[name]
	isUntracked := s.untracked.Has(s.hash(name))
	s.mu.Unlock()
	if known != nil || !isUntracked {
		return known.ifExists(), nil
	}
	object, err := s.objects.Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return s.observe(name, newObject(object)), nil
}

func (s *store) managedBy(resource types.NamespacedName) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.managed[resource]))
}

// observe records an object that was read or written, and returns what is known of it then. If nobody refers to the
// object, the watch alone says whether it exists: what was read may have been deleted since.
func (s *store) observe(name types.NamespacedName, observed *Object) *Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.tracked[name]
	if before.isAtLeast(observed) {
		return before.ifExists()
	}
	if before != nil || s.isReferenced(name) {
		s.set(name, observed)
	}
	return observed
}

// release drops an object that nobody refers to any more, unless it is marked.
func (s *store) release(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.tracked[name]; known != nil {
		s.record(name, known)
	}
}

// run fills the store until the context ends. A Reflector handles everything that can happen to a watch.
func (s *store) run(ctx context.Context) {
	listWatch := &toolscache.ListWatch{ListWithContextFunc: s.list, WatchFuncWithContext: s.watch}
	toolscache.NewReflector(Reporting(listWatch, s.report), &metav1.PartialObjectMetadata{}, s, 0).RunWithContext(ctx)
}

// watch starts a watch. If the watch streams a list first, the Reflector collects that list, and so it gets only those
// objects of it that are to be tracked. Everything after the list goes through the store one by one.
func (s *store) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	isListing := ptr.Deref(options.SendInitialEvents, false)
	if isListing {
		s.beginList()
	}
	events, err := s.objects.Namespace(s.namespace).Watch(ctx, options)
	if err != nil {
		return nil, err
	}
	return watch.Filter(events, func(event watch.Event) (watch.Event, bool) {
		object, isObject := event.Object.(*metav1.PartialObjectMetadata)
		if !isListing || !isObject {
			return event, true
		}
		switch event.Type {
		case watch.Added:
			return event, s.admit(object)
		case watch.Deleted:
			s.forget(object)
		case watch.Bookmark:
			isListing = object.Annotations[metav1.InitialEventsAnnotationKey] != "true"
		default: // a change of what was listed before may be the end of its mark
		}
		return event, true
	}), nil
}

// list is for API servers that cannot stream. It reads all pages by itself: on its own, the Reflector would take a page
// for the whole list after a continue token has expired. After an error, it lists again from the start.
func (s *store) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	s.beginList()
	// With a resourceVersion, the API server would answer from its cache, in one piece.
	options.ResourceVersion, options.ResourceVersionMatch, options.Limit = "", "", pageSize
	list := &metav1.PartialObjectMetadataList{}
	for {
		page, err := s.objects.Namespace(s.namespace).List(ctx, options)
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			if s.admit(&page.Items[i]) {
				list.Items = append(list.Items, page.Items[i])
			}
		}
		if page.Continue == "" {
			list.ResourceVersion = page.ResourceVersion
			return list, nil
		}
		options.Continue = page.Continue
	}
}

func (s *store) beginList() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relisted = sets.Set[uint64]{}
}

// admit reports whether a list has to hold an object. If not, it keeps the hash, and the object can be dropped.
func (s *store) admit(object metav1.Object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := keyOf(object)
	if newObject(object).ManagedBy != "" || s.isReferenced(name) {
		return true
	}
	hash := s.hash(name)
	s.untracked.Insert(hash)
	if s.relisted != nil { // a list that failed may still have an event on its way
		s.relisted.Insert(hash)
	}
	return false
}

// forget drops the hash of an object that was deleted while the list was read.
func (s *store) forget(object metav1.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := s.hash(keyOf(object))
	s.untracked.Delete(hash)
	s.relisted.Delete(hash)
}

// The Reflector calls the following methods, which implement cache.ReflectorStore.

func (s *store) Add(object any) error    { return s.update(object, false) }
func (s *store) Update(object any) error { return s.update(object, false) }
func (s *store) Delete(object any) error { return s.update(object, true) }
func (s *store) Resync() error           { return nil }

// Replace puts a list in place of everything that was known. The list is taken as it is, whatever was read meanwhile: a
// cluster that was restored from a backup counts from an earlier version.
func (s *store) Replace(objects []any, _ string) error {
	s.mu.Lock()
	before := s.tracked
	s.tracked, s.managed = map[types.NamespacedName]*Object{}, map[types.NamespacedName][]string{}
	s.untracked, s.relisted = s.relisted, nil
	for _, each := range objects {
		object := each.(*metav1.PartialObjectMetadata) // the Reflector passes on nothing else
		s.record(keyOf(object), newObject(object))
	}
	now := maps.Clone(s.tracked)
	s.mu.Unlock()
	for name, object := range now {
		s.tell(name, before[name], object)
	}
	for name, object := range before {
		if now[name] == nil && !object.isDeleted {
			s.tell(name, object, nil)
		}
	}
	s.once.Do(func() { close(s.synced) })
	return nil
}

// update records what the watch shows of an object, or its end, unless something newer was read.
func (s *store) update(object any, isDeleted bool) error {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	name, latest := keyOf(accessor), newObject(accessor)
	if isDeleted {
		latest = &Object{ResourceVersion: latest.ResourceVersion, isDeleted: true}
	}
	s.mu.Lock()
	before := s.tracked[name]
	if before.isAtLeast(latest) {
		latest = before
	}
	s.record(name, latest)
	now := s.tracked[name]
	s.mu.Unlock()
	s.tell(name, before, now)
	return nil
}

// tell calls changed, or leaves that to endWrite.
func (s *store) tell(name types.NamespacedName, before, now *Object) {
	s.mu.Lock()
	if latest := s.tracked[name].ifExists(); latest != nil && now != nil {
		now = latest // which may be known as an own write since
	}
	untold, isWriting := s.writing[name]
	if isWriting {
		s.writing[name] = append(untold, before)
	}
	s.mu.Unlock()
	if !isWriting {
		s.changed(name, before.ifExists(), now.ifExists())
	}
}

// write calls the function, records what it wrote, and then tells what changed meanwhile.
func (s *store) write(object metav1.Object, write func() error) error {
	name := keyOf(object)
	s.mu.Lock()
	if _, isWriting := s.writing[name]; !isWriting { // by another resource
		s.writing[name] = nil
	}
	s.mu.Unlock()
	defer s.endWrite(name)
	if err := write(); err != nil {
		return err
	}
	written := newObject(object)
	written.OwnWrite = true
	s.observe(name, written)
	return nil
}

func (s *store) endWrite(name types.NamespacedName) {
	s.mu.Lock()
	untold, now := s.writing[name], s.tracked[name]
	delete(s.writing, name)
	s.mu.Unlock()
	for _, before := range untold {
		s.changed(name, before.ifExists(), now.ifExists())
	}
}

// record tracks an object that a resource refers to, or that is marked. Of any other that exists, it keeps the hash.
func (s *store) record(name types.NamespacedName, latest *Object) {
	if latest.ManagedBy != "" || s.isReferenced(name) {
		s.set(name, latest)
		return
	}
	s.set(name, nil)
	if !latest.isDeleted {
		s.untracked.Insert(s.hash(name))
	}
}

// set changes what is tracked, and with it what is managed. Nil stands for an object that is not tracked.
func (s *store) set(name types.NamespacedName, now *Object) {
	if before := s.tracked[name]; before != nil && before.ManagedBy != "" {
		manager := types.NamespacedName{Namespace: name.Namespace, Name: before.ManagedBy}
		isName := func(each string) bool { return each == name.Name }
		s.managed[manager] = slices.DeleteFunc(s.managed[manager], isName)
		if len(s.managed[manager]) == 0 {
			delete(s.managed, manager)
		}
	}
	delete(s.tracked, name)
	s.untracked.Delete(s.hash(name))
	if now == nil {
		return
	}
	s.tracked[name] = now
	if now.ManagedBy != "" {
		manager := types.NamespacedName{Namespace: name.Namespace, Name: now.ManagedBy}
		s.managed[manager] = append(s.managed[manager], name.Name)
	}
}
