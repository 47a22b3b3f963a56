// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

// maxRefusal bounds what is repeated of the API server's own words, in bytes.
const maxRefusal = 300

// deliver makes the target what it should be, and touches it only for that. An error comes beside the Target when the
// API server refused the write.
func (r *Reconciler) deliver(
	ctx context.Context, s *sight, known *memory, verdict decision.Verdict,
) (decision.Target, error) {
	switch {
	case s.resource.Spec.Suspend:
		return decision.Target{}, nil
	case s.target != nil && !isOurs(s.target, s.resource):
		return conflict(s.resource), nil
	case verdict.Deploy:
		return r.write(ctx, s, known, known.provenOf(s, verdict.Entry))
	case !verdict.Keep:
		return decision.Target{}, nil
	}
	if known.deployed == nil {
		known.deployed = known.provenOf(s, verdict.Entry)
	}
	if s.facts.TargetDrifted || s.facts.Unwritten() || s.facts.SpecEdited() {
		return r.write(ctx, s, known, known.deployed)
	}
	return known.contested(s, decision.Target{Holds: true}), nil
}

func isOurs(secret metav1.Object, resource *v1alpha1.JupicoCredential) bool {
	return secret.GetAnnotations()[v1alpha1.AnnotationManagedBy] == resource.Name
}

func conflict(resource *v1alpha1.JupicoCredential) decision.Target {
	return decision.Target{
		Problem: v1alpha1.ReasonTargetConflict,
		Detail: fmt.Sprintf("Secret %q exists and is not this resource's, so that it is left alone. Delete it, choose "+
			"another spec.target.name, or hand it over with: kubectl annotate secret %s -n %s --overwrite %s=%s",
			resource.Spec.Target.Name, resource.Spec.Target.Name, resource.Namespace, v1alpha1.AnnotationManagedBy,
			resource.Name),
	}
}

// write brings the target to hold a token: it is created, or updated where it differs, and the former one let go. When
// somebody else changes it meanwhile, it is read again.
func (r *Reconciler) write(
	ctx context.Context, s *sight, known *memory, token *proof,
) (target decision.Target, err error) {
	isRace := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	fresh := s.target == nil && s.resource.Status.Target == nil
	err = retry.OnError(retry.DefaultRetry, isRace, func() error {
		target, err = r.tryToWrite(ctx, s, known, token, fresh)
		fresh = false
		return err
	})
	if err != nil && !isGone(err) && target.Problem == "" && !target.Holds {
		return refused(err, s.resource.Spec.Target.Name, token.token)
	}
	return target, err
}

func (r *Reconciler) tryToWrite(
	ctx context.Context, s *sight, known *memory, token *proof, fresh bool,
) (decision.Target, error) {
	secret, err := r.readTarget(ctx, s, fresh)
	if err != nil {
		return decision.Target{}, err
	}
	if secret.UID != "" && !isOurs(secret, s.resource) {
		return conflict(s.resource), nil
	}
	before := secret.DeepCopy()
	data := render.Content(token.token, token.endpoint.URL)
	render.Apply(secret, s.resource, data, keysLeft(s.resource))
	var updated *metav1.Time
	if secret.UID == "" || !equality.Semantic.DeepEqual(before, secret) {
		if problem := known.mustLeave(s, before, secret, token); problem != nil {
			return *problem, nil
		}
		if err := r.save(ctx, secret); err != nil {
			return decision.Target{}, err
		}
		updated = &metav1.Time{Time: r.clock.Now().Truncate(time.Second)}
	}
	known.deployed = token
	if err := r.letGo(ctx, s.resource); err != nil {
		return decision.Target{Holds: true}, err
	}
	return known.contested(s, held(secret, data, s.resource.Status.Target, updated)), nil
}

// keysLeft are the keys that the operator wrote last into the target that the spec names.
func keysLeft(resource *v1alpha1.JupicoCredential) []string {
	if left := resource.Status.Target; left != nil && left.Name == resource.Spec.Target.Name {
		return left.Keys
	}
	return nil
}

// mustLeave finds what speaks against a write before it is tried: a fight that is lost, or a Secret that is immutable.
func (m *memory) mustLeave(s *sight, before, after *corev1.Secret, token *proof) *decision.Target {
	isRepair := token == m.deployed && !s.facts.SpecEdited()
	if isRepair && !m.mayRepair(s, before) {
		target := m.contested(s, decision.Target{})
		return &target
	}
	return immutable(before, after)
}

// readTarget returns the target as the API server has it, or an empty one to be created. On the way to a first delivery
// the cache's word is taken for it that there is none.
func (r *Reconciler) readTarget(ctx context.Context, s *sight, fresh bool) (*corev1.Secret, error) {
	name := s.resource.Spec.Target.Name
	none := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.resource.Namespace, Name: name}}
	if fresh {
		return none, nil
	}
	secret := &corev1.Secret{}
	err := r.live.Get(ctx, keyOf(s.resource.Namespace, name), secret)
	if apierrors.IsNotFound(err) {
		return none, nil
	}
	return secret, err
}

// save creates or updates. The update carries the resourceVersion that was read, so that nobody's change is overwritten
// unseen.
func (r *Reconciler) save(ctx context.Context, secret *corev1.Secret) error {
	write := func() error { return r.client.Update(ctx, secret) }
	if secret.UID == "" {
		write = func() error { return r.client.Create(ctx, secret) }
	}
	if err := write(); err != nil {
		return err
	}
	log.FromContext(ctx).Info("Wrote target Secret", "secret", client.ObjectKeyFromObject(secret))
	return nil
}

func held(
	secret *corev1.Secret, data map[string][]byte, left *v1alpha1.TargetStatus, updated *metav1.Time,
) decision.Target {
	status := &v1alpha1.TargetStatus{
		Name: secret.Name, UID: secret.UID, ResourceVersion: secret.ResourceVersion,
		Keys: slices.Sorted(maps.Keys(data)), UpdatedTime: updated,
	}
	if updated == nil && left != nil && left.Name == secret.Name {
		status.UpdatedTime = left.UpdatedTime
	}
	return decision.Target{Holds: true, Status: status}
}

// immutable finds the one refusal that is known beforehand, and that only a user can mend. Labels and owners of an
// immutable Secret may change.
func immutable(before, after *corev1.Secret) *decision.Target {
	if before.Immutable == nil || !*before.Immutable || equality.Semantic.DeepEqual(before.Data, after.Data) {
		return nil
	}
	return &decision.Target{
		Problem: v1alpha1.ReasonTargetWriteFailed,
		Detail: fmt.Sprintf("Secret %q is immutable, and so cannot be brought up to date: delete it, and it is written anew.",
			before.Name),
	}
}

// refused says what the API server forbids by a quota, a policy or a rule. Whatever the error, it is tried again.
func refused(err error, name string, token credential.Token) (decision.Target, error) {
	// A policy's own words may repeat what they are about.
	words := strings.ReplaceAll(err.Error(), token.Reveal(), credential.Redacted)
	words = strings.ToValidUTF8(words[:min(len(words), maxRefusal)], "")
	return decision.Target{
		Problem: v1alpha1.ReasonTargetWriteFailed,
		Detail:  fmt.Sprintf("Secret %q could not be written, which is tried again: %s", name, words),
	}, err
}

// isGone reports whether the namespace is being deleted.
func isGone(err error) bool { return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) }

// letGo parts with the former target after a change of spec.target.name.
func (r *Reconciler) letGo(ctx context.Context, resource *v1alpha1.JupicoCredential) error {
	left := resource.Status.Target
	if left == nil || left.Name == resource.Spec.Target.Name {
		return nil
	}
	secret := &corev1.Secret{}
	if err := r.live.Get(ctx, keyOf(resource.Namespace, left.Name), secret); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !isOurs(secret, resource) {
		return nil
	}
	key := client.ObjectKeyFromObject(secret)
	if resource.Spec.Target.CreationPolicy == v1alpha1.CreationPolicyOrphan {
		render.Release(secret, resource.Name)
		log.FromContext(ctx).Info("Released former target Secret", "secret", key)
		return r.client.Update(ctx, secret)
	}
	log.FromContext(ctx).Info("Deleted former target Secret", "secret", key)
	return client.IgnoreNotFound(r.client.Delete(ctx, secret, client.Preconditions{
		UID: &secret.UID, ResourceVersion: &secret.ResourceVersion,
	}))
}

// isAsLeft reports whether the cache shows the target as the status left it. A cache that is behind our own write does.
func isAsLeft(left *v1alpha1.TargetStatus, seen *metav1.PartialObjectMetadata, name string) bool {
	if left == nil || seen == nil || left.Name != name || seen.UID != left.UID {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(seen.ResourceVersion, left.ResourceVersion)
	return err == nil && order <= 0
}

// mayRepair lets a repair through, unless there were too many in a row.
func (m *memory) mayRepair(s *sight, changed *corev1.Secret) bool {
	if m.repairs == nil {
		m.repairs = rate.NewLimiter(rate.Every(repairEvery), repairsInARow)
	}
	m.rival = rivalOf(changed)
	return m.repairs.AllowN(s.facts.Now, 1)
}

// rivalOf names who changed a Secret last, beside ourselves.
func rivalOf(secret *corev1.Secret) string {
	var rival metav1.ManagedFieldsEntry
	for _, entry := range secret.ManagedFields {
		if entry.Manager != render.ManagerName && (rival.Time == nil || rival.Time.Before(entry.Time)) {
			rival = entry
		}
	}
	return rival.Manager
}

// contested says so while repairs come too often: whatever was just repaired will not stay so.
func (m *memory) contested(s *sight, target decision.Target) decision.Target {
	if m.repairs == nil || m.repairs.TokensAt(s.facts.Now) >= 1 {
		return target
	}
	who := "somebody"
	if m.rival != "" {
		who = fmt.Sprintf("the field manager %q", m.rival)
	}
	target.Problem = v1alpha1.ReasonTargetContested
	target.Detail = fmt.Sprintf("Secret %q was put right %d times in a row, and %s keeps changing it: stop that, or "+
		"choose another spec.target.name. It is now put right once a minute.",
		s.resource.Spec.Target.Name, repairsInARow, who)
	target.RetryAt = refilledAt(m.repairs, s.facts.Now)
	return target
}
