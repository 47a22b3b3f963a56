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
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
)

// longestCacheLag is how long the cache may be behind. A cluster that was restored counts from an earlier version.
const longestCacheLag = 10 * time.Second

// maxEventNote bounds an event's note, which the API server bounds at 1,024 bytes.
const maxEventNote = 1000

// isBehind reports whether the cache does not show our own last status yet. What was decided on it would be decided
// twice, and then refused.
func isBehind(resource *v1alpha1.JupicoCredential, known *memory, now time.Time) bool {
	order, err := resourceversion.CompareResourceVersion(resource.ResourceVersion, known.statusVersion)
	if known.statusVersion == "" || err != nil || order >= 0 {
		known.behindSince = time.Time{}
		return false
	}
	if known.behindSince.IsZero() {
		known.behindSince = now
	}
	return now.Sub(known.behindSince) < longestCacheLag
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
	target, err := r.seen(ctx, "Secret", resource.Namespace, resource.Spec.Target.Name)
	if err != nil || !isAsLeft(resource.Status.Target, target, resource.Spec.Target.Name) || !isOurs(target, resource) {
		return time.Time{}, false, err
	}
	for i := range resource.Spec.Credentials {
		entry := &resource.Spec.Credentials[i]
		source, err := r.seen(ctx, "Secret", resource.Namespace, entry.SecretName())
		if err != nil || source == nil || !isRecorded(resource, entry.Name, refOf(source)) {
			return time.Time{}, false, err
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
	if equality.Semantic.DeepEqual(resource.Status, f.status) {
		return true, nil
	}
	updated := resource.DeepCopy()
	updated.Status = f.status
	patch := client.MergeFromWithOptions(resource, client.MergeFromWithOptimisticLock{})
	err := r.client.Status().Patch(ctx, updated, patch)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	}
	known.statusVersion = updated.ResourceVersion
	return true, nil
}

// announce makes events of what a user should see happen.
func (r *Reconciler) announce(ctx context.Context, resource *v1alpha1.JupicoCredential, f *findings) {
	for i, warnings := range f.sight.warnings {
		for _, warning := range warnings {
			r.events.Eventf(resource, nil, corev1.EventTypeWarning, v1alpha1.ReasonSourceCleaned,
				resource.Spec.Credentials[i].Name, "%s", warning)
		}
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
