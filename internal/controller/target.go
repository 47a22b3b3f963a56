// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
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
	case s.target != nil && s.target.managedBy != s.resource.Name:
		return conflict(s.resource), nil
	}
	templates, err := render.Compile(s.resource)
	switch {
	case err != nil:
		return unrendered(err), nil
	case verdict.Deploy:
		o := order{proof: known.provenOf(s, verdict.Entry), accepted: verdict.Accepted}
		return r.deliverProof(ctx, s, known, o, templates)
	case !verdict.Keep:
		return decision.Target{}, nil
	}
	if known.deployed == nil {
		known.deployed = known.provenOf(s, verdict.Entry)
	}
	if s.facts.TargetDrifted || s.facts.Unwritten() || isBehindSpec(s.resource) || len(known.untold) > 0 {
		return r.deliverProof(ctx, s, known, order{proof: known.deployed, accepted: verdict.Accepted}, templates)
	}
	return known.contested(s, decision.Target{Holds: true}), nil
}

// order is what the target is to hold.
type order struct {
	proof *proof
	data  map[string][]byte
	// accepted: the token was accepted by a check of this very reconcile.
	accepted bool
}

// deliverProof renders, and writes what came of it. While the templates need what is not known of a token that was read
// back from the target, that is left as it stands.
func (r *Reconciler) deliverProof(
	ctx context.Context, s *sight, known *memory, o order, templates *render.Templates,
) (decision.Target, error) {
	data, err := templates.Render(render.Proven{
		Token: o.proof.token, URL: o.proof.endpoint.URL, Entry: o.proof.entry, Environment: o.proof.environment,
		Credential: o.proof.credential,
	})
	switch {
	case errors.Is(err, render.ErrNotKnown):
		return decision.Target{}, nil
	case err != nil:
		return unrendered(err), nil
	}
	o.data = data
	return r.write(ctx, s, known, o)
}

// unrendered says where a template is wrong. Its error holds nothing that was rendered.
func unrendered(err error) decision.Target {
	return decision.Target{
		Problem: v1alpha1.ReasonTemplateError,
		Detail:  fmt.Sprintf("In spec.target.template.data, %s. Correct it; that is acted on at once.", err),
	}
}

// isBehindSpec reports whether the target was not yet brought to what the spec now asks for. After an edit that met a
// rejected token, this is so until a token is accepted.
func isBehindSpec(resource *v1alpha1.JupicoCredential) bool {
	left := resource.Status.Target
	return left == nil || left.ObservedGeneration != resource.Generation
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
	ctx context.Context, s *sight, known *memory, o order,
) (target decision.Target, err error) {
	isRace := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	fresh := s.target == nil && s.resource.Status.Target == nil
	err = retry.OnError(retry.DefaultRetry, isRace, func() error {
		target, err = r.tryToWrite(ctx, s, known, o, fresh)
		fresh = false
		return err
	})
	if err != nil && !isGone(err) && target.Problem == "" && !target.Holds {
		return refused(err, s.resource.Spec.Target.Name, o)
	}
	return target, err
}

func (r *Reconciler) tryToWrite(
	ctx context.Context, s *sight, known *memory, o order, fresh bool,
) (decision.Target, error) {
	secret, err := r.readTarget(ctx, s, fresh)
	if err != nil {
		return decision.Target{}, err
	}
	if secret.UID != "" && !isOurs(secret, s.resource) {
		return conflict(s.resource), nil
	}
	before := secret.DeepCopy()
	render.Apply(secret, s.resource, o.data, known.keysLeft(s.resource))
	var updated *metav1.Time
	if secret.UID == "" || !equality.Semantic.DeepEqual(before, secret) {
		if problem := known.mustLeave(s, before, secret, o.proof); problem != nil {
			return *problem, nil
		}
		if problem, err := r.put(ctx, s, o, before, secret); problem != nil || err != nil {
			return *cmp.Or(problem, &decision.Target{}), err
		}
		updated = &metav1.Time{Time: r.clock.Now().Truncate(time.Second)}
	}
	known.deployed = o.proof
	if err := r.letGo(ctx, s.resource, known); err != nil {
		return decision.Target{Holds: true}, err
	}
	return known.contested(s, held(secret, s.resource, o.data, updated)), nil
}

// keysLeft are the keys that the operator wrote into the target that the spec names, and that may be there still.
func (m *memory) keysLeft(resource *v1alpha1.JupicoCredential) []string {
	keys := slices.Clone(m.untold[resource.Spec.Target.Name])
	if left := resource.Status.Target; left != nil && left.Name == resource.Spec.Target.Name {
		keys = append(keys, left.Keys...)
	}
	return keys
}

// mustLeave finds what speaks against a write before it is tried: a fight that is lost, or a Secret that is immutable.
func (m *memory) mustLeave(s *sight, before, after *corev1.Secret, token *proof) *decision.Target {
	isRepair := token == m.deployed && !isBehindSpec(s.resource)
	if isRepair && !m.mayRepair(s, before) {
		target := m.contested(s, decision.Target{})
		return &target
	}
	return immutable(before, after)
}

// readTarget returns the target as the API server has it, or an empty one to be created. On the way to a first delivery
// the watch's word is taken for it that there is none.
func (r *Reconciler) readTarget(ctx context.Context, s *sight, fresh bool) (*corev1.Secret, error) {
	name := s.resource.Spec.Target.Name
	none := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.resource.Namespace, Name: name}}
	if fresh {
		return none, nil
	}
	secret := &corev1.Secret{}
	err := r.live.Get(ctx, keyOf(s.resource.Namespace, name), secret)
	switch {
	case apierrors.IsNotFound(err):
		return none, nil
	case err != nil:
		return nil, err
	}
	r.secrets.in(secret.Namespace).saw(secret)
	return secret, nil
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
	r.secrets.in(secret.Namespace).wrote(secret)
	log.FromContext(ctx).Info("Wrote target Secret", "secret", client.ObjectKeyFromObject(secret))
	return nil
}

// put writes the Secret. One of another type makes way first, since a type cannot change.
func (r *Reconciler) put(
	ctx context.Context, s *sight, o order, before, after *corev1.Secret,
) (*decision.Target, error) {
	if before.UID != "" && before.Type != after.Type {
		successor := render.Successor(after)
		if problem, err := r.makeWay(ctx, s, o, before, successor); problem != nil || err != nil {
			return problem, err
		}
		*after = *successor
	}
	return nil, r.save(ctx, after)
}

// makeWay deletes a target of another type, if that is ours to delete, and if its successor will hold a token that was
// accepted just now. The API server is asked first whether it would take the successor: what is deleted cannot be had
// back.
func (r *Reconciler) makeWay(
	ctx context.Context, s *sight, o order, former, successor *corev1.Secret,
) (*decision.Target, error) {
	cannot := fmt.Sprintf("Secret %q has the type %q, which cannot change to %q", former.Name, former.Type, successor.Type)
	if s.resource.Spec.Target.CreationPolicy == v1alpha1.CreationPolicyOrphan {
		return writeFailed(cannot + ", and is not the operator's to delete (spec.target.creationPolicy is Orphan): delete " +
			"it, and it is written anew."), nil
	}
	probe := successor.DeepCopy()
	probe.Name, probe.GenerateName = "", former.Name+"-"
	if err := r.client.Create(ctx, probe, client.DryRunAll); err != nil {
		return nil, err
	}
	if !o.accepted {
		return writeFailed(cannot + ": it is deleted and made anew as soon as Jupico accepts the token once more."), nil
	}
	key := client.ObjectKeyFromObject(former)
	log.FromContext(ctx).Info("Deleted target Secret for its type", "secret", key, "type", former.Type)
	return nil, client.IgnoreNotFound(r.client.Delete(ctx, former, client.Preconditions{
		UID: &former.UID, ResourceVersion: &former.ResourceVersion,
	}))
}

func writeFailed(detail string) *decision.Target {
	return &decision.Target{Problem: v1alpha1.ReasonTargetWriteFailed, Detail: detail}
}

func held(
	secret *corev1.Secret, resource *v1alpha1.JupicoCredential, data map[string][]byte, updated *metav1.Time,
) decision.Target {
	left := resource.Status.Target
	status := &v1alpha1.TargetStatus{
		Name: secret.Name, UID: secret.UID, ResourceVersion: secret.ResourceVersion,
		Keys: slices.Sorted(maps.Keys(data)), ObservedGeneration: resource.Generation, UpdatedTime: updated,
	}
	if updated == nil && left != nil && left.Name == secret.Name {
		status.UpdatedTime = left.UpdatedTime
	}
	return decision.Target{Holds: true, Status: status}
}

// immutable finds the one refusal that is known beforehand, and that only a user can mend. Labels and owners of an
// immutable Secret may change.
func immutable(before, after *corev1.Secret) *decision.Target {
	isSame := before.Type == after.Type && equality.Semantic.DeepEqual(before.Data, after.Data)
	if before.Immutable == nil || !*before.Immutable || isSame {
		return nil
	}
	return writeFailed(fmt.Sprintf("Secret %q is immutable, and so cannot be brought up to date: delete it, and it is "+
		"written anew.", before.Name))
}

// refused says what the API server forbids by a quota, a policy or a rule. Whatever the error, it is tried again.
func refused(err error, name string, o order) (decision.Target, error) {
	words := o.redact(err.Error())
	words = strings.ToValidUTF8(words[:min(len(words), maxRefusal)], "")
	target := writeFailed(fmt.Sprintf("Secret %q could not be written, which is tried again: %s", name, words))
	return *target, errors.New("writing the target Secret: " + words)
}

// redact takes out of the words of the API server what a policy may repeat of the Secret that they are about: each
// value, and what values are made of, in plaintext and as a manifest shows it.
func (o order) redact(words string) string {
	plain := []string{o.proof.token.Reveal()}
	if _, password, ok := o.proof.credential.RevealLogin(); ok {
		plain = append(plain, password)
	}
	for _, value := range o.data {
		plain = append(plain, string(value))
	}
	for _, value := range slices.Clone(plain) {
		plain = append(plain, base64.StdEncoding.EncodeToString([]byte(value)))
	}
	slices.SortFunc(plain, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // wholes before their parts
	for _, value := range plain {
		if value != "" {
			words = strings.ReplaceAll(words, value, credential.Redacted)
		}
	}
	return words
}

// isGone reports whether the namespace is being deleted.
func isGone(err error) bool { return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) }

// letGo parts with former targets after a change of spec.target.name.
func (r *Reconciler) letGo(ctx context.Context, resource *v1alpha1.JupicoCredential, known *memory) error {
	former := slices.Collect(maps.Keys(known.untold))
	if left := resource.Status.Target; left != nil {
		former = append(former, left.Name)
	}
	for _, name := range former {
		if name == resource.Spec.Target.Name {
			continue
		}
		secret := &corev1.Secret{}
		if err := r.live.Get(ctx, keyOf(resource.Namespace, name), secret); err != nil {
			if apierrors.IsNotFound(err) {
				continue
			}
			return err
		}
		if !isOurs(secret, resource) {
			continue
		}
		if err := unsaid(r.partWith(ctx, resource, secret)); err != nil {
			return err
		}
	}
	known.untold = nil
	return nil
}

// unsaid leaves out the words of the API server, in which a policy may repeat values, but where it says by itself that
// somebody was faster or that all is going anyway.
func unsaid(err error) error {
	if err == nil || apierrors.IsConflict(err) || isGone(err) {
		return err
	}
	return fmt.Errorf("letting go of the former target Secret: %s", apierrors.ReasonForError(err))
}

// partWith releases or deletes a former target.
func (r *Reconciler) partWith(ctx context.Context, resource *v1alpha1.JupicoCredential, secret *corev1.Secret) error {
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

// isAsLeft reports whether the watch shows the target as the status left it. A watch that is behind our own write does.
func isAsLeft(left *v1alpha1.TargetStatus, seen *glimpse, name string) bool {
	if left == nil || seen == nil || left.Name != name || seen.ref.UID != left.UID {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(seen.ref.ResourceVersion, left.ResourceVersion)
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
