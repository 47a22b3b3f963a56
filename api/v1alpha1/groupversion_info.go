// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 defines the API credentials.jupico.dev/v1alpha1. A JupicoCredential says which credential to prove
// against Jupico's API, and which Secret to deliver it in.
// +kubebuilder:object:generate=true
// +groupName=credentials.jupico.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion identifies this API.
var GroupVersion = schema.GroupVersion{Group: "credentials.jupico.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds of this API.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &JupicoCredential{}, &JupicoCredentialList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

// Kind of the resource.
const Kind = "JupicoCredential"
