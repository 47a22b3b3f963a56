// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package render makes the content of a target Secret of a resource and an accepted token. It does no I/O.
package render

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// ManagerName is the value of the label app.kubernetes.io/managed-by, and the field manager of all writes.
const ManagerName = "jupico-operator"

// The recommended labels of Kubernetes that a target carries. app.kubernetes.io/instance is not among them: by that, a
// GitOps tool may know what is its own to prune.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelComponent = "app.kubernetes.io/component"
)

// component is the value of the label app.kubernetes.io/component.
const component = "credential"

// Apply brings a Secret, new or existing, to what the resource asks for. Keys, labels and annotations of others are
// kept; keys of ours that are rendered no more (written lists those of the last time) are removed, and so are labels
// and annotations that the template no longer has. A type is only ever changed to one that the template names.
func Apply(secret *corev1.Secret, resource *v1alpha1.JupicoCredential, data map[string][]byte, written []string) {
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	for _, key := range written {
		delete(secret.Data, key)
	}
	maps.Copy(secret.Data, data)
	template := resource.Spec.Target.Template
	if template == nil {
		template = &v1alpha1.TargetTemplate{}
	}
	secret.Type = cmp.Or(corev1.SecretType(template.Type), secret.Type, corev1.SecretTypeOpaque)
	// Ours come last, and so win.
	noted := secret.Annotations
	secret.Labels = templated(secret.Labels, noted[v1alpha1.AnnotationTemplateLabels], template.Labels)
	secret.Annotations = templated(noted, noted[v1alpha1.AnnotationTemplateAnnotations], template.Annotations)
	note(secret, v1alpha1.AnnotationTemplateLabels, template.Labels)
	note(secret, v1alpha1.AnnotationTemplateAnnotations, template.Annotations)
	setMetadata(secret, resource)
}

// templated replaces what came from the last template, which an annotation lists, by what comes from this one.
func templated[V ~string](present map[string]string, noted string, wanted map[string]V) map[string]string {
	result := maps.Clone(present)
	for name := range strings.SplitSeq(noted, ",") {
		delete(result, name)
	}
	for name, value := range wanted {
		if result == nil {
			result = map[string]string{}
		}
		result[name] = string(value)
	}
	return result
}

// note lists the names of what comes from the template. No name has a comma in it.
func note[V ~string](secret *corev1.Secret, in string, wanted map[string]V) {
	if len(wanted) == 0 {
		delete(secret.Annotations, in)
		return
	}
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, in, strings.Join(slices.Sorted(maps.Keys(wanted)), ","))
}

func setMetadata(secret *corev1.Secret, resource *v1alpha1.JupicoCredential) {
	metav1.SetMetaDataLabel(&secret.ObjectMeta, labelManagedBy, ManagerName)
	metav1.SetMetaDataLabel(&secret.ObjectMeta, labelComponent, component)
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

// Successor is a Secret to be made in the place of one that goes, since it is to have another type. What others wrote
// stays, but for finalizers, which hold a deletion up and not a Secret.
func Successor(former *corev1.Secret) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: former.Namespace, Name: former.Name,
			Labels: former.Labels, Annotations: former.Annotations, OwnerReferences: former.OwnerReferences,
		},
		Type: former.Type,
		Data: former.Data,
	}
}

// Release takes our mark off a Secret that is left behind. Its data stays, and so do labels and annotations that a
// template gave it.
func Release(secret *corev1.Secret, resourceName string) {
	for _, ours := range []string{
		v1alpha1.AnnotationManagedBy, v1alpha1.AnnotationTemplateLabels, v1alpha1.AnnotationTemplateAnnotations,
	} {
		delete(secret.Annotations, ours)
	}
	for label, ours := range map[string]string{labelManagedBy: ManagerName, labelComponent: component} {
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
