// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// Mark says which part of a Secret belongs to the operator. It is the value of AnnotationOwnership in JSON, and zero if
// there is none, or if it cannot be read.
type Mark struct {
	// Secret is the name of the Secret. If it names another one, the annotation was copied and counts for nothing.
	Secret string `json:"secret"`
	// Created: the operator made the Secret. One that existed before was adopted, and is never deleted.
	Created bool `json:"created"`
	// Keys of the data that the operator wrote.
	Keys []string `json:"keys"`
}

// ParseMark reads the value of AnnotationOwnership.
func ParseMark(value string) Mark {
	var mark Mark
	if json.Unmarshal([]byte(value), &mark) != nil {
		return Mark{}
	}
	return mark
}

// IsCopy reports whether the mark was made for another Secret than the one of that name, which is then a copy.
func (m Mark) IsCopy(name string) bool { return m.Secret != "" && m.Secret != name }

// IsAdopted reports whether the Secret existed before the operator wrote it.
func (m Mark) IsAdopted() bool { return m.Secret != "" && !m.Created }

// IsManaged reports whether a Secret names the resource as its manager, and is not a copy of one that does.
func IsManaged(secret *corev1.Secret, resourceName string) bool {
	return secret.Annotations[v1alpha1.AnnotationManagedBy] == resourceName &&
		!ParseMark(secret.Annotations[v1alpha1.AnnotationOwnership]).IsCopy(secret.Name)
}

// OwnershipOf returns which part of a Secret belongs to the operator. The mark on the Secret says so. Earlier versions
// wrote no mark: then the status of the resource decides. They may also have written a marked Secret again, so the keys
// in status count too.
func OwnershipOf(secret *corev1.Secret, resource *v1alpha1.JupicoCredential) Mark {
	status := cmp.Or(resource.Status.Target, &v1alpha1.TargetStatus{})
	isSame := status.UID == secret.UID
	mark := ParseMark(secret.Annotations[v1alpha1.AnnotationOwnership])
	isUnmarked := mark.Secret != secret.Name
	if isUnmarked {
		mark = Mark{Created: isSame && isAsCreated(secret, resource, status.Keys)}
	}
	keys := sets.New(mark.Keys...)
	if isSame || isUnmarked && status.Name == secret.Name {
		keys.Insert(status.Keys...)
	}
	return Mark{Secret: secret.Name, Created: mark.Created, Keys: sets.List(keys)}
}

// isAsCreated reports whether a Secret has the owners that an earlier version gave to the Secrets that it created, and
// no other keys than these.
func isAsCreated(secret *corev1.Secret, resource *v1alpha1.JupicoCredential, keys []string) bool {
	owners := secret.OwnerReferences
	hasItsOwners := len(owners) == 1 && owners[0].UID == resource.UID
	if resource.Spec.Target.CreationPolicy == v1alpha1.CreationPolicyOrphan {
		hasItsOwners = len(owners) == 0
	}
	return hasItsOwners && sets.New(keys...).IsSuperset(sets.KeySet(secret.Data))
}

func setMark(secret *corev1.Secret, ownership Mark) {
	mark, _ := json.Marshal(ownership) //nolint:gosec // it has the name of a Secret; and strings and a bool never fail
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, v1alpha1.AnnotationOwnership, string(mark))
}
