// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

var _ = Describe("A credential that is accepted", func() {
	It("is delivered byte for byte, with a status that says so", func() {
		s := newScene()
		s.ready()

		target := s.target()
		Expect(target.Data).To(Equal(map[string][]byte{
			"authorization": []byte("Basic " + s.login.token()),
			"token":         []byte(s.login.token()),
			"url":           []byte(s.url),
		}))
		Expect(target.Type).To(Equal(corev1.SecretTypeOpaque))
		Expect(target.Labels).To(HaveKeyWithValue("app.kubernetes.io/managed-by", "jupico-operator"))
		Expect(target.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationManagedBy, "payments"))

		r := s.get()
		Expect(target.OwnerReferences).To(HaveLen(1))
		Expect(target.OwnerReferences[0].UID).To(Equal(r.UID))
		Expect(target.OwnerReferences[0].BlockOwnerDeletion).To(BeNil())
		Expect(condition(r, v1alpha1.ConditionCredentialAccepted)).To(Equal("True/Accepted"))
		Expect(condition(r, v1alpha1.ConditionSecretSynced)).To(Equal("True/Synced"))
		Expect(condition(r, v1alpha1.ConditionEndpointAvailable)).To(Equal("True/Available"))
		Expect(condition(r, v1alpha1.ConditionReconciling)).To(Equal("absent"))
		Expect(condition(r, v1alpha1.ConditionStalled)).To(Equal("absent"))
		Expect(r.Status.ObservedGeneration).To(Equal(r.Generation))
		Expect(r.Status.Deployed.Credential).To(Equal("main"))
		Expect(r.Status.Deployed.Endpoint).To(Equal(s.url))
		Expect(r.Status.Credentials[0].TokenForm).To(Equal(v1alpha1.TokenFormStandard))
		Expect(r.Status.Target.Keys).To(Equal([]string{"authorization", "token", "url"}))
		Expect(r.Status.Target.ResourceVersion).To(Equal(target.ResourceVersion))
		Expect(r.Status.NextCheckTime.Time).To(BeTemporally(">", testClock.Now()))
		Expect(s.eventReasons()).To(BeEmpty(), "a first acceptance is no event")
	})

	It("costs one request, after one random token that the endpoint refused", func() {
		s := newScene()
		s.ready()
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(1))
		Expect(s.emulator.Requests()).To(Equal(2))
	})

	It("is found in the form of the published key where the API accepts only that", func() {
		s := newScene()
		s.emulator.SetPublishedForms(jupicotest.TrailingNewline)
		s.writeSource(map[string][]byte{
			"username": []byte(jupicotest.PublishedUsername), "password": []byte(jupicotest.PublishedPassword),
		})
		s.create(environment(v1alpha1.EnvironmentSharedSandbox))
		s.expectReady("True", "Accepted")
		Expect(s.targetToken()).To(Equal("ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXozCg=="))
		Expect(s.get().Status.Credentials[0].TokenForm).To(Equal(v1alpha1.TokenFormTrailingNewline))

		By("remembering the form, which is then the only one that is tried")
		s.askForCheck()
		Expect(s.emulator.RequestsFor(jupicotest.PublishedStandardToken)).To(Equal(1))
		Expect(s.emulator.RequestsFor(jupicotest.PublishedAPIKey)).To(Equal(2))
	})

	It("is delivered in the form of RFC 7617 where the API accepts only that", func() {
		s := newScene()
		s.emulator.SetPublishedForms(jupicotest.Standard)
		s.writeSource(map[string][]byte{
			"username": []byte(jupicotest.PublishedUsername), "password": []byte(jupicotest.PublishedPassword),
		})
		s.create(environment(v1alpha1.EnvironmentSharedSandbox))
		s.expectReady("True", "Accepted")
		Expect(s.targetToken()).To(Equal("ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXoz"))
	})

	It("is not delivered by an endpoint that accepts anything", func() {
		s := newScene()
		s.emulator.AuthenticateNobody(true)
		s.writeSource(s.login.data())
		s.create()
		s.expectReady("False", "EndpointDoesNotAuthenticate")
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("True/EndpointDoesNotAuthenticate"))
		Expect(s.target()).To(BeNil())
		Expect(s.emulator.RequestsFor(s.login.token())).To(BeZero(), "the credential was shown to whoever answers there")
	})

	It("may lack the permission to read the status", func() {
		s := newScene()
		s.emulator.SetState(s.login.username, "auth_invalid_role")
		s.writeSource(s.login.data())
		s.create()
		s.expectReady("True", "LimitedPermissions")
		Expect(s.targetToken()).To(Equal(s.login.token()))
	})

	It("may be an API key, which is sent byte for byte", func() {
		s := newScene()
		key := "canary-" + s.login.username + "._~+/="
		secrets = append(secrets, key)
		s.emulator.AddKey(key)
		s.writeSource(map[string][]byte{"apiKey": []byte(key)})
		s.create(apiKey)
		s.expectReady("True", "Accepted")
		Expect(s.targetToken()).To(Equal(key))
		Expect(s.get().Status.Credentials[0].TokenForm).To(BeEmpty())
	})

	It("may stand under other keys of the source", func() {
		s := newScene()
		s.writeSource(map[string][]byte{"u": []byte(s.login.username), "p": []byte(s.login.password)})
		s.create(func(r *v1alpha1.JupicoCredential) {
			r.Spec.Credentials[0].BasicAuthSecretRef.UsernameKey = "u"
			r.Spec.Credentials[0].BasicAuthSecretRef.PasswordKey = "p"
		})
		s.expectReady("True", "Accepted")
	})

	It("is trusted on the word of a CA in a ConfigMap, as soon as that is there", func() {
		s := newScene()
		s.writeSource(s.login.data())
		s.create(func(r *v1alpha1.JupicoCredential) {
			r.Spec.Endpoint.CABundle = nil
			r.Spec.Endpoint.CAConfigMapRef = &v1alpha1.CAConfigMapReference{Name: "authorities", Key: "bundle.pem"}
		})
		s.expectReady("False", "CAInvalid")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring(`ConfigMap "authorities" does not exist`))

		authorities := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "authorities"},
			Data:       map[string]string{"ca.crt": string(emulators.ca.PEM())},
		}
		Expect(admin.Create(ctx, authorities)).To(Succeed())
		Eventually(func() string { return message(s.get(), v1alpha1.ConditionReady) }, soon, "20ms").
			Should(ContainSubstring(`ConfigMap "authorities" has no key "bundle.pem"`))

		authorities.Data["bundle.pem"] = string(emulators.ca.PEM())
		Expect(admin.Update(ctx, authorities)).To(Succeed())
		s.expectReady("True", "Accepted")
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(1))
	})

	It("is delivered as soon as its source is corrected", func() {
		s := newScene()
		other := newLogin()
		s.writeSource(other.data())
		s.create()
		s.expectReady("False", "Rejected")
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("True/Rejected"))
		Expect(s.target()).To(BeNil())
		corrected := time.Now()
		s.writeSource(s.login.data())
		Eventually(s.targetToken, soon, "5ms").Should(Equal(s.login.token()))
		AddReportEntry("time from correction to delivery", time.Since(corrected).Round(time.Millisecond).String())
		s.expectReady("True", "Accepted")
	})

	It("survives the loss of its Secret, which is written again", func() {
		s := newScene()
		s.ready()
		first := s.target()
		Expect(admin.Delete(ctx, first)).To(Succeed())
		Eventually(s.targetToken, soon, "5ms").Should(Equal(s.login.token()))
		Expect(s.target().UID).NotTo(Equal(first.UID))
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(1), "a repair needs no check")
	})

	It("is put right in its Secret when somebody tampers with it, while keys and labels of others stay", func() {
		s := newScene()
		s.ready()
		target := s.target()
		target.Data["token"] = []byte("tampered")
		target.Data["theirs"] = []byte("kept")
		delete(target.Data, "url")
		delete(target.Labels, "app.kubernetes.io/managed-by")
		metav1.SetMetaDataLabel(&target.ObjectMeta, "theirs", "kept")
		target.OwnerReferences = nil
		Expect(admin.Update(ctx, target)).To(Succeed())
		Eventually(s.targetToken, soon, "5ms").Should(Equal(s.login.token()))
		target = s.target()
		Expect(target.Data).To(HaveKeyWithValue("theirs", []byte("kept")))
		Expect(target.Data).To(HaveKeyWithValue("url", []byte(s.url)))
		Expect(target.Labels).To(HaveKeyWithValue("theirs", "kept"))
		Expect(target.Labels).To(HaveKeyWithValue("app.kubernetes.io/managed-by", "jupico-operator"))
		Expect(target.OwnerReferences).To(HaveLen(1))
		Eventually(func() string { return s.get().Status.Target.ResourceVersion }, soon).
			Should(Equal(target.ResourceVersion))
	})

	It("says what it took over when a hand-made Secret is handed to it", func() {
		s := newScene()
		Expect(admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "target"},
			Data:       map[string][]byte{"token": []byte("by hand"), "other": []byte("kept")},
		})).To(Succeed())
		s.writeSource(s.login.data())
		s.create()
		s.expectReady("False", "TargetConflict")
		s.expectCondition(v1alpha1.ConditionCredentialAccepted, "True", "Accepted")
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("True/TargetConflict"))
		Expect(s.targetToken()).To(Equal("by hand"))

		target := s.target()
		metav1.SetMetaDataAnnotation(&target.ObjectMeta, v1alpha1.AnnotationManagedBy, "payments")
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.expectReady("True", "Accepted")
		Expect(s.targetToken()).To(Equal(s.login.token()))
		Expect(s.target().Data).To(HaveKeyWithValue("other", []byte("kept")))
	})

	It("goes where its resource can be deleted with it, and leaves it to the garbage collector", func() {
		s := newScene()
		s.ready()
		r := s.get()
		Expect(admin.Delete(ctx, r, client.PropagationPolicy(metav1.DeletePropagationForeground))).To(Succeed())
		Expect(s.get().DeletionTimestamp).NotTo(BeNil())
		// As the garbage collector does, again where the operator's cache had not shown the deletion yet.
		Eventually(func(g Gomega) {
			if target := s.target(); target != nil {
				g.Expect(admin.Delete(ctx, target)).To(Succeed())
			}
			g.Consistently(s.target, "1s").Should(BeNil())
		}, soon).Should(Succeed())
		r = s.get()
		r.Finalizers = nil
		Expect(admin.Update(ctx, r)).To(Succeed())
	})
})
