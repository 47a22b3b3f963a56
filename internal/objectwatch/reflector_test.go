// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package objectwatch

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
)

func TestAStreamedListHoldsOnlyWhatIsTracked(t *testing.T) {
	s := newTestStore(t)
	s.refer("referenced")
	server := watch.NewFake()
	s.server.PrependWatchReactor("secrets", clienttesting.DefaultWatchReactor(server, nil))
	streaming := true
	events, err := s.watch(t.Context(), metav1.ListOptions{SendInitialEvents: &streaming})
	if err != nil {
		t.Fatal(err)
	}
	end := &metav1.PartialObjectMetadata{}
	end.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	go func() {
		server.Add(secret("referenced", "1", 1))
		server.Add(marked(secret("marked", "2", 2), "payments"))
		server.Add(secret("stranger", "3", 3))
		server.Add(secret("deleted", "4", 4))
		server.Delete(secret("deleted", "4", 5))
		server.Modify(secret("marked", "2", 6)) // which is not to be tracked after all
		server.Action(watch.Bookmark, end)
		server.Add(secret("late", "5", 7))
		server.Stop()
	}()
	var passed []string
	for event := range events.ResultChan() {
		passed = append(passed, string(event.Type)+" "+event.Object.(*metav1.PartialObjectMetadata).Name)
	}
	want := []string{
		"ADDED referenced", "ADDED marked", "DELETED deleted", "MODIFIED marked", "BOOKMARK ", "ADDED late",
	}
	if !slices.Equal(passed, want) {
		t.Errorf("the Reflector gets %q, want %q", passed, want)
	}
	if err := s.Replace([]any{secret("referenced", "1", 1), secret("marked", "2", 6)}, "6"); err != nil {
		t.Fatal(err)
	}
	s.event(watch.Added, secret("late", "5", 7))
	s.wantManaged()
	s.wantSizes(1, 3) // marked, stranger and late
}

// pagedServer is an API server that cannot stream a list, and that holds the Secrets "0", "1" and so on. Its continue
// tokens expire until a list was begun a second time.
type pagedServer struct {
	count int
	lists atomic.Int32
}

func (p *pagedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch {
	case query.Has("sendInitialEvents"):
		p.answer(w, http.StatusUnprocessableEntity, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Secret").
			GroupKind(), "", nil).Status())
		return
	case query.Has("watch"):
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	case !query.Has("continue"):
		p.lists.Add(1)
	case p.lists.Load() == 1:
		p.answer(w, http.StatusGone, apierrors.NewResourceExpired("the continue token has expired").Status())
		return
	}
	first, _ := strconv.Atoi(query.Get("continue"))
	limit, _ := strconv.Atoi(query.Get("limit"))
	list := &metav1.PartialObjectMetadataList{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"},
		ListMeta: metav1.ListMeta{ResourceVersion: "9"},
	}
	for i := first; i < p.count; i++ {
		if limit > 0 && len(list.Items) == limit {
			list.Continue = strconv.Itoa(i)
			break
		}
		list.Items = append(list.Items, *secret(strconv.Itoa(i), strconv.Itoa(i), 1))
	}
	p.answer(w, http.StatusOK, list)
}

func (*pagedServer) answer(w http.ResponseWriter, code int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object)
}

func TestAListWhoseContinueTokenExpiresIsReadAgainFromTheStart(t *testing.T) {
	api := &pagedServer{count: 2*pageSize + 10}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	client, err := metadata.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	last := inShop(strconv.Itoa(api.count - 1))
	s := newStore(client.Resource(corev1.SchemeGroupVersion.WithResource("secrets")), "",
		func(name types.NamespacedName) bool { return name == last })
	s.changed = func(types.NamespacedName, *Object, *Object) {}
	go s.run(t.Context())
	<-s.synced
	if s.cached(last) == nil {
		t.Error("the last Secret of the list is not known")
	}
	if lists := api.lists.Load(); lists != 2 {
		t.Errorf("the list was begun %d times, want 2", lists)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tracked) != 1 || len(s.untracked) != api.count-1 {
		t.Errorf("%d Secrets are tracked and %d are not, want 1 and %d", len(s.tracked), len(s.untracked), api.count-1)
	}
}
