// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package objectwatch

import (
	"errors"
	"fmt"
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

// testStore is a store of Secrets whose events the test gives to it one by one, as the Reflector would.
type testStore struct {
	*store
	t          *testing.T
	server     *metadatafake.FakeMetadataClient
	referenced map[string]bool
	// changes are those that resources would be woken for: "name: before -> now", each with its manager.
	changes []string
}

func newTestStore(t *testing.T, existing ...runtime.Object) *testStore {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	server := metadatafake.NewSimpleMetadataClient(scheme, existing...)
	s := &testStore{t: t, server: server, referenced: map[string]bool{}}
	s.store = newStore(server.Resource(corev1.SchemeGroupVersion.WithResource("secrets")), "",
		func(name types.NamespacedName) bool { return s.referenced[name.Name] })
	s.changed = func(name types.NamespacedName, before, now *Object) {
		if before != nil || now != nil {
			s.changes = append(s.changes, fmt.Sprintf("%s: %s -> %s", name.Name, describe(before), describe(now)))
		}
	}
	return s
}

func describe(object *Object) string {
	switch {
	case object == nil:
		return "nothing"
	case object.ManagedBy == "":
		return "unmarked"
	default:
		return "of " + object.ManagedBy
	}
}

// secret is the metadata of a Secret without a mark.
func secret(name, uid string, version int) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID(uid), ResourceVersion: strconv.Itoa(version),
		},
	}
}

func marked(secret *metav1.PartialObjectMetadata, resource string) *metav1.PartialObjectMetadata {
	secret.Annotations = map[string]string{v1alpha1.AnnotationManagedBy: resource, "more": "that is not kept"}
	return secret
}

func inShop(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

// refer makes resources refer to Secrets.
func (s *testStore) refer(names ...string) {
	for _, name := range names {
		s.referenced[name] = true
	}
}

// unrefer takes away the last reference to a Secret.
func (s *testStore) unrefer(name string) {
	delete(s.referenced, name)
	s.release(inShop(name))
}

// relist shows a list of all Secrets.
func (s *testStore) relist(secrets ...*metav1.PartialObjectMetadata) {
	s.t.Helper()
	s.beginList()
	var listed []any
	for _, secret := range secrets {
		if s.admit(secret) {
			listed = append(listed, secret)
		}
	}
	if err := s.Replace(listed, "1"); err != nil {
		s.t.Fatal(err)
	}
}

// event shows a change of a Secret.
func (s *testStore) event(kind watch.EventType, secret *metav1.PartialObjectMetadata) {
	s.t.Helper()
	handlers := map[watch.EventType]func(any) error{
		watch.Added: s.Add, watch.Modified: s.Update, watch.Deleted: s.Delete,
	}
	if err := handlers[kind](secret); err != nil {
		s.t.Fatal(err)
	}
}

func (s *testStore) read(secret *metav1.PartialObjectMetadata) *Object {
	return s.observe(keyOf(secret), newObject(secret))
}

func (s *testStore) write(secret *metav1.PartialObjectMetadata) {
	s.t.Helper()
	if err := s.store.write(secret, func() error { return nil }); err != nil {
		s.t.Fatal(err)
	}
}

func (s *testStore) get(name string) *Object {
	s.t.Helper()
	known, err := s.store.get(s.t.Context(), inShop(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return known
}

func (s *testStore) wantKnown(name string, want *Object) {
	s.t.Helper()
	got := s.get(name)
	if (got == nil) != (want == nil) || got != nil && *got != *want {
		s.t.Errorf("of %s, %+v is known, want %+v", name, got, want)
	}
}

func (s *testStore) wantManaged(names ...string) {
	s.t.Helper()
	if got := s.managedBy(inShop("payments")); !slices.Equal(got, names) {
		s.t.Errorf("payments manages %q, want %q", got, names)
	}
}

func (s *testStore) wantSizes(tracked, untracked int) {
	s.t.Helper()
	if len(s.tracked) != tracked || len(s.untracked) != untracked {
		s.t.Errorf("%d objects are tracked and %d are not, want %d and %d", len(s.tracked), len(s.untracked),
			tracked, untracked)
	}
}

// wantChanges compares with the changes since it was last called.
func (s *testStore) wantChanges(changes ...string) {
	s.t.Helper()
	slices.Sort(s.changes)
	if !slices.Equal(s.changes, changes) {
		s.t.Errorf("resources are woken for %q, want %q", s.changes, changes)
	}
	s.changes = nil
}

func (s *testStore) wantGets(count int) {
	s.t.Helper()
	gets := slices.DeleteFunc(slices.Clone(s.server.Actions()), func(action clienttesting.Action) bool {
		return !action.Matches("get", "secrets")
	})
	if len(gets) != count {
		s.t.Errorf("the API server was asked %d times, want %d", len(gets), count)
	}
}

func TestOnlyAHashIsKeptOfASecretThatNobodyRefersTo(t *testing.T) {
	s := newTestStore(t)
	s.relist(secret("a", "1", 1), secret("b", "2", 2))
	s.event(watch.Added, secret("c", "3", 3))
	s.event(watch.Modified, secret("a", "1", 4))
	s.wantChanges()
	s.wantSizes(0, 3)
	if s.relisted != nil {
		t.Error("the hashes of the list are held twice")
	}
	s.event(watch.Deleted, secret("b", "2", 5))
	s.wantSizes(0, 2)
}

func TestAReferencedSecretIsKnownWithoutAskingTheAPIServer(t *testing.T) {
	s := newTestStore(t)
	s.refer("a", "missing")
	s.relist(secret("a", "1", 1), secret("b", "2", 2))
	s.wantChanges("a: nothing -> unmarked")
	s.wantKnown("a", &Object{UID: "1", ResourceVersion: "1"})
	s.wantKnown("missing", nil)

	s.event(watch.Modified, secret("a", "1", 3))
	s.wantKnown("a", &Object{UID: "1", ResourceVersion: "3"})
	s.event(watch.Deleted, secret("a", "1", 4))
	s.event(watch.Added, secret("missing", "3", 5))
	s.wantChanges("a: unmarked -> nothing", "a: unmarked -> unmarked", "missing: nothing -> unmarked")
	s.wantKnown("a", nil)
	s.wantKnown("missing", &Object{UID: "3", ResourceVersion: "5"})
	s.wantGets(0)
}

func TestASecretThatIsReferencedLaterIsAskedAboutOnce(t *testing.T) {
	s := newTestStore(t, secret("a", "1", 1))
	s.relist(secret("a", "1", 1))
	s.refer("a")
	for range 2 {
		s.wantKnown("a", &Object{UID: "1", ResourceVersion: "1"})
	}
	s.wantGets(1)
	s.wantSizes(1, 0)
}

func TestASecretIsAskedAboutAgainAfterTheAPIServerFailed(t *testing.T) {
	s := newTestStore(t, secret("a", "1", 1))
	s.relist(secret("a", "1", 1))
	s.refer("a")
	isDown := true
	s.server.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return isDown, nil, errors.New("down")
	})
	if got, err := s.store.get(t.Context(), inShop("a")); err == nil {
		t.Errorf("got %+v, want an error", got)
	}
	isDown = false
	s.wantKnown("a", &Object{UID: "1", ResourceVersion: "1"})
}

func TestASourceThatIsReadAnywayIsNotAskedAbout(t *testing.T) {
	s := newTestStore(t, secret("a", "1", 1))
	s.relist(secret("a", "1", 1))
	s.refer("a")
	if got := s.cached(inShop("a")); got != nil {
		t.Errorf("got %+v before it was read", got)
	}
	s.read(secret("a", "1", 1))
	if got := s.cached(inShop("a")); got == nil || got.UID != "1" {
		t.Errorf("got %+v after it was read", got)
	}
	s.wantGets(0)
}

func TestALateEventDoesNotUndoWhatWasRead(t *testing.T) {
	s := newTestStore(t)
	s.refer("a")
	s.relist()
	s.read(secret("a", "2", 10))
	s.event(watch.Added, secret("a", "1", 7))
	s.event(watch.Deleted, secret("a", "1", 8))
	s.wantKnown("a", &Object{UID: "2", ResourceVersion: "10"})
}

func TestALateAnswerDoesNotBringADeletedSecretBack(t *testing.T) {
	s := newTestStore(t)
	s.refer("a")
	s.relist()
	s.event(watch.Added, secret("a", "1", 10))
	s.event(watch.Deleted, secret("a", "1", 11))
	s.wantChanges("a: nothing -> unmarked", "a: unmarked -> nothing")
	s.write(secret("a", "1", 10))
	if got := s.read(secret("a", "1", 10)); got != nil {
		t.Errorf("got %+v of a deleted Secret", got)
	}
	s.wantKnown("a", nil)

	s.write(secret("a", "2", 12))
	s.wantKnown("a", &Object{UID: "2", ResourceVersion: "12", OwnWrite: true})
	s.event(watch.Deleted, secret("a", "2", 13))
	s.wantChanges("a: unmarked -> nothing")
	s.relist()
	s.wantChanges() // that it is gone was told before
}

func TestAVersionIsAnOwnWriteUntilSomebodyElseWrites(t *testing.T) {
	s := newTestStore(t)
	s.refer("a")
	s.relist()
	err := s.store.write(secret("a", "1", 1), func() error {
		s.event(watch.Added, secret("a", "1", 1)) // faster than the answer to the write
		s.wantChanges()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.wantChanges("a: nothing -> unmarked")
	s.event(watch.Modified, secret("a", "1", 1))
	s.wantKnown("a", &Object{UID: "1", ResourceVersion: "1", OwnWrite: true})
	s.event(watch.Modified, secret("a", "1", 2))
	s.wantKnown("a", &Object{UID: "1", ResourceVersion: "2"})
}

func TestAnEventThatIsToldAfterTheEndOfAWriteIsKnownAsItsEcho(t *testing.T) {
	s := newTestStore(t)
	s.refer("a")
	s.relist()
	s.write(secret("a", "1", 1))
	var told *Object
	s.changed = func(_ types.NamespacedName, _, now *Object) { told = now }
	s.tell(inShop("a"), nil, newObject(secret("a", "1", 1))) // it was recorded before the write ended
	if told == nil || !told.OwnWrite {
		t.Errorf("it is told as %+v", told)
	}
}

func TestWhatHappensDuringAWriteIsToldWhenItEnds(t *testing.T) {
	refused := errors.New("refused")
	for sentence, tc := range map[string]struct {
		during func(s *testStore)
		err    error
		want   []string
	}{
		"nothing": {func(*testStore) {}, nil, nil},
		"a hand-over before the write": {func(s *testStore) {
			s.event(watch.Modified, marked(secret("a", "1", 2), "other"))
			s.event(watch.Modified, marked(secret("a", "1", 3), "payments"))
		}, nil, []string{"a: of other -> of payments", "a: of payments -> of payments"}},
		"a hand-over after the write": {func(s *testStore) {
			s.event(watch.Modified, marked(secret("a", "1", 3), "payments"))
			s.event(watch.Modified, marked(secret("a", "1", 4), "other"))
		}, nil, []string{"a: of payments -> of other", "a: of payments -> of other"}},
		"a hand-over, and the write is refused": {func(s *testStore) {
			s.event(watch.Modified, marked(secret("a", "1", 2), "other"))
		}, refused, []string{"a: of payments -> of other"}},
		"a new list without it": {func(s *testStore) { s.relist() }, refused, []string{"a: of payments -> nothing"}},
		"the write of another resource ends": {func(s *testStore) {
			s.event(watch.Modified, marked(secret("a", "1", 2), "other"))
			s.write(marked(secret("a", "1", 3), "payments"))
		}, nil, []string{"a: of payments -> of payments"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newTestStore(t)
			s.relist(marked(secret("a", "1", 1), "payments"))
			s.wantChanges("a: nothing -> of payments")
			err := s.store.write(marked(secret("a", "1", 3), "payments"), func() error {
				tc.during(s)
				return tc.err
			})
			if !errors.Is(err, tc.err) {
				t.Errorf("the write ends with %v", err)
			}
			s.wantChanges(tc.want...)
			s.event(watch.Modified, marked(secret("a", "1", 9), "payments"))
			if len(s.changes) == 0 {
				t.Error("what happens later is not told")
			}
		})
	}
}

func TestANewListIsTakenAsItIsWhateverItsVersions(t *testing.T) {
	s := newTestStore(t)
	s.refer("a")
	s.relist(secret("a", "1", 100))
	s.relist(secret("a", "1", 5)) // the cluster was restored
	s.wantKnown("a", &Object{UID: "1", ResourceVersion: "5"})
}

func TestASecretThatANewListBringsBackIsNew(t *testing.T) {
	s := newTestStore(t)
	s.refer("a")
	s.relist(secret("a", "1", 1))
	s.event(watch.Deleted, secret("a", "1", 2))
	s.wantChanges("a: nothing -> unmarked", "a: unmarked -> nothing")
	s.relist(secret("a", "2", 3))
	s.wantChanges("a: nothing -> unmarked")
}

func TestWhatIsNotInANewListIsGone(t *testing.T) {
	s := newTestStore(t)
	s.refer("a", "b")
	s.relist(secret("a", "1", 1), secret("b", "2", 2), secret("c", "3", 3), marked(secret("d", "4", 4), "payments"))
	s.wantChanges("a: nothing -> unmarked", "b: nothing -> unmarked", "d: nothing -> of payments")
	s.relist(secret("b", "2", 2))
	s.wantChanges("a: unmarked -> nothing", "b: unmarked -> unmarked", "d: of payments -> nothing")
	s.wantKnown("a", nil)
	s.wantManaged()
	s.wantSizes(1, 0)
}

func TestEverythingOfAListIsToldWhateverHappensMeanwhile(t *testing.T) {
	s := newTestStore(t)
	s.refer("a", "b")
	tell := s.changed
	s.changed = func(name types.NamespacedName, before, now *Object) {
		s.changed = tell
		s.unrefer("a")
		s.unrefer("b")
		tell(name, before, now)
	}
	s.relist(secret("a", "1", 1), secret("b", "2", 1))
	s.wantChanges("a: nothing -> unmarked", "b: nothing -> unmarked")
	s.wantSizes(0, 2)
}

func TestASecretThatIsReferencedWhileAListIsReadIsAskedAbout(t *testing.T) {
	s := newTestStore(t, secret("a", "1", 1))
	s.beginList()
	s.admit(secret("a", "1", 1))
	s.refer("a")
	s.wantKnown("a", &Object{UID: "1", ResourceVersion: "1"})
}

func TestAnEventOfAListThatFailedIsHarmless(t *testing.T) {
	s := newTestStore(t)
	s.relist()
	s.admit(secret("a", "1", 1))
	s.wantSizes(0, 1)
}

func TestASecretWithoutReferencesIsDroppedAtOnce(t *testing.T) {
	s := newTestStore(t, secret("a", "1", 1))
	s.refer("a")
	s.relist(secret("a", "1", 1))
	s.release(inShop("a")) // another resource still refers to it
	s.wantSizes(1, 0)
	s.unrefer("a")
	s.wantSizes(0, 1)
	s.read(secret("a", "1", 1))
	s.wantSizes(0, 1)
	s.refer("a")
	s.wantKnown("a", &Object{UID: "1", ResourceVersion: "1"})
	s.wantGets(1)
}

func TestAMarkedSecretIsKnownThoughNobodyRefersToIt(t *testing.T) {
	s := newTestStore(t)
	s.relist(marked(secret("b", "1", 1), "payments"), marked(secret("x", "2", 2), "other"), secret("y", "3", 3))
	s.wantManaged("b")
	s.wantKnown("b", &Object{UID: "1", ResourceVersion: "1", ManagedBy: "payments"})
	s.event(watch.Added, marked(secret("a", "4", 4), "payments"))
	s.event(watch.Modified, marked(secret("y", "3", 5), "payments"))
	s.wantManaged("a", "b", "y")
	s.event(watch.Modified, marked(secret("b", "1", 6), "payments"))
	s.wantManaged("a", "b", "y")
	s.wantChanges("a: nothing -> of payments", "b: nothing -> of payments", "b: of payments -> of payments",
		"x: nothing -> of other", "y: nothing -> of payments")
	s.wantSizes(4, 0)
	s.wantGets(0)
}

func TestASecretThatNobodyRefersToIsDroppedWithItsMark(t *testing.T) {
	for sentence, tc := range map[string]struct {
		end       func(*testStore)
		untracked int
	}{
		"it loses its mark":              {func(s *testStore) { s.event(watch.Modified, secret("a", "1", 2)) }, 1},
		"it is deleted":                  {func(s *testStore) { s.event(watch.Deleted, marked(secret("a", "1", 2), "payments")) }, 0},
		"a list shows it without a mark": {func(s *testStore) { s.relist(secret("a", "1", 2)) }, 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newTestStore(t)
			s.relist(marked(secret("a", "1", 1), "payments"))
			s.wantChanges("a: nothing -> of payments")
			tc.end(s)
			s.wantChanges("a: of payments -> nothing")
			s.wantManaged()
			s.wantSizes(0, tc.untracked)
			if len(s.managed) != 0 {
				t.Errorf("%v is still managed", s.managed)
			}
		})
	}
}

func TestASecretIsDroppedOnlyOnceItHasNeitherReferenceNorMark(t *testing.T) {
	s := newTestStore(t)
	s.refer("a", "b")
	s.relist(marked(secret("a", "1", 1), "payments"), marked(secret("b", "2", 2), "payments"))
	s.unrefer("a")
	s.event(watch.Modified, secret("b", "2", 3))
	s.wantSizes(2, 0)
	s.wantManaged("a")
	s.event(watch.Modified, secret("a", "1", 4))
	s.unrefer("b")
	s.wantSizes(0, 2)
}

func TestADeletedTargetIsNotManagedThoughAResourceStillRefersToIt(t *testing.T) {
	s := newTestStore(t)
	s.refer("target")
	s.relist(marked(secret("target", "1", 1), "payments"))
	s.wantManaged("target")
	s.event(watch.Deleted, marked(secret("target", "1", 2), "payments"))
	s.wantManaged()
	s.event(watch.Added, marked(secret("target", "2", 3), "payments"))
	s.wantManaged("target")
}

func TestAHandOverTellsOfBothResources(t *testing.T) {
	s := newTestStore(t)
	s.relist(marked(secret("a", "1", 1), "payments"))
	s.event(watch.Modified, marked(secret("a", "1", 2), "other"))
	s.wantChanges("a: nothing -> of payments", "a: of payments -> of other")
	s.wantManaged()
	if got := s.managedBy(inShop("other")); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the other resource manages %q", got)
	}
}

func TestASecretIsNoLongerManagedOnceThisProcessTookItsMarkOff(t *testing.T) {
	s := newTestStore(t)
	s.relist(marked(secret("a", "1", 1), "payments"))
	s.write(secret("a", "1", 3))
	s.wantManaged()
	s.event(watch.Modified, marked(secret("a", "1", 2), "payments")) // late
	s.wantManaged()
	s.event(watch.Modified, secret("a", "1", 3))
	s.wantSizes(0, 1)
}

func TestALateAnswerTracksNothingThatNobodyRefersTo(t *testing.T) {
	s := newTestStore(t)
	s.relist(marked(secret("a", "1", 1), "payments"))
	s.event(watch.Deleted, marked(secret("a", "1", 2), "payments"))
	s.read(marked(secret("a", "1", 1), "payments"))
	s.wantManaged()
	s.wantSizes(0, 0)
}

func TestNothingIsLeftOfSecretsThatCameAndWent(t *testing.T) {
	const count = 1000
	for sentence, end := range map[string]func(s *testStore, name string, version int){
		"the Secret goes first": func(s *testStore, name string, version int) {
			s.event(watch.Deleted, secret(name, name, version))
			s.unrefer(name)
		},
		"the reference goes first": func(s *testStore, name string, version int) {
			s.unrefer(name)
			s.event(watch.Deleted, secret(name, name, version))
		},
		"an answer comes last": func(s *testStore, name string, version int) {
			s.event(watch.Deleted, secret(name, name, version))
			s.unrefer(name)
			s.read(secret(name, name, version-1))
			s.cached(inShop(name))
			s.get(name)
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newTestStore(t)
			s.relist()
			for i := range count {
				name := strconv.Itoa(i)
				s.refer(name)
				s.cached(inShop(name))
				s.event(watch.Added, secret(name, name, 2*i+1))
				end(s, name, 2*i+2)
			}
			s.wantSizes(0, 0)
		})
	}
}

func TestResourcesThatNameOneSecretAfterAnotherLeaveNothingBehind(t *testing.T) {
	const count = 100_000
	for sentence, tc := range map[string]struct {
		mention   func(s *testStore, name string, version int)
		untracked int
	}{
		"Secrets that are there": {func(s *testStore, name string, version int) {
			s.event(watch.Added, secret(name, name, version))
			s.refer(name)
			s.read(secret(name, name, version))
		}, count},
		"Secrets that were there": {func(s *testStore, name string, version int) {
			s.refer(name)
			s.event(watch.Added, secret(name, name, version))
			s.event(watch.Deleted, secret(name, name, version+1))
			s.read(secret(name, name, version)) // a late answer
		}, 0},
		"Secrets that were never there": {func(s *testStore, name string, _ int) {
			s.refer(name)
			s.cached(inShop(name))
			s.get(name)
		}, 0},
		"Secrets that were marked": {func(s *testStore, name string, version int) {
			s.refer(name)
			s.write(marked(secret(name, name, version), name))
			s.event(watch.Modified, marked(secret(name, name, version), name))
			s.event(watch.Modified, secret(name, name, version+1))
		}, count},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newTestStore(t)
			s.relist()
			for i := range count {
				name := strconv.Itoa(i)
				tc.mention(s, name, 2*i+1)
				s.unrefer(name)
				s.changes = nil
			}
			s.wantSizes(0, tc.untracked)
			if len(s.managed) != 0 {
				t.Errorf("%d resources still manage something", len(s.managed))
			}
		})
	}
}
