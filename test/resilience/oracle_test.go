// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// proofAge is how long before a token is written the API must have accepted it.
const proofAge = time.Minute

// state describes the resources and the Secrets of a world, in words that are the same in every world.
func (w *world) state() string {
	var resources v1alpha1.JupicoCredentialList
	w.must(admin.List(ctx, &resources, client.InNamespace(w.namespace)))
	var secrets corev1.SecretList
	w.must(admin.List(ctx, &secrets, client.InNamespace(w.namespace)))
	var b strings.Builder
	for i := range resources.Items {
		r := &resources.Items[i]
		for _, c := range r.Status.Conditions {
			fmt.Fprintf(&b, "%s %s=%s/%s\n", r.Name, c.Type, c.Status, c.Reason)
		}
		if deployed := r.Status.Deployed; deployed != nil {
			fmt.Fprintf(&b, "%s has deployed %s: %s\n", r.Name, deployed.Credential, deployed.Verdict)
		}
		fmt.Fprintf(&b, "%s observed=%t\n", r.Name, r.Status.ObservedGeneration == r.Generation)
		fmt.Fprintf(&b, "%s told=%t\n", r.Name, tells(r.Status.Target, secrets.Items))
	}
	for i := range secrets.Items {
		describe(&b, &secrets.Items[i], resources.Items)
	}
	return strings.NewReplacer(w.api.url, "https://api", w.otherAPI.url, "https://other-api").Replace(b.String())
}

// tells reports whether a status tells of a target as it is.
func tells(status *v1alpha1.TargetStatus, secrets []corev1.Secret) bool {
	return status != nil && slices.ContainsFunc(secrets, func(s corev1.Secret) bool {
		return s.Name == status.Name && s.UID == status.UID && s.ResourceVersion == status.ResourceVersion
	})
}

// describe describes a Secret. An owner that is gone, or was made again, is told from the present one.
func describe(b *strings.Builder, s *corev1.Secret, resources []v1alpha1.JupicoCredential) {
	fmt.Fprintf(b, "Secret %s type=%s\n", s.Name, s.Type)
	for _, key := range slices.Sorted(maps.Keys(s.Data)) {
		fmt.Fprintf(b, "Secret %s data %s=%s\n", s.Name, key, s.Data[key])
	}
	for _, key := range slices.Sorted(maps.Keys(s.Labels)) {
		fmt.Fprintf(b, "Secret %s label %s=%s\n", s.Name, key, s.Labels[key])
	}
	for _, key := range slices.Sorted(maps.Keys(s.Annotations)) {
		fmt.Fprintf(b, "Secret %s annotation %s=%s\n", s.Name, key, s.Annotations[key])
	}
	for _, owner := range s.OwnerReferences {
		isPresent := slices.ContainsFunc(resources, func(r v1alpha1.JupicoCredential) bool { return r.UID == owner.UID })
		fmt.Fprintf(b, "Secret %s owner %s present=%t\n", s.Name, owner.Name, isPresent)
	}
}

// difference lists the lines that only one of two states has.
func difference(got, want string) string {
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	var b strings.Builder
	for _, line := range gotLines {
		if !slices.Contains(wantLines, line) {
			fmt.Fprintf(&b, "\n      + %s", line)
		}
	}
	for _, line := range wantLines {
		if !slices.Contains(gotLines, line) {
			fmt.Fprintf(&b, "\n      - %s", line)
		}
	}
	return b.String()
}

var decoder = serializer.NewCodecFactory(scheme).UniversalDeserializer()

// write is one of an operator to a Secret.
type write struct {
	*call

	world         *world
	secret        string
	before, after *corev1.Secret // nil where there is none
}

// expectWrite looks at a Secret before an operator writes it. The result is to be called once it was written.
func (w *world) expectWrite(c *call) func() {
	if !c.isWrite() || c.isDryRun || c.resource != "secrets" {
		return func() {}
	}
	written := &write{call: c, world: w, secret: c.name}
	if c.method != http.MethodDelete {
		object, _, err := decoder.Decode(c.body, nil, nil)
		after, isSecret := object.(*corev1.Secret)
		if err != nil || !isSecret {
			w.violated("a write of Secrets has no Secret in it: %v", err)
			return func() {}
		}
		written.after, written.secret = after, after.Name
	}
	before := w.secretNamed(written.secret)
	if err := admin.Get(ctx, client.ObjectKeyFromObject(before), before); err == nil {
		written.before = before
	}
	return written.judge
}

// judge finds what an operator must never do to a Secret.
func (w *write) judge() {
	var resources v1alpha1.JupicoCredentialList
	if err := admin.List(ctx, &resources, client.InNamespace(w.world.namespace)); err != nil {
		w.world.violated("the resources could not be listed: %v", err)
		return
	}
	if !w.isOurs(resources.Items) {
		w.world.violated("%s of Secret %q, which is not the operator's", w.method, w.secret)
	}
	var had, has string
	if w.before != nil {
		had = string(w.before.Data[v1alpha1.TargetKeyToken])
	}
	if w.after != nil {
		has = string(w.after.Data[v1alpha1.TargetKeyToken])
	}
	if has != "" && has != had {
		w.judgeToken(has)
	}
	if had != "" && has == "" && w.isInUse(resources.Items) {
		w.world.violated("%s of Secret %q, which is in use, took its token", w.method, w.secret)
	}
}

// isOurs reports whether a resource may write the Secret: its target is to be made, or it is marked.
func (w *write) isOurs(resources []v1alpha1.JupicoCredential) bool {
	if w.before == nil {
		w.world.mu.Lock()
		defer w.world.mu.Unlock()
		return w.method != http.MethodPost || w.world.targets[w.secret]
	}
	manager := w.before.Annotations[v1alpha1.AnnotationManagedBy]
	return slices.ContainsFunc(resources, func(r v1alpha1.JupicoCredential) bool { return r.Name == manager })
}

// isInUse reports whether the Secret is a target that can stay: it needs no other type, and can be written.
func (w *write) isInUse(resources []v1alpha1.JupicoCredential) bool {
	return slices.ContainsFunc(resources, func(r v1alpha1.JupicoCredential) bool {
		wanted := w.before.Type
		if template := r.Spec.Target.Template; template != nil && template.Type != "" {
			wanted = corev1.SecretType(template.Type)
		}
		return r.Spec.Target.Name == w.secret && wanted == w.before.Type && w.before.Immutable == nil
	})
}

// judgeToken demands that the API accepted a token just now, or that it is one that was delivered before, as when a
// target is put right, and that was not rejected since.
func (w *write) judgeToken(token string) {
	now := w.world.clock.Now()
	verdict := w.world.api.verdict(token)
	if other := w.world.otherAPI.verdict(token); other.at.After(verdict.at) {
		verdict = other
	}
	w.world.mu.Lock()
	isKnown := w.world.delivered[token]
	w.world.delivered[token] = true
	w.world.mu.Unlock()
	switch {
	case verdict.at.IsZero():
		w.world.violated("Secret %q got a token that the API was never asked about", w.secret)
	case !verdict.isAccepted:
		w.world.violated("Secret %q got a token that the API rejects", w.secret)
	case !isKnown && now.Sub(verdict.at) > proofAge:
		w.world.violated("Secret %q got a token that was accepted %s before", w.secret, now.Sub(verdict.at))
	}
}

// tokensOf returns the tokens of the Secrets of a world.
func (w *world) tokensOf(names ...string) map[string]string {
	tokens := map[string]string{}
	for _, name := range names {
		secret := w.secretNamed(name)
		err := admin.Get(ctx, client.ObjectKeyFromObject(secret), secret)
		w.must(client.IgnoreNotFound(err))
		if token := string(secret.Data[v1alpha1.TargetKeyToken]); err == nil && token != "" {
			tokens[name] = token
		}
	}
	return tokens
}

// plant puts a token into a target that no API was asked about, as somebody who tampers with it.
func (w *world) plant(target, token string) {
	w.mu.Lock()
	w.planted[token] = true
	w.mu.Unlock()
	w.change(target, func(s *corev1.Secret) {
		metav1.SetMetaDataLabel(&s.ObjectMeta, "app.kubernetes.io/managed-by", "somebody")
		s.Data[v1alpha1.TargetKeyToken] = []byte(token)
	})
}

func (w *world) isPlanted(token string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.planted[token]
}
