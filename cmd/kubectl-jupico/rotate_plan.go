// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// step is one of a rotation. Which one is next follows from the resource alone, so that a rotation that was stopped
// goes on when the command is run again.
type step int

const (
	stepAdd     step = iota // the new Secret becomes the standby
	stepProve               // Jupico accepts what is in it
	stepSwap                // it becomes the first entry
	stepDeliver             // the target holds its token
	stepPods                // the pods have it, so that the user can revoke the old credential
	stepRemove              // the old entry is no longer needed
	stepDone
)

// changes reports whether a step changes the entries of the spec.
func (s step) changes() bool { return s == stepAdd || s == stepSwap || s == stepRemove }

// rotation says what becomes the credential of which resource.
type rotation struct {
	name, secret string
	key          string // of the API key; none: that of the present entry
}

// next returns the step that comes next, and the entry of the new Secret as it is or will be.
func (r *rotation) next(resource *v1alpha1.JupicoCredential) (step, v1alpha1.Credential, error) {
	if err := r.obstacle(resource); err != nil {
		return 0, v1alpha1.Credential{}, err
	}
	entries := resource.Spec.Credentials
	i := slices.IndexFunc(entries, r.isNew)
	switch {
	case i < 0:
		entry, err := r.newEntry(entries[0])
		return stepAdd, entry, err
	case i > 0 && !isAccepted(resource, entries[i].Name):
		return stepProve, entries[i], nil
	case i > 0:
		return stepSwap, entries[i], nil
	case !isDelivered(resource):
		return stepDeliver, entries[i], nil
	case len(entries) == 1:
		return stepDone, entries[i], nil
	case isAccepted(resource, entries[i].Name) && isOver(recordOf(resource, entries[1].Name)):
		return stepRemove, entries[i], nil
	default:
		return stepPods, entries[i], nil
	}
}

// obstacle says why the next step cannot be made, if so.
func (r *rotation) obstacle(resource *v1alpha1.JupicoCredential) error {
	entries := resource.Spec.Credentials
	switch {
	case resource.Spec.Suspend:
		return errSuspended(r.name)
	case len(entries) == 1:
		return nil
	case !slices.ContainsFunc(entries, r.isNew):
		return fmt.Errorf("%s has a standby already, entry %q of Secret %s: remove that first, or rotate to that Secret",
			r.name, entries[1].Name, entries[1].SecretName())
	case r.key == "" && r.isNew(entries[0]) && r.isNew(entries[1]):
		return fmt.Errorf("entries %q and %q both use Secret %s: name the key of the new one with --key",
			entries[0].Name, entries[1].Name, r.secret)
	default:
		return nil
	}
}

// isNew reports whether an entry is read from the new Secret.
func (r *rotation) isNew(entry v1alpha1.Credential) bool {
	return entry.SecretName() == r.secret && (r.key == "" || entry.APIKeySecretRef != nil && keyOf(entry) == r.key)
}

// newEntry is like the present one, but for the Secret and its name.
func (r *rotation) newEntry(present v1alpha1.Credential) (v1alpha1.Credential, error) {
	entry := *present.DeepCopy()
	switch {
	case entry.APIKeySecretRef != nil:
		entry.APIKeySecretRef.Name, entry.APIKeySecretRef.Key = r.secret, cmp.Or(r.key, entry.APIKeySecretRef.Key)
	case r.key != "":
		return entry, fmt.Errorf("--key is for an API key, and %s uses a login: leave it out", r.name)
	default:
		entry.BasicAuthSecretRef.Name = r.secret
	}
	const longest = 61 // of 63, so that there is room for the number
	entry.Name = strings.ReplaceAll(r.secret, ".", "-")
	entry.Name = strings.TrimRight(entry.Name[:min(longest, len(entry.Name))], "-")
	if entry.Name == present.Name {
		entry.Name += "-2"
	}
	return entry, nil
}

// entriesAfter are the entries of the spec after a step that changes them.
func entriesAfter(s step, entry, old v1alpha1.Credential) []v1alpha1.Credential {
	switch s {
	case stepAdd:
		return []v1alpha1.Credential{old, entry}
	case stepSwap:
		return []v1alpha1.Credential{entry, old}
	default:
		return []v1alpha1.Credential{entry}
	}
}

// oldEntry is the one that the new one replaces. When the rotation is done, there is none.
func oldEntry(resource *v1alpha1.JupicoCredential, entry v1alpha1.Credential) v1alpha1.Credential {
	for _, other := range resource.Spec.Credentials {
		if other.Name != entry.Name {
			return other
		}
	}
	return v1alpha1.Credential{}
}

// whereabouts says which Secret an entry is read from and, if the other is read from it too, which of the two it is.
func whereabouts(entry, other v1alpha1.Credential) string {
	switch {
	case entry.SecretName() != other.SecretName():
		return "Secret " + entry.SecretName()
	case entry.APIKeySecretRef == nil:
		return fmt.Sprintf("entry %q (Secret %s)", entry.Name, entry.SecretName())
	default:
		return fmt.Sprintf("entry %q (Secret %s, key %s)", entry.Name, entry.SecretName(), keyOf(entry))
	}
}

// keyOf is the key of the Secret that holds an API key.
func keyOf(entry v1alpha1.Credential) string {
	return cmp.Or(entry.APIKeySecretRef.Key, v1alpha1.DefaultAPIKeyKey)
}

// recordOf is what the operator knows about an entry of the present spec.
func recordOf(resource *v1alpha1.JupicoCredential, name string) v1alpha1.CredentialStatus {
	for _, record := range resource.Status.Credentials {
		if record.Name == name && resource.Status.ObservedGeneration == resource.Generation {
			return record
		}
	}
	return v1alpha1.CredentialStatus{}
}

func isAccepted(resource *v1alpha1.JupicoCredential, name string) bool {
	record := recordOf(resource, name)
	return record.Verdict == v1alpha1.VerdictAccepted && record.Source != nil && !repeats(resource)
}

// repeats reports whether both entries hold the same credential, so that revoking the old one would revoke both.
func repeats(resource *v1alpha1.JupicoCredential) bool {
	redundant := meta.FindStatusCondition(resource.Status.Conditions, v1alpha1.ConditionRedundant)
	return redundant != nil && redundant.Reason == v1alpha1.ReasonSameCredential
}

// isDelivered reports whether the target holds the token of the first entry.
func isDelivered(resource *v1alpha1.JupicoCredential) bool {
	synced := meta.FindStatusCondition(resource.Status.Conditions, v1alpha1.ConditionSecretSynced)
	return resource.Status.Deployed != nil && resource.Status.Deployed.Credential == resource.Spec.Credentials[0].Name &&
		synced != nil && synced.Status == metav1.ConditionTrue && synced.ObservedGeneration == resource.Generation
}

// isOver reports whether a credential was revoked, or its Secret was deleted.
func isOver(old v1alpha1.CredentialStatus) bool {
	return old.Verdict == v1alpha1.VerdictRejected || old.Source == nil && old.Reason == v1alpha1.ReasonSourceNotFound
}

// problem says why the new Secret cannot be used, if so. Until the operator has looked at it, there is none.
func (r *rotation) problem(resource *v1alpha1.JupicoCredential, entry string) string {
	record := recordOf(resource, entry)
	isBroken := slices.Contains([]string{
		v1alpha1.ReasonSourceNotFound, v1alpha1.ReasonSourceKeyMissing, v1alpha1.ReasonInvalidSource,
	}, record.Reason)
	switch {
	case record.Source == nil && isBroken:
		return fmt.Sprintf("Secret %s cannot be used (%s).", r.secret, record.Reason)
	case record.Verdict == v1alpha1.VerdictRejected:
		return fmt.Sprintf("Jupico rejects the credential in Secret %s (%s).", r.secret, record.Reason)
	case record.Verdict == v1alpha1.VerdictAccepted && repeats(resource):
		return fmt.Sprintf("Secret %s holds the same credential as the present one.", r.secret)
	default:
		return ""
	}
}

// plan lists the steps. Those before next are done.
func plan(resource *v1alpha1.JupicoCredential, entry v1alpha1.Credential, next step) string {
	var b strings.Builder
	old := oldEntry(resource, entry)
	fmt.Fprintf(&b, "Rotation of %s/%s from %s to %s:\n", resource.Namespace, resource.Name,
		whereabouts(old, entry), whereabouts(entry, old))
	for i, text := range []string{
		fmt.Sprintf("Add Secret %s as the standby, entry %q.", entry.SecretName(), entry.Name),
		"Wait until Jupico accepts what is in it.",
		"Swap the two entries.",
		fmt.Sprintf("Wait until Secret %s, the target, holds the new token.", resource.Spec.Target.Name),
		"Wait until the pods have it. You then revoke the old credential, and run the command again.",
		fmt.Sprintf("Remove the old entry, %q.", old.Name),
	} {
		mark := "    "
		if step(i) < next {
			mark = "done"
		}
		fmt.Fprintf(&b, "  %s  %d. %s\n", mark, i+1, text)
	}
	switch {
	case next == stepDeliver:
		fmt.Fprintf(&b, "%q is the first entry already. This retires entry %q.\n", entry.Name, old.Name)
	case next > stepDeliver:
		fmt.Fprintf(&b, "%q is active already. This retires entry %q.\n", entry.Name, old.Name)
	}
	if tool := managerOf(resource); tool != "" {
		fmt.Fprintf(&b, "%s manages this resource, and may undo each step. To make the changes where it reads them, see\n"+
			"--dry-run=client -o yaml.\n", tool)
	}
	return b.String()
}

// managerOf names the tool that applies a resource from Git, if there is one.
func managerOf(resource *v1alpha1.JupicoCredential) string {
	for _, known := range []struct{ tool, fieldManager, mark string }{
		{"Argo CD", "argocd-controller", "argocd.argoproj.io/tracking-id"},
		{"Argo CD", "argocd-controller", "argocd.argoproj.io/instance"},
		{"Flux", "kustomize-controller", "kustomize.toolkit.fluxcd.io/name"},
		{"Flux", "helm-controller", "helm.toolkit.fluxcd.io/name"},
	} {
		_, isLabelled := resource.Labels[known.mark]
		_, isAnnotated := resource.Annotations[known.mark]
		if isLabelled || isAnnotated || slices.ContainsFunc(resource.ManagedFields, func(f metav1.ManagedFieldsEntry) bool {
			return f.Manager == known.fieldManager
		}) {
			return known.tool
		}
	}
	return ""
}

// manifests are the resource after each change that is still to come, for those who keep it in Git.
func manifests(resource *v1alpha1.JupicoCredential, entry v1alpha1.Credential, next step) (string, error) {
	const leftOut = "# Labels and annotations are left out: copy spec.credentials into your manifest.\n"
	old := oldEntry(resource, entry)
	wait := fmt.Sprintf("jcred/%s -n %s --for=", resource.Name, resource.Namespace)
	var documents []string
	for _, change := range []struct {
		step    step
		comment string
	}{
		{stepAdd, "# Add the standby. Then wait until Jupico accepts both:\n" +
			"# kubectl wait " + wait + "condition=Redundant\n"},
		{stepSwap, "# Swap the two entries. Then wait until the target holds the new token, and until your pods have it:\n" +
			"# kubectl wait " + wait + "jsonpath='{.status.deployed.credential}'=" + entry.Name + "\n"},
		{stepRemove, "# Remove the old entry, after you have revoked its credential at Jupico.\n"},
	} {
		if change.step < next {
			continue
		}
		after := &v1alpha1.JupicoCredential{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind},
			ObjectMeta: metav1.ObjectMeta{Namespace: resource.Namespace, Name: resource.Name},
			Spec:       *resource.Spec.DeepCopy(),
		}
		after.Spec.Credentials = entriesAfter(change.step, entry, old)
		text, err := yaml.Marshal(after)
		if err != nil {
			return "", err
		}
		documents = append(documents, change.comment+leftOut+string(text))
	}
	return strings.Join(documents, "---\n"), nil
}
