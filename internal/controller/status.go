// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

// writeStatus patches what changed, and nothing when nothing did. It returns the version of the resource after that.
func (r *Reconciler) writeStatus(
	ctx context.Context, resource *v1alpha1.JupicoCredential, status *v1alpha1.JupicoCredentialStatus,
) (string, error) {
	patch, err := statusPatch(resource, status)
	if patch == nil || err != nil {
		return resource.ResourceVersion, err
	}
	// Of the answer, only metadata is needed. To look for unknown fields in each patch would cost the API server a tenth
	// of its time.
	updated, err := r.statuses.Namespace(resource.Namespace).Patch(ctx, resource.Name, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: render.ManagerName, FieldValidation: metav1.FieldValidationIgnore}, "status")
	if err != nil {
		return "", err
	}
	return updated.ResourceVersion, nil
}

// statusPatch returns a JSON merge patch (RFC 7386) to a status, or nil when the resource has it already. The patch
// carries the version that it was computed from, so that a replica that is no longer the leader meets a conflict.
func statusPatch(resource *v1alpha1.JupicoCredential, status *v1alpha1.JupicoCredentialStatus) ([]byte, error) {
	before, beforeErr := json.Marshal(&resource.Status)
	after, afterErr := json.Marshal(status)
	changes, err := jsonpatch.CreateMergePatch(before, after)
	if err = errors.Join(beforeErr, afterErr, err); err != nil || string(changes) == "{}" {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": resource.ResourceVersion},
		"status":   json.RawMessage(changes),
	})
}

// maxEventNote is the longest note of an event, in bytes. The API server allows 1,024.
const maxEventNote = 1000

// recordEvents records what a user should notice.
func (r *Reconciler) recordEvents(ctx context.Context, resource *v1alpha1.JupicoCredential, round *decision.Round) {
	for _, event := range round.Events {
		eventType := corev1.EventTypeNormal
		if event.Warning {
			eventType = corev1.EventTypeWarning
		}
		note := event.Message[:min(len(event.Message), maxEventNote)]
		r.events.Eventf(resource, nil, eventType, event.Reason, event.Credential, "%s", note)
		log.FromContext(ctx).Info("Recorded event", "reason", event.Reason, "credential", event.Credential)
	}
}
