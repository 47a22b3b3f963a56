// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

func TestTheCacheHoldsNoManagedFields(t *testing.T) {
	for name, namespace := range map[string]string{"all namespaces": "", "a chosen namespace": "shop"} {
		t.Run(name, func(t *testing.T) {
			resource := &v1alpha1.JupicoCredential{ObjectMeta: metav1.ObjectMeta{
				ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "somebody"}},
			}}
			if _, err := cacheOptions(namespace).DefaultTransform(resource); err != nil {
				t.Fatal(err)
			}
			if len(resource.ManagedFields) > 0 {
				t.Error("the managed fields are held, which are half of a resource")
			}
		})
	}
}
