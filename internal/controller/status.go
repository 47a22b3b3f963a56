// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

// maxEventNote bounds an event's note, which the API server bounds at 1,024 bytes.
const maxEventNote = 1000

// isBehind reports whether the cache does not show our own last status yet. What was decided on it would be decided
// twice, and then refused.
func isBehind(resource *v1alpha1.JupicoCredential, known *memory) bool {
	if known.statusVersion == "" {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(resource.ResourceVersion, known.statusVersion)
	return err == nil && order < 0
}

// resume lets a resource that was left in order before a restart be, until its next check is due, without reading a
// value. It reports false when there is something to do.
func (r *Reconciler) resume(
	ctx context.Context, resource *v1alpha1.JupicoCredential, known *memory,
) (time.Time, bool, error) {
	wakeUp, ok := decision.Rest(resource, r.clock.Now())
	usesConfigMap := resource.Spec.Endpoint != nil && resource.Spec.Endpoint.CAConfigMapRef != nil
	if !ok || known.evaluated || usesConfigMap {
		return time.Time{}, false, nil
	}
	target, err := r.seenTarget(ctx, resource)
	if err != nil || !isAsLeft(resource.Status.Target, target, resource.Spec.Target.Name) || target.managedBy != resource.Name {
		return time.Time{}, false, err
	}
	for i := range resource.Spec.Credentials {
		entry := &resource.Spec.Credentials[i]
		source := r.secrets.in(resource.Namespace).peek(keyOf(resource.Namespace, entry.SecretName()))
		if source == nil || !isRecorded(resource, entry.Name, source.ref) {
			return time.Time{}, false, nil
		}
	}
	return wakeUp, true, nil
}

// isRecorded reports whether the status of an entry is about the bytes of a source.
func isRecorded(resource *v1alpha1.JupicoCredential, name string, source v1alpha1.SourceStatus) bool {
	return slices.ContainsFunc(resource.Status.Credentials, func(recorded v1alpha1.CredentialStatus) bool {
		return recorded.Name == name && recorded.Source != nil && *recorded.Source == source
	})
}

// writeStatus patches what changed, and nothing when nothing did. The patch carries the resourceVersion that it was
// computed from, so that a replica that is no longer the leader loses. It reports false when the resource changed
// meanwhile.
func (r *Reconciler) writeStatus(
	ctx context.Context, resource *v1alpha1.JupicoCredential, known *memory, f *findings,
) (bool, error) {
	before, after := resource.Status, f.status
	if !leaveOutEqual(&before, &after) {
		return true, nil
	}
	// Of resources that hold the changed parts alone: it is made, and answered, for each check.
	version := metav1.ObjectMeta{ResourceVersion: resource.ResourceVersion}
	patch, err := client.MergeFromWithOptions(&v1alpha1.JupicoCredential{ObjectMeta: version, Status: before},
		client.MergeFromWithOptimisticLock{}).Data(&v1alpha1.JupicoCredential{Status: after})
	if err != nil {
		return false, err
	}
	updated, err := r.resources.Namespace(resource.Namespace).Patch(ctx, resource.Name, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: render.ManagerName}, "status")
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	}
	known.statusVersion = updated.ResourceVersion
	return true, nil
}

// leaveOutEqual empties the fields in which two statuses are equal, and reports whether any is not.
func leaveOutEqual(before, after *v1alpha1.JupicoCredentialStatus) bool {
	isChanged := false
	leaveOut(&before.Conditions, &after.Conditions, &isChanged)
	leaveOut(&before.ObservedGeneration, &after.ObservedGeneration, &isChanged)
	leaveOut(&before.Deployed, &after.Deployed, &isChanged)
	leaveOut(&before.Target, &after.Target, &isChanged)
	leaveOut(&before.Credentials, &after.Credentials, &isChanged)
	leaveOut(&before.LastCheckTime, &after.LastCheckTime, &isChanged)
	leaveOut(&before.NextCheckTime, &after.NextCheckTime, &isChanged)
	leaveOut(&before.LastHandledCheckRequest, &after.LastHandledCheckRequest, &isChanged)
	return isChanged
}

func leaveOut[T any](before, after *T, isChanged *bool) {
	if !equality.Semantic.DeepEqual(*before, *after) {
		*isChanged = true
		return
	}
	var none T
	*before, *after = none, none
}

// announce makes events of what a user should see happen.
func (r *Reconciler) announce(ctx context.Context, resource *v1alpha1.JupicoCredential, f *findings) {
	for _, warning := range f.sight.warnings {
		r.events.Eventf(resource, nil, corev1.EventTypeWarning, v1alpha1.ReasonSourceCleaned,
			resource.Spec.Credentials[0].Name, "%s", warning)
	}
	transition := decision.FindTransition(&resource.Status, &f.status)
	if transition == nil {
		return
	}
	eventType := corev1.EventTypeNormal
	if transition.Warning {
		eventType = corev1.EventTypeWarning
	}
	note := transition.Message[:min(len(transition.Message), maxEventNote)]
	r.events.Eventf(resource, nil, eventType, transition.Reason, transition.Credential, "%s", note)
	log.FromContext(ctx).Info("Changed state", "reason", transition.Reason, "credential", transition.Credential)
}
