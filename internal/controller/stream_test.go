// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// usual is a resource as an API server tells of it.
func usual() *v1alpha1.JupicoCredential {
	noon := metav1.NewTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC).Local())
	return &v1alpha1.JupicoCredential{
		TypeMeta: metav1.TypeMeta{APIVersion: "credentials.jupico.dev/v1alpha1", Kind: "JupicoCredential"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "payments", UID: "u", ResourceVersion: "7", Generation: 2, CreationTimestamp: noon,
			Annotations: map[string]string{"a": "b"}, DeletionTimestamp: &noon,
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: "somebody", Operation: "Update", Time: &noon, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`),
			}},
		},
		Spec: v1alpha1.JupicoCredentialSpec{
			Environment: v1alpha1.EnvironmentSandbox, CheckInterval: metav1.Duration{Duration: time.Minute},
			Credentials: []v1alpha1.Credential{{
				Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: "source"},
			}},
			Target: v1alpha1.Target{Name: "target"},
		},
		Status: v1alpha1.JupicoCredentialStatus{
			ObservedGeneration: 1, LastCheckTime: &noon,
			Conditions: []metav1.Condition{
				{Type: "Ready", Status: "True", Reason: "Accepted", Message: "It was.", LastTransitionTime: noon},
			},
		},
	}
}

func lineOf(tb testing.TB, kind watch.EventType, object any) string {
	tb.Helper()
	line, err := json.Marshal(map[string]any{"type": kind, "object": object})
	if err != nil {
		tb.Fatal(err)
	}
	return string(line) + "\n"
}

func TestAWatchOfResourcesTellsAllButManagedFields(t *testing.T) {
	long := usual()
	long.Annotations = map[string]string{"long": strings.Repeat("x", 10_000)}
	bookmark := &v1alpha1.JupicoCredential{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: "9", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}}
	stream := lineOf(t, watch.Added, long) + lineOf(t, watch.Modified, usual()) + lineOf(t, watch.Bookmark, bookmark) +
		`{"type":"ADDED","obj`
	events := &eventStream{body: io.NopCloser(nil), lines: bufio.NewReader(strings.NewReader(stream))}
	var told []watch.Event
	for range 3 {
		kind, object, err := events.Decode()
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, watch.Event{Type: kind, Object: object})
	}
	for i, want := range []watch.Event{
		{Type: watch.Added, Object: long}, {Type: watch.Modified, Object: usual()}, {Type: watch.Bookmark, Object: bookmark},
	} {
		want.Object.(*v1alpha1.JupicoCredential).ManagedFields = nil
		if got := told[i]; got.Type != want.Type || !equality.Semantic.DeepEqual(got.Object, want.Object) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
	if _, _, err := events.Decode(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an event that breaks off ends with %v", err)
	}
	if _, _, err := events.Decode(); !errors.Is(err, io.EOF) {
		t.Errorf("a stream ends with %v", err)
	}
}

func TestAWatchOfResourcesTellsAnErrorAsTheStatusThatItIs(t *testing.T) {
	expired := apierrors.NewResourceExpired("too old").Status()
	kind, object, err := decodeEvent([]byte(lineOf(t, watch.Error, &expired)))
	if err != nil || kind != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(object)) {
		t.Errorf("got %s of %+v, %v", kind, object, err)
	}
}

func TestWhatIsNoEventIsAnError(t *testing.T) {
	for _, line := range []string{"", "{", `{"type":"ADDED","object":{"status":"Failure"}}`, `{"type":"ERROR","object":{"code":"x"}}`} {
		if kind, object, err := decodeEvent([]byte(line)); err == nil {
			t.Errorf("%q is taken for %s of %+v", line, kind, object)
		}
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	line := []byte(lineOf(b, watch.Modified, usual()))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := decodeEvent(line); err != nil {
			b.Fatal(err)
		}
	}
}
