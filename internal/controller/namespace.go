// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/objectwatch"
)

// namespace is one that the operator works in, or all of them. Each has its own cache and its own controller, so that
// one that the operator has no rights in keeps no other one waiting. Its watches try again until they succeed.
type namespace struct {
	cache.Cache
	name string // empty: all
	// resources reads the JupicoCredentials. It never waits for the cache to be filled.
	resources client.Reader
	isSynced  func() bool
	live      client.Reader
	log       logr.Logger

	mu sync.Mutex
	// watches holds the state of each watch that was tried, by the kind of object.
	watches map[string]watchState
	// undecodable are the resources that the last list left out.
	undecodable sets.Set[types.NamespacedName]
}

// watchState tells whether a watch has ever worked, and why it does not work now.
type watchState struct {
	hasWorked bool
	problem   error
}

const resourcesKind = "jupicocredentials"

func newNamespace(ctx context.Context, mgr ctrl.Manager, name string) (*namespace, error) {
	n := &namespace{
		name: name, live: mgr.GetAPIReader(), watches: map[string]watchState{},
		undecodable: sets.Set[types.NamespacedName]{},
		log:         mgr.GetLogger().WithName("namespace").WithValues("namespace", name),
	}
	options := cacheOptions(name)
	options.HTTPClient, options.Scheme, options.Mapper = mgr.GetHTTPClient(), mgr.GetScheme(), mgr.GetRESTMapper()
	options.NewInformer = func(
		listWatch toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers,
	) toolscache.SharedIndexInformer {
		decodable := n.leaveOutUndecodable(toolscache.ToListerWatcherWithContext(listWatch))
		reporting := objectwatch.Reporting(decodable, n.report(resourcesKind))
		return toolscache.NewSharedIndexInformer(reporting, object, resync, indexers)
	}
	var err error
	if n.Cache, err = cache.New(mgr.GetConfig(), options); err != nil {
		return nil, err
	}
	if err := objectwatch.RegisterIndexes(ctx, n.Cache); err != nil {
		return nil, err
	}
	informer, err := n.GetInformer(ctx, &v1alpha1.JupicoCredential{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, err
	}
	n.isSynced = informer.HasSynced
	n.resources = syncedReader{n.Cache, n.isSynced}
	return n, mgr.Add(n)
}

// label makes a name that no other namespace has.
func (n *namespace) label(name string) string { return strings.TrimSuffix(name+"-"+n.name, "-") }

// NeedLeaderElection implements manager.LeaderElectionRunnable. A replica that stands by keeps its cache filled.
func (n *namespace) NeedLeaderElection() bool { return false }

// syncedReader reads from a cache once it has been filled. The cache itself would wait for that, perhaps for ever.
type syncedReader struct {
	client.Reader
	isSynced func() bool
}

var errNotSynced = errors.New("the cache has not been filled yet")

// Get implements client.Reader.
func (r syncedReader) Get(
	ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption,
) error {
	if !r.isSynced() {
		return errNotSynced
	}
	return r.Reader.Get(ctx, key, object, options...)
}

// List implements client.Reader.
func (r syncedReader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if !r.isSynced() {
		return errNotSynced
	}
	return r.Reader.List(ctx, list, options...)
}

// report returns a function that keeps the state of a watch, and logs when it changes.
func (n *namespace) report(kind string) func(error) {
	return func(problem error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		before := n.watches[kind]
		n.watches[kind] = watchState{hasWorked: before.hasWorked || problem == nil, problem: problem}
		switch {
		case problem != nil && before.problem == nil:
			n.log.Error(problem, "Could not watch, tries again until it can", "kind", kind)
		case problem == nil && before.problem != nil:
			n.log.Info("Watched again", "kind", kind)
		}
	}
}

// problem says why changes in the namespace are not seen now. It is empty when they are.
func (n *namespace) problem() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for kind, state := range n.watches {
		if state.problem != nil {
			return fmt.Sprintf("%s cannot be watched (%s), the operator tries again", kind, readProblem(state.problem))
		}
	}
	if !n.isSynced() {
		return errNotSynced.Error()
	}
	return ""
}

// isReady reports whether the namespace could ever be watched. A problem since then is none of this process.
func (n *namespace) isReady() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, state := range n.watches {
		if !state.hasWorked {
			return false
		}
	}
	return n.isSynced()
}

// isWorking reports whether the controller of the namespace has begun, and sees its resources.
func (n *namespace) isWorking() bool {
	if !n.isReady() {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.watches[resourcesKind].problem == nil
}

// leaveOutUndecodable returns a ListWatch whose lists leave out what cannot be decoded, and tell its name. Else one
// such resource would keep all others from being seen. A watch that meets one ends, and is followed by a list.
func (n *namespace) leaveOutUndecodable(listWatch toolscache.ListerWatcherWithContext) *toolscache.ListWatch {
	return &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			if options.Continue == "" {
				n.forgetUndecodable()
			}
			list, err := listWatch.ListWithContext(ctx, options)
			var noAnswer *url.Error
			if err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown || errors.As(err, &noAnswer) {
				return list, err
			}
			return n.listDecodable(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			if ptr.Deref(options.SendInitialEvents, false) {
				n.forgetUndecodable()
			}
			return listWatch.WatchWithContext(ctx, options)
		},
	}
}

func (n *namespace) forgetUndecodable() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.undecodable)
}

// listDecodable repeats a list, and decodes each resource by itself.
func (n *namespace) listDecodable(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	encoded := &unstructured.UnstructuredList{}
	encoded.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind + "List"))
	if err := n.live.List(ctx, encoded, &client.ListOptions{
		Namespace: n.name, Limit: options.Limit, Continue: options.Continue, Raw: &options,
	}); err != nil {
		return nil, err
	}
	list := &v1alpha1.JupicoCredentialList{}
	list.ResourceVersion, list.Continue = encoded.GetResourceVersion(), encoded.GetContinue()
	for i := range encoded.Items {
		item := &encoded.Items[i]
		var resource v1alpha1.JupicoCredential
		text, err := item.MarshalJSON()
		if err = errors.Join(err, json.Unmarshal(text, &resource)); err == nil {
			list.Items = append(list.Items, resource)
			continue
		}
		name := keyOf(item.GetNamespace(), item.GetName())
		n.log.Error(err, "Left out a resource that cannot be decoded: correct it, or delete it", "JupicoCredential", name)
		n.mu.Lock()
		n.undecodable.Insert(name)
		n.mu.Unlock()
	}
	return list, nil
}

// leftOut lists the resources that cannot be decoded. One that has been corrected since is seen by the watch.
func (n *namespace) leftOut() []types.NamespacedName {
	n.mu.Lock()
	names := n.undecodable.UnsortedList()
	n.mu.Unlock()
	return slices.DeleteFunc(names, func(name types.NamespacedName) bool {
		return n.resources.Get(context.Background(), name, &v1alpha1.JupicoCredential{}) == nil
	})
}
