// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

// longestCacheLag is how long the cache may be behind. A cluster that was restored counts from an earlier version.
const longestCacheLag = 10 * time.Second

// maxEventNote bounds an event's note, which the API server bounds at 1,024 bytes.
const maxEventNote = 1000

// validatedPatches is after how many patches the API server no longer looks for fields that it does not know.
const validatedPatches = 16

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
	usesConfigMap := resource.Spec.Endpoint != nil && resource.Spec.Endpoint.CAConfigMapRef != nil
	if known.evaluated || usesConfigMap {
		return time.Time{}, false, nil
	}
	wakeUp, ok := decision.Rest(resource, r.clock.Now())
	if !ok {
		return time.Time{}, false, nil
	}
	target, err := r.seenTarget(ctx, resource)
	if err != nil || !isAsLeft(resource.Status.Target, target, resource.Spec.Target.Name) ||
		target.managedBy != resource.Name {
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
	patch, err := statusPatch(resource.ResourceVersion, &resource.Status, &f.status)
	if patch == nil || err != nil {
		return err == nil, err
	}
	updated, err := r.resources.Namespace(resource.Namespace).Patch(ctx, resource.Name, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: render.ManagerName, FieldValidation: r.fieldValidation()}, "status")
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	}
	known.statusVersion = updated.ResourceVersion
	return true, nil
}

// fieldValidation has the API server look at the first few patches for fields that its CustomResourceDefinition does
// not have, and warn of them: somebody may have updated the operator alone. To look at each patch costs the API server
// a twentieth of its time.
func (r *Reconciler) fieldValidation() string {
	if r.patches.Add(1) > validatedPatches {
		return metav1.FieldValidationIgnore
	}
	return metav1.FieldValidationWarn
}

// statusPatch is a JSON merge patch (RFC 7386) that brings one status to another, or nil when they are equal. What did
// not change is not even written as JSON: it is made for each check.
func statusPatch(version string, before, after *v1alpha1.JupicoCredentialStatus) ([]byte, error) {
	status := map[string]any{}
	if !slices.Equal(before.Conditions, after.Conditions) { // mostly they are, which this way is quickly found
		change(status, "conditions", before.Conditions, after.Conditions)
	}
	change(status, "observedGeneration", before.ObservedGeneration, after.ObservedGeneration)
	change(status, "credentials", before.Credentials, after.Credentials)
	change(status, "lastCheckTime", before.LastCheckTime, after.LastCheckTime)
	change(status, "nextCheckTime", before.NextCheckTime, after.NextCheckTime)
	change(status, "lastHandledCheckRequest", before.LastHandledCheckRequest, after.LastHandledCheckRequest)
	err := errors.Join(
		changeDeployed(status, before.Deployed, after.Deployed),
		changeObject(status, "target", before.Target, after.Target),
	)
	if len(status) == 0 || err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": version},
		"status":   status,
	})
}

// change puts a field into a patch if it changed. One that is nil becomes null, and so is taken away.
func change[T any](patch map[string]any, field string, before, after T) {
	if !equality.Semantic.DeepEqual(before, after) {
		patch[field] = after
	}
}

// changeDeployed puts into a patch what changed of the deployed token. Mostly that is but when it was accepted last.
func changeDeployed(status map[string]any, before, after *v1alpha1.DeployedStatus) error {
	const field = "deployed"
	if before == nil || after == nil {
		return changeObject(status, field, before, after)
	}
	accepted := *before
	accepted.LastAcceptedTime = after.LastAcceptedTime
	if !equality.Semantic.DeepEqual(&accepted, after) {
		return changeObject(status, field, before, after)
	}
	deployed := map[string]any{}
	change(deployed, "lastAcceptedTime", before.LastAcceptedTime, after.LastAcceptedTime)
	if len(deployed) > 0 {
		status[field] = deployed
	}
	return nil
}

// changeObject puts into a patch what changed within an object.
func changeObject[T any](patch map[string]any, field string, before, after *T) error {
	change(patch, field, before, after)
	if patch[field] == nil || before == nil || after == nil {
		return nil
	}
	from, err := json.Marshal(before)
	if err != nil {
		return err
	}
	to, err := json.Marshal(after)
	if err != nil {
		return err
	}
	within, err := jsonpatch.CreateMergePatch(from, to)
	patch[field] = json.RawMessage(within)
	return err
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
