// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

func TestAStatusIsPatchedByWhatChangedInIt(t *testing.T) {
	noon := metav1.NewTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	later := metav1.NewTime(noon.Add(time.Minute))
	before := v1alpha1.JupicoCredentialStatus{
		ObservedGeneration: 1, LastCheckTime: &noon,
		Conditions: []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Accepted", LastTransitionTime: noon}},
		Deployed: &v1alpha1.DeployedStatus{Credential: "main", CheckRecord: v1alpha1.CheckRecord{
			Verdict: "Accepted", LastCheckTime: &noon, LastRejected: &v1alpha1.Rejection{Time: noon, Reason: "Rejected"},
		}},
		Target: &v1alpha1.TargetStatus{Name: "target"},
	}
	for sentence, tc := range map[string]struct {
		change func(*v1alpha1.JupicoCredentialStatus)
		want   string
	}{
		"nothing":       {func(*v1alpha1.JupicoCredentialStatus) {}, ""},
		"a time":        {func(s *v1alpha1.JupicoCredentialStatus) { s.LastCheckTime = &later }, `{"lastCheckTime":"2026-01-02T12:01:00Z"}`},
		"a field goes":  {func(s *v1alpha1.JupicoCredentialStatus) { s.LastCheckTime = nil }, `{"lastCheckTime":null}`},
		"an object too": {func(s *v1alpha1.JupicoCredentialStatus) { s.Target = nil }, `{"target":null}`},
		"a list is replaced": {func(s *v1alpha1.JupicoCredentialStatus) {
			s.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: "Revoked", LastTransitionTime: later}}
		}, `{"conditions":[{"lastTransitionTime":"2026-01-02T12:01:00Z","message":"","reason":"Revoked","status":"False","type":"Ready"}]}`},
		"a time within an object": {func(s *v1alpha1.JupicoCredentialStatus) { s.Deployed.LastAcceptedTime = &later },
			`{"deployed":{"lastAcceptedTime":"2026-01-02T12:01:00Z"}}`},
		"a time within an object goes": {func(s *v1alpha1.JupicoCredentialStatus) { s.Deployed.LastCheckTime = nil },
			`{"deployed":{"lastCheckTime":null}}`},
		"an object is patched": {func(s *v1alpha1.JupicoCredentialStatus) {
			s.Deployed = &v1alpha1.DeployedStatus{Credential: "standby", CheckRecord: v1alpha1.CheckRecord{
				Verdict: "Accepted", LastRejected: &v1alpha1.Rejection{Time: later, Reason: "Rejected"},
			}}
		}, `{"deployed":{"credential":"standby","lastCheckTime":null,"lastRejected":{"time":"2026-01-02T12:01:00Z"}}}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			after := *before.DeepCopy()
			tc.change(&after)
			patch, err := statusPatch(&v1alpha1.JupicoCredential{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7"}, Status: before}, &after)
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" {
				if patch != nil {
					t.Errorf("got %s, want nothing", patch)
				}
				return
			}
			if want := `{"metadata":{"resourceVersion":"7"},"status":` + tc.want + `}`; !sameJSON(t, patch, want) {
				t.Errorf("got %s\nwant %s", patch, want)
			}
		})
	}
}

func TestNoFieldOfAStatusIsForgottenInItsPatch(t *testing.T) {
	noon := metav1.NewTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	before := v1alpha1.JupicoCredentialStatus{
		ObservedGeneration: 1, LastCheckTime: &noon, NextCheckTime: &noon, LastHandledCheckRequest: "now",
		Conditions: []metav1.Condition{{Type: "Ready"}}, Credentials: []v1alpha1.CredentialStatus{{Name: "main"}},
		Deployed: &v1alpha1.DeployedStatus{Credential: "main"}, Target: &v1alpha1.TargetStatus{Name: "target"},
	}
	for i := range reflect.TypeOf(before).NumField() {
		field := reflect.TypeOf(before).Field(i)
		t.Run(field.Name, func(t *testing.T) {
			after := before
			if value := reflect.ValueOf(&after).Elem().Field(i); value.IsZero() {
				t.Fatal("the test knows nothing of it")
			} else {
				value.SetZero()
			}
			patch, err := statusPatch(&v1alpha1.JupicoCredential{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7"}, Status: before}, &after)
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ Status map[string]any }
			if err := json.Unmarshal(patch, &got); err != nil {
				t.Fatal(err)
			}
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if _, isNamed := got.Status[name]; !isNamed || len(got.Status) != 1 {
				t.Errorf("got %s", patch)
			}
		})
	}
}

func sameJSON(t *testing.T, got []byte, want string) bool {
	t.Helper()
	normal := func(text []byte) string {
		var content any
		if err := json.Unmarshal(text, &content); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		return string(again)
	}
	return normal(got) == normal([]byte(want))
}
