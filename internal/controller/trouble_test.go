// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/objectwatch"
)

// refuseAll has the operator's requests that are meant refused until the result is called.
func refuseAll(isMeant func(*http.Request) bool, failure *apierrors.StatusError) (allow func()) {
	GinkgoHelper()
	var isAllowed atomic.Bool
	config := operator.config
	refusing := rest.CopyConfig(config)
	refusing.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if isMeant(r) && !isAllowed.Load() {
				return refuse(failure)(nil)
			}
			return next.RoundTrip(r)
		})
	})
	restart(func() { operator.config = refusing })
	DeferCleanup(func() { restart(func() { operator.config = config }) })
	return func() { isAllowed.Store(true) }
}

var _ = Describe("A target whose write ends in a conflict each time", func() {
	It("is told as not written, and is written once there is none", func() {
		s := newScene()
		isCreation := func(r *http.Request) bool {
			return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/"+s.namespace+"/secrets")
		}
		allow := refuseAll(isCreation, apierrors.NewConflict(corev1.Resource("secrets"), "target",
			errors.New(`admission webhook "hierarchy" denied the request`)))
		s.writeSource(s.login.data())
		s.create()
		Eventually(func() string { return condition(s.get(), v1alpha1.ConditionSecretSynced) }, retried, "100ms").
			Should(Equal("False/TargetWriteFailed"))
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(ContainSubstring(`webhook "hierarchy" denied`))
		allow()
		testClock.advance(time.Minute)
		s.poke()
		s.expectReady("True", "Accepted")
	})
})

var _ = Describe("A former target", func() {
	conflict := apierrors.NewConflict(corev1.Resource("secrets"), "target", errors.New("somebody else was faster"))

	It("is no trouble when somebody else was faster once", func() {
		s := newScene()
		s.ready()
		happened := s.disturb(http.MethodDelete, refuse(conflict))
		s.edit(rename("renamed"))
		Eventually(happened, soon).Should(BeClosed())
		s.expectGone("target")
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
		Expect(s.eventReasons()).NotTo(ContainElement("Warning FormerTargetRemains"))
	})

	It("is told of when its deletion ends in a conflict each time", func() {
		s := newScene()
		s.ready()
		isDeletion := func(r *http.Request) bool {
			return r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/"+s.namespace+"/secrets/target")
		}
		allow := refuseAll(isDeletion, conflict)
		other := s.target()
		other.ObjectMeta = metav1.ObjectMeta{Namespace: s.namespace, Name: "other", Annotations: map[string]string{
			v1alpha1.AnnotationManagedBy: "payments",
			v1alpha1.AnnotationOwnership: `{"secret":"other","created":false,"keys":["token"]}`,
		}}
		restart(func() {
			Expect(admin.Create(ctx, other)).To(Succeed())
			s.edit(rename("renamed"))
		})
		Eventually(s.eventReasons, soon).Should(ContainElement("Normal Released"), "of the other, which is not held up")
		Eventually(func() string { return condition(s.get(), v1alpha1.ConditionSecretSynced) }, retried, "100ms").
			Should(Equal("True/FormerTargetRemains"))
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(ContainSubstring("somebody else was faster"))
		allow()
		testClock.advance(time.Minute)
		s.poke()
		s.expectGone("target")
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
	})
})

var _ = Describe("A former target that remains", func() {
	It("is still told of after a restart", func() {
		s := newScene()
		s.ready()
		forbidOperator("delete", "secrets")
		s.edit(rename("renamed"))
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "FormerTargetRemains")
		restart(func() {})
		Consistently(func() string { return condition(s.get(), v1alpha1.ConditionSecretSynced) }, "3s", "50ms").
			Should(Equal("True/FormerTargetRemains"))
		Expect(s.eventReasons()).NotTo(ContainElement("Normal Recovered"))
	})
})

var _ = Describe("A source that was missing", func() {
	It("is read as soon as the watch shows it, though the cache does not show yet who refers to it", func() {
		s := newScene()
		behind, err := cache.New(administrator, cache.Options{
			Scheme: scheme, DefaultNamespaces: map[string]cache.Config{s.namespace: {}},
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(objectwatch.RegisterIndexes(ctx, behind)).To(Succeed())
		watching, stop := context.WithCancel(ctx)
		DeferCleanup(stop)
		go func() { _ = behind.Start(watching) }()
		objects, err := metadata.NewForConfig(administrator)
		Expect(err).NotTo(HaveOccurred())
		watch := func(index, resource string) *objectwatch.Watch {
			kind := objects.Resource(corev1.SchemeGroupVersion.WithResource(resource))
			w := objectwatch.New(behind, index, kind, s.namespace, isNews, func(error) {})
			Expect(w.Start(watching, nil)).To(Succeed())
			Expect(w.WaitForSync(watching)).To(Succeed())
			return w
		}
		r := &Reconciler{
			live: admin, clock: &testClock,
			secrets:    watch(objectwatch.IndexSecrets, "secrets"),
			configMaps: watch(objectwatch.IndexConfigMaps, "configmaps"),
		}
		resource := s.resource()
		reference := &v1alpha1.CAConfigMapReference{Name: "authorities"}
		resource.Spec.Endpoint = &v1alpha1.Endpoint{URL: s.url, CAConfigMapRef: reference}
		source := r.readSource(ctx, resource, 0, decision.Source{})
		Expect(source.Problem).To(Equal(v1alpha1.ReasonSourceNotFound))
		ca := r.readCA(ctx, resource, decision.CA{})
		Expect(ca.IsMissing).To(BeTrue())

		s.writeSource(s.login.data())
		Expect(admin.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "authorities"}, Data: map[string]string{"ca.crt": "x"},
		})).To(Succeed())
		Eventually(func() string { return r.readSource(ctx, resource, 0, source).Problem }, soon, "20ms").Should(BeEmpty())
		Eventually(func() bool { return r.readCA(ctx, resource, ca).IsMissing }, soon, "20ms").Should(BeFalse())
	})
})

var _ = Describe("A target that was deleted after its resource", func() {
	It("is not made again for a cache that still shows the resource", func() {
		s := newScene()
		s.ready(func(r *v1alpha1.JupicoCredential) { r.Spec.Target.CreationPolicy = v1alpha1.CreationPolicyOrphan })
		cached := s.get()
		Expect(admin.Delete(ctx, cached)).To(Succeed())
		Expect(admin.Delete(ctx, s.target())).To(Succeed())
		r := &Reconciler{live: admin, client: admin, clock: &testClock, secrets: unwatched()}
		result, err := r.deliver(ctx, cached, compiled(cached), decision.Delivery{
			MayWrite: true, Proof: &decision.Proof{Entry: "main"},
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(result.HasConflict).To(BeTrue())
		Expect(apierrors.IsNotFound(admin.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "target"}, &corev1.Secret{}))).
			To(BeTrue())
	})
})
