// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// watching is a watched of Secrets whose events are given to it one by one, as the Reflector gives them.
type watching struct {
	*watched
	t         *testing.T
	server    *metadatafake.FakeMetadataClient
	mentioned map[string]bool
	woken     []string
}

func newWatching(t *testing.T, exist ...runtime.Object) *watching {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	server := metadatafake.NewSimpleMetadataClient(scheme, exist...)
	secrets := server.Resource(corev1.SchemeGroupVersion.WithResource("secrets"))
	w := &watching{watched: newWatched(secrets, ""), t: t, server: server, mentioned: map[string]bool{}}
	w.isMentioned = func(name types.NamespacedName) bool { return w.mentioned[name.Name] }
	w.changed = func(name types.NamespacedName, now *glimpse) {
		what := name.Name
		if now == nil {
			what = "no " + what
		}
		w.woken = append(w.woken, what)
	}
	return w
}

// secretOf is the metadata of a Secret.
func secretOf(name, uid string, version int) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID(uid), ResourceVersion: strconv.Itoa(version),
			Annotations: map[string]string{v1alpha1.AnnotationManagedBy: "payments", "more": "that is not kept"},
		},
	}
}

func inShop(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

// relist tells of all Secrets anew.
func (w *watching) relist(secrets ...*metav1.PartialObjectMetadata) {
	w.t.Helper()
	w.beginList()
	var kept []any
	for _, secret := range secrets {
		if w.keeps(secret, true) {
			kept = append(kept, secret)
		}
	}
	if err := w.Replace(kept, "1"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watching) event(kind watch.EventType, secret *metav1.PartialObjectMetadata) {
	w.t.Helper()
	if !w.keeps(secret, kind != watch.Deleted) {
		return
	}
	do := map[watch.EventType]func(any) error{watch.Added: w.Add, watch.Modified: w.Update, watch.Deleted: w.Delete}[kind]
	if err := do(secret); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watching) look(name string) *glimpse {
	w.t.Helper()
	seen, err := w.watched.look(w.t.Context(), inShop(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return seen
}

func (w *watching) wantAsked(times int) {
	w.t.Helper()
	gets := slices.DeleteFunc(slices.Clone(w.server.Actions()), func(action clienttesting.Action) bool {
		return !action.Matches("get", "secrets")
	})
	if len(gets) != times {
		w.t.Errorf("the API server was asked %d times, want %d", len(gets), times)
	}
}

func (w *watching) wantWoken(names ...string) {
	w.t.Helper()
	slices.Sort(w.woken)
	slices.Sort(names)
	if !slices.Equal(w.woken, names) {
		w.t.Errorf("woken for %q, want %q", w.woken, names)
	}
	w.woken = nil
}

func TestOfASecretThatNobodyMentionsOnlyAHashIsKept(t *testing.T) {
	w := newWatching(t)
	w.relist(secretOf("a", "1", 1), secretOf("b", "2", 2))
	w.event(watch.Added, secretOf("c", "3", 3))
	w.event(watch.Modified, secretOf("a", "1", 4))
	w.wantWoken()
	if len(w.known) != 0 || len(w.others) != 3 || w.coming != nil {
		t.Errorf("%d are known, %d others, and a list is under way: %t", len(w.known), len(w.others), w.coming != nil)
	}
	w.event(watch.Deleted, secretOf("b", "2", 5))
	if len(w.others) != 2 {
		t.Errorf("%d others, want 2", len(w.others))
	}
}

func TestWhatIsMentionedIsKnownWithoutAQuestion(t *testing.T) {
	w := newWatching(t)
	w.mentioned["a"], w.mentioned["missing"] = true, true
	w.relist(secretOf("a", "1", 1), secretOf("b", "2", 2))
	w.wantWoken("a")
	want := glimpse{ref: v1alpha1.SourceStatus{UID: "1", ResourceVersion: "1"}, managedBy: "payments"}
	if got := w.look("a"); got == nil || *got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := w.look("missing"); got != nil {
		t.Errorf("got %+v of what is not there", got)
	}
	w.wantAsked(0)

	w.event(watch.Modified, secretOf("a", "1", 3))
	w.event(watch.Deleted, secretOf("a", "1", 4))
	w.event(watch.Added, secretOf("missing", "3", 5))
	w.wantWoken("a", "no a", "missing")
	if w.look("a") != nil || w.look("missing") == nil {
		t.Error("what is known is not what the events told")
	}
}

func TestWhatExistsAndIsMentionedLaterIsAskedAboutOnce(t *testing.T) {
	w := newWatching(t, secretOf("a", "1", 1))
	w.relist(secretOf("a", "1", 1))
	w.mentioned["a"] = true
	for range 2 {
		if got := w.look("a"); got == nil || got.ref.UID != "1" {
			t.Errorf("got %+v", got)
		}
	}
	w.wantAsked(1)
	if len(w.others) != 0 {
		t.Error("it still counts as one that nobody mentions")
	}
}

func TestASourceIsReadAnywayAndSoNotAskedAbout(t *testing.T) {
	w := newWatching(t, secretOf("a", "1", 1))
	w.relist(secretOf("a", "1", 1))
	w.mentioned["a"] = true
	if got := w.peek(inShop("a")); got != nil {
		t.Errorf("got %+v before it was read", got)
	}
	w.saw(secretOf("a", "1", 1))
	if got := w.peek(inShop("a")); got == nil || got.ref.UID != "1" {
		t.Errorf("got %+v after it was read", got)
	}
	w.wantAsked(0)
}

func TestAnEventThatIsBehindDoesNotUndoWhatWasSeen(t *testing.T) {
	w := newWatching(t)
	w.mentioned["a"] = true
	w.relist()
	w.saw(secretOf("a", "2", 10))
	w.event(watch.Added, secretOf("a", "1", 7))
	w.event(watch.Deleted, secretOf("a", "1", 8))
	if got := w.look("a"); got == nil || got.ref != (v1alpha1.SourceStatus{UID: "2", ResourceVersion: "10"}) {
		t.Errorf("got %+v", got)
	}
}

func TestAnAnswerThatComesAfterTheEndBringsNothingBack(t *testing.T) {
	w := newWatching(t)
	w.mentioned["a"] = true
	w.relist()
	w.event(watch.Added, secretOf("a", "1", 10))
	w.event(watch.Deleted, secretOf("a", "1", 11))
	w.wrote(secretOf("a", "1", 10))
	if got := w.saw(secretOf("a", "1", 10)); got != nil || w.look("a") != nil {
		t.Errorf("got %+v of what is no more", got)
	}
	w.wantWoken("a", "no a")
	w.wrote(secretOf("a", "2", 12))
	if got := w.look("a"); got == nil || got.ref.UID != "2" {
		t.Errorf("got %+v of the next one", got)
	}
	w.event(watch.Deleted, secretOf("a", "2", 13))
	w.wantWoken("no a")
	w.relist()
	w.wantWoken() // that it is gone was told
}

func TestASecretIsNewsUntilEachEntryThatReadsItHasReadItAsItIs(t *testing.T) {
	now := glimpseOf(secretOf("source", "1", 6))
	for sentence, tc := range map[string]struct {
		versions []string
		want     bool
	}{
		"nothing was read":              {nil, true},
		"both have read it":             {[]string{"6", "6"}, false},
		"one has read what was before":  {[]string{"5", "6"}, true},
		"the other did":                 {[]string{"6", "5"}, true},
		"one reads it, one another one": {[]string{"", "6"}, false},
	} {
		resource := &v1alpha1.JupicoCredential{}
		for _, version := range tc.versions {
			source := &v1alpha1.SourceStatus{UID: "1", ResourceVersion: version}
			if version == "" {
				source.UID = "2"
			}
			resource.Status.Credentials = append(resource.Status.Credentials, v1alpha1.CredentialStatus{Source: source})
		}
		if got := isNews(resource, "source", now); got != tc.want {
			t.Errorf("%s: it is news: %t", sentence, got)
		}
	}
}

func TestTheEchoOfAWriteIsNewsToOthersAlone(t *testing.T) {
	w := newWatching(t)
	writer, reader, rival := &v1alpha1.JupicoCredential{}, &v1alpha1.JupicoCredential{}, &v1alpha1.JupicoCredential{}
	writer.Name, writer.Spec.Target.Name = "payments", "token"
	reader.Name, reader.Spec.Target.Name = "reader", "other"
	rival.Name, rival.Spec.Target.Name = "rival", "token"
	isNews := func(sentence string, now *glimpse, want bool) {
		t.Helper()
		if got := isNews(writer, "token", now); got != want {
			t.Errorf("%s is news to its writer: %t", sentence, got)
		}
		if !isNews(reader, "token", now) || !isNews(rival, "token", now) {
			t.Errorf("%s is no news to others", sentence)
		}
	}
	w.saw(secretOf("token", "1", 1)) // an event that is faster than the answer to the write
	w.wrote(secretOf("token", "1", 1))
	isNews("the echo of a write", w.saw(secretOf("token", "1", 1)), false)
	isNews("a later change", w.saw(secretOf("token", "1", 2)), true)
	isNews("its end", nil, true)
	isNews("another in its place", w.saw(secretOf("token", "2", 3)), true)
}

func TestANewListIsTakenAsItIsWhateverItsVersions(t *testing.T) {
	w := newWatching(t)
	w.mentioned["a"] = true
	w.relist(secretOf("a", "1", 100))
	w.relist(secretOf("a", "1", 5)) // the cluster was restored
	if got := w.look("a"); got == nil || got.ref.ResourceVersion != "5" {
		t.Errorf("got %+v", got)
	}
}

func TestWhatANewListDoesNotHoldIsNoMore(t *testing.T) {
	w := newWatching(t)
	w.mentioned["a"], w.mentioned["b"] = true, true
	w.relist(secretOf("a", "1", 1), secretOf("b", "2", 2), secretOf("other", "3", 3))
	w.wantWoken("a", "b")
	w.relist(secretOf("b", "2", 2))
	w.wantWoken("b", "no a")
	if w.look("a") != nil || len(w.others) != 0 {
		t.Errorf("a is %+v, and %d others are left", w.look("a"), len(w.others))
	}
}

func TestWhatChangesWhileAListIsToldOfLosesNothingOfTheList(t *testing.T) {
	w := newWatching(t)
	w.mentioned["a"], w.mentioned["b"] = true, true
	tell := w.changed
	w.changed = func(name types.NamespacedName, now *glimpse) {
		clear(w.mentioned) // meanwhile, the watch hears of all, and nobody mentions them any more
		for _, other := range []string{"a", "b"} {
			w.keeps(secretOf(other, other, 2), true)
		}
		w.mention(inShop("d")) // and somebody mentions what is not there
		tell(name, now)
	}
	w.relist(secretOf("a", "a", 1), secretOf("b", "b", 1))
	slices.Sort(w.woken)
	w.wantWoken("a", "b")
}

func TestWhatIsMentionedNoLongerIsLetGoAtItsNextEvent(t *testing.T) {
	w := newWatching(t)
	w.mentioned["a"] = true
	w.relist(secretOf("a", "1", 1))
	delete(w.mentioned, "a")
	w.event(watch.Modified, secretOf("a", "1", 2))
	if len(w.known) != 0 || len(w.others) != 1 {
		t.Errorf("known is %v, and %d others", slices.Collect(maps.Keys(w.known)), len(w.others))
	}
}

func TestAListThatIsNotStreamedKeepsNoMoreThanAStream(t *testing.T) {
	w := newWatching(t, secretOf("a", "1", 1), secretOf("b", "2", 2))
	w.mentioned["b"] = true
	list, err := w.list(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	items := list.(*metav1.PartialObjectMetadataList).Items
	if len(items) != 1 || items[0].Name != "b" || len(w.others) != 1 {
		t.Errorf("it holds %d, and %d others are known", len(items), len(w.others))
	}
}
