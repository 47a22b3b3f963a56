// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

const (
	// maxRefusal is how much of the API server's own words is repeated, in bytes.
	maxRefusal = 300
	// retryEvery is how soon the operator tries again to clean up a former target, or to write over conflicts that do not
	// end.
	retryEvery = time.Minute
)

var (
	// errConflict means that the round was decided on what is no longer so.
	errConflict = errors.New("it has changed meanwhile")
	// errHeld means that a Secret is being deleted, and is still there.
	errHeld = errors.New("it is being deleted, and held by the finalizer")
)

// targetError is a Target with a problem that the operator itself found.
type targetError decision.Target

func (e *targetError) Error() string { return e.Detail }

// deliver makes the target what it should be, and writes it only if it differs. When the API server refuses the write,
// both the Target and the error say so. A conflict is no error.
func (r *Reconciler) deliver(
	ctx context.Context, resource *v1alpha1.JupicoCredential, templates *render.Templates, delivery decision.Delivery,
) (decision.Target, error) {
	w := &targetWrite{Reconciler: r, Delivery: delivery, resource: resource, after: &corev1.Secret{}}
	target, err := w.renderAndRun(ctx, templates)
	if err == nil {
		return target, nil
	}
	// A quota, a policy or a rule may forbid the write. Whatever the error, the operator tries again.
	words, what := w.redact(err.Error(), w.after.Data), "cleaning up former targets: "
	if !target.Holds {
		what = "writing the target Secret: "
		target = decision.Target{Problem: v1alpha1.ReasonTargetWriteFailed, Detail: fmt.Sprintf(
			"Secret %q could not be written. The operator tries again: %s", resource.Spec.Target.Name, words)}
	}
	if errors.Is(err, errConflict) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) ||
		apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		// Somebody else was faster, or the namespace is being deleted: this needs a new observation.
		target.HasConflict, target.RetryAt = true, w.clock.Now().Add(retryEvery)
		return target, nil
	}
	return target, errors.New(what + words)
}

// targetWrite is what becomes of one Delivery.
type targetWrite struct {
	*Reconciler
	decision.Delivery

	resource *v1alpha1.JupicoCredential
	// before is the target as the API server has it, and after as it is to be.
	before, after *corev1.Secret
	// ownership says which part of after belongs to the operator.
	ownership render.Mark
	// recreated is a clause that says why the target was deleted and made anew. Else empty.
	recreated string
}

// renderAndRun brings the target to what the spec asks for. If the data has to stay as it is, owners, labels and
// annotations follow the spec all the same.
func (w *targetWrite) renderAndRun(ctx context.Context, templates *render.Templates) (decision.Target, error) {
	data, err := w.render(templates)
	target := decision.Target{}
	if err == nil {
		target, err = w.run(ctx, data)
	}
	if problem, isProblem := errors.AsType[*targetError](err); isProblem {
		target, err = w.run(ctx, nil)
		target.Problem, target.Detail, target.NeedsUser = problem.Problem, problem.Detail, problem.NeedsUser
		target.Altered = cmp.Or(problem.Altered, target.Altered)
		target.Differed = target.Differed || problem.Altered != ""
	}
	return target, err
}

// render makes the data of the target. It is nil when the data is to stay as it is.
func (w *targetWrite) render(templates *render.Templates) (map[string][]byte, error) {
	proof := w.Proof
	if proof == nil {
		return nil, nil
	}
	data, err := templates.Render(render.Proven{
		Token: proof.Token, URL: proof.Endpoint.URL, Entry: proof.Entry, Environment: proof.Environment,
		Credential: proof.Credential,
	})
	if err != nil && !errors.Is(err, render.ErrNotKnown) {
		detail := decision.TemplateErrorDetail(err.Error())
		return nil, &targetError{Problem: v1alpha1.ReasonTemplateError, NeedsUser: true, Detail: detail}
	}
	return data, nil
}

// run creates the target, or updates it if it differs, and then cleans up the former ones. Nil data stays as it is.
func (w *targetWrite) run(ctx context.Context, data map[string][]byte) (decision.Target, error) {
	if err := w.readJudged(ctx); err != nil {
		return decision.Target{}, err
	}
	if w.before.UID == "" && data == nil {
		return decision.Target{}, nil // there is nothing that could stay as it is
	}
	w.after = w.before.DeepCopy()
	w.ownership = render.Apply(w.after, w.resource, data)
	target := decision.Target{IsAdopted: !w.ownership.Created}
	var updated *metav1.Time
	if render.Difference(w.before, w.after) != "" {
		target.Differed, target.OtherManager = true, otherManager(w.before)
		if !w.MayWrite {
			return target, nil
		}
		if err := w.write(ctx, data); err != nil {
			return decision.Target{}, err
		}
		target.IsWritten, target.Altered, target.Recreated = true, w.altered(w.after, data), w.recreated
		updated = &metav1.Time{Time: w.clock.Now().Truncate(time.Second)}
	}
	target.Holds = data != nil && bytes.Equal(w.after.Data[v1alpha1.TargetKeyToken], data[v1alpha1.TargetKeyToken])
	target.Status = &v1alpha1.TargetStatus{
		Name: w.after.Name, UID: w.after.UID, ResourceVersion: w.after.ResourceVersion,
		Keys: w.ownership.Keys, UpdatedTime: updated,
	}
	if !target.Holds || target.Altered != "" || len(w.FormerTargets) == 0 {
		return target, nil
	}
	err := w.cleanUpFormer(ctx, &target)
	return target, err
}

// altered names the part of an answer of the API server that would have to be written once more, because an admission
// policy or a webhook changed what was written. What those add to it does not count.
func (w *targetWrite) altered(answer *corev1.Secret, data map[string][]byte) string {
	wanted := answer.DeepCopy()
	render.ApplyAs(w.ownership, wanted, w.resource, data)
	return render.Difference(answer, wanted)
}

// readJudged reads the target from the API server, or begins an empty Secret to be created. The target must still be
// the version that the round was decided on: whoever wrote a newer one may know better.
func (w *targetWrite) readJudged(ctx context.Context) error {
	name := keyOf(w.resource.Namespace, w.resource.Spec.Target.Name)
	w.before = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	if w.Judged == nil {
		if w.resource.Status.Target == nil {
			return nil
		}
		return w.checkLatest(ctx) // somebody has deleted the target, and perhaps the resource before
	}
	err := w.live.Get(ctx, name, w.before)
	if err == nil {
		w.secrets.Observe(w.before)
	}
	if apierrors.IsNotFound(err) || err == nil && versionOf(w.before) != w.Judged.Version {
		return errConflict
	}
	return err
}

// write creates or updates the target. One that cannot be updated is deleted and made again.
func (w *targetWrite) write(ctx context.Context, data map[string][]byte) error {
	if data != nil && !w.NotAfter.IsZero() && w.clock.Now().After(w.NotAfter) {
		return fmt.Errorf("%w: the API server took so long that the token has to be proven again", errConflict)
	}
	var reason string // a clause that says why the target cannot be updated
	switch before, after := w.before, w.after; {
	case before.UID != "" && before.Type != after.Type:
		reason = fmt.Sprintf("has the type %q, which cannot change to %q", before.Type, after.Type)
	case ptr.Deref(before.Immutable, false) && !equality.Semantic.DeepEqual(before.Data, after.Data):
		reason = "is immutable, so it cannot be updated"
	}
	if reason != "" {
		if err := w.deleteForRecreation(ctx, reason, data); err != nil {
			return err
		}
		w.after, w.recreated = render.Successor(w.after), reason
	}
	return w.save(ctx, w.after, "Wrote target Secret")
}

// deleteForRecreation deletes a target that cannot be updated. The operator must have made it, it must hold only the
// operator's keys, and the token of its successor must have been accepted just now. Since what is deleted is lost, the
// API server is asked first whether it would accept the successor as it is.
func (w *targetWrite) deleteForRecreation(ctx context.Context, reason string, data map[string][]byte) error {
	var why string
	switch ownership := render.OwnershipOf(w.before, w.resource); {
	case w.resource.Spec.Target.CreationPolicy == v1alpha1.CreationPolicyOrphan:
		why = "spec.target.creationPolicy is Orphan"
	case !ownership.Created:
		why = "it existed before"
	case !sets.New(ownership.Keys...).IsSuperset(sets.KeySet(w.before.Data)):
		why = "it has keys that are not the operator's"
	}
	if why != "" {
		detail := fmt.Sprintf("Secret %q %s, and it is not the operator's to delete (%s). Delete it yourself, and the "+
			"operator writes it anew.", w.before.Name, reason, why)
		return &targetError{Problem: v1alpha1.ReasonTargetWriteFailed, NeedsUser: true, Detail: detail}
	}
	probe := render.Successor(w.after)
	probe.Name, probe.GenerateName = "", w.before.Name+"-"
	if err := w.client.Create(ctx, probe, client.DryRunAll); err != nil {
		return err
	}
	probe.Name = w.before.Name
	if part := w.altered(probe, data); part != "" {
		return &targetError{Altered: part}
	}
	detail := fmt.Sprintf("Secret %q %s. It is deleted and made anew as soon as Jupico accepts the token once more.",
		w.before.Name, reason)
	if w.AcceptedNow || !w.before.DeletionTimestamp.IsZero() {
		err := w.deleteAsRead(ctx, w.before, "Deleted target Secret, to make it anew")
		if !errors.Is(err, errHeld) {
			return err
		}
		detail = fmt.Sprintf("Secret %q %s. It is to be made anew, but %s. Wait for it to go, or remove what "+
			"keeps it.", w.before.Name, reason, err)
	}
	return &targetError{Problem: v1alpha1.ReasonTargetWriteFailed, Detail: detail}
}

// save creates or updates a Secret, and then logs what was done.
func (w *targetWrite) save(ctx context.Context, secret *corev1.Secret, done string) error {
	err := w.secrets.Write(secret, func() error {
		if secret.UID == "" {
			return w.client.Create(ctx, secret)
		}
		return w.client.Update(ctx, secret)
	})
	if err != nil {
		return err
	}
	log.FromContext(ctx).Info(done, "secret", client.ObjectKeyFromObject(secret))
	return nil
}

// deleteAsRead deletes a Secret unless it was changed since it was read, and then logs what was done. The error is
// errHeld while a finalizer keeps the Secret from going.
func (w *targetWrite) deleteAsRead(ctx context.Context, secret *corev1.Secret, done string) error {
	isHeld := len(secret.Finalizers) > 0
	if secret.DeletionTimestamp.IsZero() {
		asRead := client.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion}
		if err := w.client.Delete(ctx, secret, asRead); client.IgnoreNotFound(err) != nil {
			return err
		}
		if isHeld {
			done = "Began to delete Secret, which a finalizer holds"
		}
		log.FromContext(ctx).Info(done, "secret", client.ObjectKeyFromObject(secret))
	}
	if isHeld {
		return fmt.Errorf("%w %q", errHeld, secret.Finalizers[0])
	}
	return nil
}

// redact shortens the API server's words, and removes whatever an admission policy may repeat of a Secret: its values
// and what they are made of, in plaintext and in base64. A value that the template shows literally stays.
func (w *targetWrite) redact(words string, data map[string][]byte) string {
	var plain [][]byte
	template := w.resource.Spec.Target.Template
	for key, value := range data {
		if template == nil || string(template.Data[key]) != string(value) {
			plain = append(plain, value)
		}
	}
	if w.Proof != nil {
		_, password, _ := w.Proof.Credential.RevealLogin()
		plain = append(plain, []byte(w.Proof.Token.Reveal()), []byte(password))
	}
	for _, value := range slices.Clone(plain) {
		plain = append(plain, base64.StdEncoding.AppendEncode(nil, value))
	}
	slices.SortFunc(plain, func(a, b []byte) int { return len(b) - len(a) }) // wholes before their parts
	for _, value := range plain {
		if len(value) > 0 {
			words = strings.ReplaceAll(words, string(value), credential.Redacted)
		}
	}
	return strings.ToValidUTF8(words[:min(len(words), maxRefusal)], "")
}

// cleanUpFormer cleans up the Secrets that were the target before. It says in the target what became of them.
func (w *targetWrite) cleanUpFormer(ctx context.Context, target *decision.Target) error {
	// To a cache that is behind, the present target may look like a former one.
	if err := w.checkLatest(ctx); err != nil {
		return err
	}
	for _, name := range w.FormerTargets {
		released, problem := w.releaseOrDelete(ctx, target, keyOf(w.resource.Namespace, name))
		if released != "" {
			target.Released = append(target.Released, fmt.Sprintf("The former target %q %s.", name, released))
		}
		if problem != "" {
			target.RetryAt = w.clock.Now().Add(retryEvery)
			target.FormerRemains = fmt.Sprintf("Secret %q is what the spec and the source ask for, but the former target %q "+
				"could not be cleaned up (%s). Remove what keeps it, or delete it yourself. The operator tries again once a "+
				"minute.", w.resource.Spec.Target.Name, name, problem)
		}
	}
	if len(target.Released) > 0 {
		target.HasConflict = false // a round that is abandoned would tell nobody of these
	}
	return nil
}

// checkLatest asks the API server whether the round was decided on the resource as it is now.
func (w *targetWrite) checkLatest(ctx context.Context) error {
	latest := &v1alpha1.JupicoCredential{}
	err := w.live.Get(ctx, client.ObjectKeyFromObject(w.resource), latest)
	isLatest := latest.UID == w.resource.UID && latest.Generation == w.resource.Generation
	if apierrors.IsNotFound(err) || err == nil && (!isLatest || !latest.DeletionTimestamp.IsZero()) {
		return errConflict
	}
	return err
}

// releaseOrDelete lets the Secret itself decide. One that existed before loses the operator's part, one that the
// operator made for this resource is deleted, and one that was to stay behind keeps its data. It returns a clause that
// says what was done, or one that says why the Secret remains. When there was nothing to do, both are empty.
func (w *targetWrite) releaseOrDelete(
	ctx context.Context, target *decision.Target, name client.ObjectKey,
) (released, problem string) {
	secret := &corev1.Secret{}
	err := w.live.Get(ctx, name, secret)
	if err != nil || !render.IsManaged(secret, w.resource.Name) {
		if client.IgnoreNotFound(err) != nil {
			return "", readProblem(err)
		}
		return "", ""
	}
	data, ownership := maps.Clone(secret.Data), render.OwnershipOf(secret, w.resource)
	switch {
	case !ownership.Created:
		released = "keeps what is not the operator's"
		render.Withdraw(secret, ownership.Keys)
		err = w.save(ctx, secret, "Withdrew from former target Secret")
	case render.IsOwnedBy(secret, w.resource):
		released = "was deleted"
		err = w.deleteAsRead(ctx, secret, "Deleted former target Secret")
	default:
		released = "keeps its data, and is no longer the operator's"
		render.Release(secret)
		err = w.save(ctx, secret, "Released former target Secret")
	}
	if err != nil {
		target.HasConflict = target.HasConflict || apierrors.IsConflict(err) || apierrors.IsNotFound(err)
		return "", w.redact(err.Error(), data)
	}
	return released, ""
}

// otherManager returns the field manager that changed a Secret last, apart from the operator.
func otherManager(secret *corev1.Secret) string {
	var last metav1.ManagedFieldsEntry
	for _, entry := range secret.ManagedFields {
		if entry.Manager != render.ManagerName && (last.Time == nil || last.Time.Before(entry.Time)) {
			last = entry
		}
	}
	return last.Manager
}
