// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

func TestTheCacheHoldsAResourceWithoutManagedFieldsAndCommonTextsOnce(t *testing.T) {
	resource := func() *v1alpha1.JupicoCredential {
		noon, later := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 12, 5, 0, 0, time.UTC)
		at := func(t time.Time) *metav1.Time { return &metav1.Time{Time: t} }
		return &v1alpha1.JupicoCredential{
			ObjectMeta: metav1.ObjectMeta{Namespace: strings.Clone("shop"), Name: "payments"},
			Spec:       v1alpha1.JupicoCredentialSpec{Target: v1alpha1.Target{Name: "target"}},
			Status: v1alpha1.JupicoCredentialStatus{
				Conditions:    []metav1.Condition{{Type: strings.Clone("Ready"), Reason: "Accepted", Message: "Its own."}},
				Credentials:   []v1alpha1.CredentialStatus{{Name: "main", CheckRecord: v1alpha1.CheckRecord{LastCheckTime: at(noon), NextCheckTime: at(later)}}},
				Target:        &v1alpha1.TargetStatus{Name: strings.Clone("target"), Keys: []string{strings.Clone("token")}},
				LastCheckTime: at(noon), NextCheckTime: at(later),
			},
		}
	}
	small, other := resource(), resource()
	small.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "somebody"}}
	for _, r := range []*v1alpha1.JupicoCredential{small, other} {
		if _, err := compact(r); err != nil {
			t.Fatal(err)
		}
	}
	if !equality.Semantic.DeepEqual(small, resource()) {
		t.Errorf("it says something else than before: %+v", small)
	}
	for what, texts := range map[string][2]string{
		"namespace": {small.Namespace, other.Namespace},
		"condition": {small.Status.Conditions[0].Type, other.Status.Conditions[0].Type},
		"key":       {small.Status.Target.Keys[0], other.Status.Target.Keys[0]},
		"target":    {small.Status.Target.Name, small.Spec.Target.Name},
	} {
		if unsafe.StringData(texts[0]) != unsafe.StringData(texts[1]) {
			t.Errorf("the %s is held twice", what)
		}
	}
	status := &small.Status
	if status.Credentials[0].LastCheckTime != status.LastCheckTime || status.Credentials[0].NextCheckTime != status.NextCheckTime {
		t.Error("a time is held twice")
	}
}
