// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package render makes the content of a target Secret of a resource and an accepted token. It does no I/O.
package render

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// ManagerName is the value of the label app.kubernetes.io/managed-by, and the field manager of all writes.
const ManagerName = "jupico-operator"

// ownLabels are the recommended labels of Kubernetes that a target carries. app.kubernetes.io/instance is not among
// them: a GitOps tool may prune what has it.
var ownLabels = map[string]string{
	"app.kubernetes.io/managed-by": ManagerName,
	"app.kubernetes.io/component":  "credential",
}

// Apply changes a Secret, new or existing, to what the resource asks for, and returns which part of it belongs to the
// operator from then on. It keeps keys, labels and annotations of others. It removes keys of ours that are no longer
// rendered, and labels and annotations that the template no longer has. The type changes only to one that the template
// names. Nil data leaves data and type as they are.
func Apply(
	secret *corev1.Secret, resource *v1alpha1.JupicoCredential, data map[string][]byte,
) Mark {
	ownership := Mark{Secret: secret.Name, Created: true}
	if secret.UID != "" {
		ownership = OwnershipOf(secret, resource)
	}
	return ApplyAs(ownership, secret, resource, data)
}

// ApplyAs is Apply to a Secret of which another part may belong to the operator than is said on it.
func ApplyAs(
	ownership Mark, secret *corev1.Secret, resource *v1alpha1.JupicoCredential, data map[string][]byte,
) Mark {
	template := cmp.Or(resource.Spec.Target.Template, &v1alpha1.TargetTemplate{})
	if data != nil {
		for _, key := range ownership.Keys {
			delete(secret.Data, key)
		}
		if secret.Data == nil {
			secret.Data = map[string][]byte{}
		}
		maps.Copy(secret.Data, data)
		ownership.Keys = slices.Sorted(maps.Keys(data))
		secret.Type = cmp.Or(corev1.SecretType(template.Type), secret.Type, corev1.SecretTypeOpaque)
	}
	noted := secret.Annotations
	secret.Labels = templated(secret.Labels, noted[v1alpha1.AnnotationTemplateLabels], template.Labels)
	secret.Annotations = templated(noted, noted[v1alpha1.AnnotationTemplateAnnotations], template.Annotations)
	// Our own labels and annotations come last, and so win.
	maps.Copy(secret.Labels, ownLabels)
	note(secret.Annotations, v1alpha1.AnnotationTemplateLabels, template.Labels)
	note(secret.Annotations, v1alpha1.AnnotationTemplateAnnotations, template.Annotations)
	secret.Annotations[v1alpha1.AnnotationManagedBy] = resource.Name
	setMark(secret, ownership)
	setOwner(secret, resource, ownership.Created)
	return ownership
}

// templated replaces what came from the last template, which an annotation lists, by what comes from this one.
func templated[V ~string](present map[string]string, noted string, wanted map[string]V) map[string]string {
	result := map[string]string{}
	maps.Copy(result, present)
	for name := range strings.SplitSeq(noted, ",") {
		delete(result, name)
	}
	for name, value := range wanted {
		result[name] = string(value)
	}
	return result
}

// note lists the names of what comes from the template. No name has a comma in it.
func note[V ~string](annotations map[string]string, annotation string, wanted map[string]V) {
	delete(annotations, annotation)
	if len(wanted) > 0 {
		annotations[annotation] = strings.Join(slices.Sorted(maps.Keys(wanted)), ",")
	}
}

// Difference names the first part in which two versions of a Secret differ, as far as Apply may change it. It is empty
// if there is none.
func Difference(a, b *corev1.Secret) string {
	switch {
	case a.Type != b.Type:
		return "the type"
	case !equality.Semantic.DeepEqual(a.OwnerReferences, b.OwnerReferences):
		return "the owner references"
	}
	return cmp.Or(
		firstDifferent("the key", a.Data, b.Data),
		firstDifferent("the label", a.Labels, b.Labels),
		firstDifferent("the annotation", a.Annotations, b.Annotations),
	)
}

func firstDifferent[V string | []byte](kind string, a, b map[string]V) string {
	names := sets.KeySet(a).Union(sets.KeySet(b))
	for _, name := range sets.List(names) {
		inA, isInA := a[name]
		inB, isInB := b[name]
		if isInA != isInB || string(inA) != string(inB) {
			return fmt.Sprintf("%s %q", kind, name)
		}
	}
	return ""
}

// setOwner gives a Secret the owner reference that the resource asks for. An adopted Secret gets none, so that it stays
// when the resource is deleted, whatever the policy.
func setOwner(secret *corev1.Secret, resource *v1alpha1.JupicoCredential, isCreated bool) {
	owner := metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind, Name: resource.Name, UID: resource.UID,
	}
	isOwned := isCreated && resource.Spec.Target.CreationPolicy != v1alpha1.CreationPolicyOrphan
	secret.OwnerReferences = slices.DeleteFunc(secret.OwnerReferences, func(other metav1.OwnerReference) bool {
		return isResource(other) && (!isOwned || other != owner)
	})
	if isOwned && !slices.Contains(secret.OwnerReferences, owner) {
		secret.OwnerReferences = append(secret.OwnerReferences, owner)
	}
}

// Successor returns a Secret to be created in the place of one that is deleted. What others wrote stays, but for
// finalizers, which only held up the deletion.
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

// Release removes our marks from a Secret that is left behind. It keeps the data, and what the template gave it.
func Release(secret *corev1.Secret) {
	for _, ours := range []string{
		v1alpha1.AnnotationManagedBy, v1alpha1.AnnotationOwnership,
		v1alpha1.AnnotationTemplateLabels, v1alpha1.AnnotationTemplateAnnotations,
	} {
		delete(secret.Annotations, ours)
	}
	for label, ours := range ownLabels {
		if secret.Labels[label] == ours {
			delete(secret.Labels, label)
		}
	}
	secret.OwnerReferences = slices.DeleteFunc(secret.OwnerReferences, isResource)
}

// Withdraw removes from an adopted Secret, which is no longer the target, all that is ours: these keys, what the
// template gave it, and our marks.
func Withdraw(secret *corev1.Secret, keys []string) {
	for _, key := range keys {
		delete(secret.Data, key)
	}
	noted := secret.Annotations
	secret.Labels = templated[string](secret.Labels, noted[v1alpha1.AnnotationTemplateLabels], nil)
	secret.Annotations = templated[string](noted, noted[v1alpha1.AnnotationTemplateAnnotations], nil)
	Release(secret)
}

// IsOwnedBy reports whether a Secret has an owner reference to a resource, and so is deleted with it.
func IsOwnedBy(secret *corev1.Secret, resource *v1alpha1.JupicoCredential) bool {
	return slices.ContainsFunc(secret.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return isResource(owner) && owner.Name == resource.Name
	})
}

// isResource reports whether an owner is a JupicoCredential, of whatever name and uid.
func isResource(owner metav1.OwnerReference) bool {
	return owner.Kind == v1alpha1.Kind && owner.APIVersion == v1alpha1.GroupVersion.String()
}
