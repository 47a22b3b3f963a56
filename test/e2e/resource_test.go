//go:build e2e

// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// resource is a JupicoCredential with its sources and its target. Each entry has a Secret with an API key.
type resource struct {
	namespace, name string
	entries         []string
}

func (r *resource) key() client.ObjectKey {
	return client.ObjectKey{Namespace: r.namespace, Name: r.name}
}

func (r *resource) targetKey() client.ObjectKey {
	return client.ObjectKey{Namespace: r.namespace, Name: r.name + "-jupico"}
}

// create applies the resource, and waits until it is ready.
func (r *resource) create(ctx context.Context, environment, creationPolicy string) {
	GinkgoHelper()
	r.apply(ctx, environment, creationPolicy)
	r.becomes(ctx, v1alpha1.ConditionReady, "True", "Accepted")
}

// apply applies the resource and its sources, with keys that the emulator accepts.
func (r *resource) apply(ctx context.Context, environment, creationPolicy string) {
	GinkgoHelper()
	var manifest strings.Builder
	_, _ = fmt.Fprintf(&manifest, `
apiVersion: credentials.jupico.dev/v1alpha1
kind: JupicoCredential
metadata: {name: %s, namespace: %s}
spec:
  environment: %s
  endpoint:
    url: https://%s
    caConfigMapRef: {name: %s}
  target: {name: %s, creationPolicy: %s}
  credentials:
`, r.name, r.namespace, environment, sandboxHost, caConfigMap, r.targetKey().Name, creationPolicy)
	for _, entry := range r.entries {
		addKey(ctx, r.token(entry, "0"))
		r.writeSource(ctx, entry, r.token(entry, "0"))
		_, _ = fmt.Fprintf(&manifest, "  - name: %s\n    apiKeySecretRef: {name: %s-%s, key: apiKey}\n", entry, r.name, entry)
	}
	apply(ctx, manifest.String())
}

// token returns a version of an entry's key.
func (r *resource) token(entry, version string) string {
	return strings.Join([]string{"e2e", r.namespace, r.name, entry, version}, "-")
}

func (r *resource) writeSource(ctx context.Context, entry, token string) {
	GinkgoHelper()
	source := &corev1.Secret{}
	key := client.ObjectKey{Namespace: r.namespace, Name: r.name + "-" + entry}
	err := k8s.Get(ctx, key, source)
	if client.IgnoreNotFound(err) != nil {
		Expect(err).NotTo(HaveOccurred())
	}
	source.Data = map[string][]byte{"apiKey": []byte(token)}
	if err == nil {
		Expect(k8s.Update(ctx, source)).To(Succeed())
		return
	}
	source.Namespace, source.Name = key.Namespace, key.Name
	Expect(k8s.Create(ctx, source)).To(Succeed())
}

// rotate adds a new key and writes it to the source. It returns the time before the write.
func (r *resource) rotate(ctx context.Context, entry, version string) time.Time {
	GinkgoHelper()
	token := r.token(entry, version)
	addKey(ctx, token)
	begin := time.Now()
	r.writeSource(ctx, entry, token)
	return begin
}

// requestCheck requests a check now.
func (r *resource) requestCheck(ctx context.Context) {
	GinkgoHelper()
	kubectl(ctx, "--namespace="+r.namespace, "annotate", "--overwrite", "jcred", r.name,
		fmt.Sprintf("%s=%d", v1alpha1.AnnotationCheckRequestedAt, time.Now().UnixNano()))
}

func (r *resource) get(ctx context.Context) *v1alpha1.JupicoCredential {
	GinkgoHelper()
	var credential v1alpha1.JupicoCredential
	Expect(k8s.Get(ctx, r.key(), &credential)).To(Succeed())
	return &credential
}

// becomes waits until a condition has the status and the reason.
func (r *resource) becomes(ctx context.Context, condition, status, reason string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		var credential v1alpha1.JupicoCredential
		g.Expect(k8s.Get(ctx, r.key(), &credential)).To(Succeed())
		found := meta.FindStatusCondition(credential.Status.Conditions, condition)
		g.Expect(found).NotTo(BeNil())
		g.Expect(string(found.Status)+"/"+found.Reason).To(Equal(status+"/"+reason), found.Message)
		g.Expect(found.ObservedGeneration).To(Equal(credential.Generation))
	}).WithContext(ctx).Should(Succeed())
}

func (r *resource) target(ctx context.Context) *corev1.Secret {
	GinkgoHelper()
	var target corev1.Secret
	Expect(k8s.Get(ctx, r.targetKey(), &target)).To(Succeed())
	return &target
}

// delivers waits until the target has the token. It does not print the token.
func (r *resource) delivers(ctx context.Context, token string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		var target corev1.Secret
		g.Expect(k8s.Get(ctx, r.targetKey(), &target)).To(Succeed())
		same := string(target.Data["token"]) == token // a matcher would print both
		g.Expect(same).To(BeTrue(), "the target has another token")
	}).WithContext(ctx).WithPolling(20 * time.Millisecond).Should(Succeed())
}
