// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package render makes the content of a target Secret of a resource and an accepted token. It does no I/O.
package render

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
)

// ManagerName is the value of the label app.kubernetes.io/managed-by, and the field manager of all writes.
const ManagerName = "jupico-operator"

// The recommended labels of Kubernetes that a target carries.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelInstance  = "app.kubernetes.io/instance"
	labelComponent = "app.kubernetes.io/component"
)

// component is the value of the label app.kubernetes.io/component.
const component = "credential"

// Content returns the data of the target: the accepted token and the base URL of the endpoint that accepted it. No
// value ends in a newline.
func Content(token credential.Token, baseURL string) map[string][]byte {
	return map[string][]byte{
		v1alpha1.TargetKeyAuthorization: []byte(token.Authorization()),
		v1alpha1.TargetKeyToken:         []byte(token.Reveal()),
		v1alpha1.TargetKeyURL:           []byte(baseURL),
	}
}

// Apply brings a Secret, new or existing, to what the resource asks for. Keys, labels and annotations of others are
// kept; keys of ours that are rendered no more (written lists those of the last time) are removed.
func Apply(secret *corev1.Secret, resource *v1alpha1.JupicoCredential, data map[string][]byte, written []string) {
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	for _, key := range written {
		delete(secret.Data, key)
	}
	maps.Copy(secret.Data, data)
	if secret.Type == "" {
		secret.Type = corev1.SecretTypeOpaque
	}
	setMetadata(secret, resource)
}

func setMetadata(secret *corev1.Secret, resource *v1alpha1.JupicoCredential) {
	metav1.SetMetaDataLabel(&secret.ObjectMeta, labelManagedBy, ManagerName)
	metav1.SetMetaDataLabel(&secret.ObjectMeta, labelComponent, component)
	if len(validation.IsValidLabelValue(resource.Name)) == 0 { // a resource's name may be longer than a label's value
		metav1.SetMetaDataLabel(&secret.ObjectMeta, labelInstance, resource.Name)
	}
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, v1alpha1.AnnotationManagedBy, resource.Name)

	owner := metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind, Name: resource.Name, UID: resource.UID,
	}
	isOwned := resource.Spec.Target.CreationPolicy != v1alpha1.CreationPolicyOrphan
	owners := slices.DeleteFunc(slices.Clone(secret.OwnerReferences), func(other metav1.OwnerReference) bool {
		return isNamed(other, resource.Name) && (!isOwned || other != owner)
	})
	if isOwned && !slices.Contains(owners, owner) {
		owners = append(owners, owner)
	}
	secret.OwnerReferences = owners
}

// Release takes our mark off a Secret that is left behind. Its data stays.
func Release(secret *corev1.Secret, resourceName string) {
	delete(secret.Annotations, v1alpha1.AnnotationManagedBy)
	for label, ours := range map[string]string{
		labelManagedBy: ManagerName, labelComponent: component, labelInstance: resourceName,
	} {
		if secret.Labels[label] == ours {
			delete(secret.Labels, label)
		}
	}
	secret.OwnerReferences = slices.DeleteFunc(secret.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return isNamed(owner, resourceName)
	})
}

// isNamed reports whether an owner is the resource of that name, whatever its uid: a resource that was deleted and made
// again takes its Secret over.
func isNamed(owner metav1.OwnerReference, resourceName string) bool {
	return owner.Kind == v1alpha1.Kind && owner.Name == resourceName &&
		owner.APIVersion == v1alpha1.GroupVersion.String()
}
