// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

var _ = Describe("A token that was accepted", func() {
	DescribeTable("and is rejected is confirmed, reported, and left in its place", func(
		env v1alpha1.Environment, code, reason, progress string,
	) {
		s := newScene()
		s.ready(environment(env))
		s.emulator.SetState(s.login.username, code)
		s.askForCheck()
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("True/Accepted"), "one rejection is none")
		Expect(s.get().Status.Credentials[0].ConsecutiveRejected).To(BeEquivalentTo(1))

		s.expectReady("False", reason)
		r := s.get()
		Expect(condition(r, v1alpha1.ConditionCredentialAccepted)).To(Equal("False/" + reason))
		Expect(condition(r, v1alpha1.ConditionSecretSynced)).To(Equal("True/Synced"))
		Expect(condition(r, v1alpha1.ConditionEndpointAvailable)).To(Equal("True/Available"))
		Expect(condition(r, progress)).To(Equal("True/" + reason))
		Expect(r.Status.Credentials[0].LastRejected).NotTo(BeNil())
		Expect(s.targetToken()).To(Equal(s.login.token()), "a rejection never empties a target")
		Eventually(s.eventReasons, soon).Should(ContainElement("Warning " + reason))

		By("not being written again where the target is lost meanwhile")
		Expect(admin.Delete(ctx, s.target())).To(Succeed())
		s.expectCondition(v1alpha1.ConditionSecretSynced, "False", "WaitingForCredential")
		Expect(s.target()).To(BeNil())

		By("being delivered again once it is accepted again")
		s.emulator.SetState(s.login.username, "")
		s.askForCheck()
		s.expectReady("True", "Accepted")
		Eventually(s.targetToken, soon).Should(Equal(s.login.token()))
		Expect(s.get().Status.Credentials[0].LastRejected).NotTo(BeNil(), "the trace of a bad night is kept")
		Eventually(s.eventReasons, soon).Should(ContainElement("Normal Recovered"))
	},
		Entry("in the shared sandbox, as a reset", v1alpha1.EnvironmentSharedSandbox, "auth_invalid_api_token",
			"SandboxReset", "Reconciling"),
		Entry("in a sandbox of one's own, as a revocation", v1alpha1.EnvironmentSandbox, "auth_invalid_api_token",
			"Revoked", "Stalled"),
		Entry("in production, as a revocation", v1alpha1.EnvironmentProduction, "auth_invalid_api_token",
			"Revoked", "Stalled"),
		Entry("as an inactive user", v1alpha1.EnvironmentProduction, "auth_invalid_api_user", "UserInactive", "Stalled"),
		Entry("as an inactive account", v1alpha1.EnvironmentProduction, "auth_invalid_product", "AccountInactive", "Stalled"),
	)

	It("stays accepted through an outage, and becomes stale when that lasts", func() {
		s := newScene()
		s.ready()
		s.emulator.Inject(jupicotest.Fault{Status: 503})
		s.askForCheck()
		s.expectCondition(v1alpha1.ConditionEndpointAvailable, "False", "Unavailable")
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("True/Accepted"))
		Expect(condition(s.get(), v1alpha1.ConditionCredentialAccepted)).To(Equal("True/Accepted"))
		Expect(condition(s.get(), v1alpha1.ConditionReconciling)).To(Equal("absent"))
		Eventually(s.eventReasons, soon).Should(ContainElement("Warning Unavailable"))

		testClock.advance(16 * time.Minute)
		s.poke()
		s.expectReady("True", "Stale")
		Expect(condition(s.get(), v1alpha1.ConditionCredentialAccepted)).To(Equal("Unknown/Stale"))
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring("(Unavailable)"))
		Expect(s.targetToken()).To(Equal(s.login.token()))

		s.emulator.Clear()
		s.askForCheck()
		s.expectReady("True", "Accepted")
	})

	It("outlives the deletion of its source, and goes on being checked", func() {
		s := newScene()
		s.ready()
		Expect(admin.Delete(ctx, s.secret("source"))).To(Succeed())
		s.expectReady("True", "SourceNotFound")
		Expect(condition(s.get(), v1alpha1.ConditionSecretSynced)).To(Equal("False/SourceNotFound"))
		Expect(condition(s.get(), v1alpha1.ConditionCredentialAccepted)).To(Equal("True/Accepted"))
		Expect(s.targetToken()).To(Equal(s.login.token()))

		By("coming back from memory where it is tampered with")
		target := s.target()
		target.Data["token"] = []byte("tampered")
		Expect(admin.Update(ctx, target)).To(Succeed())
		Eventually(s.targetToken, soon, "20ms").Should(Equal(s.login.token()))

		By("being reported when it is revoked")
		s.emulator.Revoke(s.login.username)
		s.askForCheck()
		s.expectReady("False", "Revoked")

		By("meeting its source again")
		s.emulator.Restore(s.login.username)
		s.writeSource(s.login.data())
		s.askForCheck()
		s.expectReady("True", "Accepted")
		Expect(condition(s.get(), v1alpha1.ConditionSecretSynced)).To(Equal("True/Synced"))
	})

	It("is not replaced by an edit that the API rejects, across a restart, and its own revocation is still seen", func() {
		s := newScene()
		s.ready()
		wrong := newLogin()
		s.writeSource(wrong.data())
		s.expectReady("True", "CandidateRejected")
		Expect(condition(s.get(), v1alpha1.ConditionSecretSynced)).To(Equal("False/CandidateRejected"))
		Expect(condition(s.get(), v1alpha1.ConditionCredentialAccepted)).To(Equal("True/Accepted"))
		Expect(s.targetToken()).To(Equal(s.login.token()))

		operator.stop()
		operator.start()
		checked := s.emulator.RequestsFor(s.login.token())
		s.askForCheck()
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(checked+1), "the deployed token was read back and checked")
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("True/CandidateRejected"))

		s.emulator.Revoke(s.login.username)
		s.askForCheck()
		s.expectReady("False", "Revoked")

		By("being replaced by an edit that the API accepts")
		other := newLogin()
		s.emulator.AddAccount(other.username, other.password, jupicotest.Standard)
		s.writeSource(other.data())
		Eventually(s.targetToken, soon, "20ms").Should(Equal(other.token()))
		s.expectReady("True", "Accepted")
	})

	It("is not known any more when its target was changed behind a stopped operator's back, and then is never sent", func() {
		s := newScene()
		s.ready()
		wrong, planted := newLogin(), newLogin()
		s.writeSource(wrong.data())
		s.expectReady("True", "CandidateRejected")
		operator.stop()
		target := s.target()
		target.Data["token"] = []byte(planted.token())
		Expect(admin.Update(ctx, target)).To(Succeed())
		operator.start()
		s.askForCheck()
		Expect(s.emulator.RequestsFor(planted.token())).To(BeZero())
		testClock.advance(16 * time.Minute)
		s.poke()
		s.expectCondition(v1alpha1.ConditionCredentialAccepted, "Unknown", "DeployedUnverifiable")

		By("being put right by a source that is proven")
		s.writeSource(s.login.data())
		Eventually(s.targetToken, soon, "20ms").Should(Equal(s.login.token()))
		s.expectReady("True", "Accepted")
	})

	It("is checked at its old endpoint while the spec names one that may not be asked", func() {
		s := newScene()
		s.ready()
		s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Endpoint.URL = "https://not-allowed.example" })
		s.expectReady("True", "EndpointDenied")
		r := s.get()
		Expect(condition(r, v1alpha1.ConditionSecretSynced)).To(Equal("False/EndpointDenied"))
		Expect(condition(r, v1alpha1.ConditionCredentialAccepted)).To(Equal("True/Accepted"))
		Expect(condition(r, v1alpha1.ConditionStalled)).To(Equal("True/EndpointDenied"))
		Expect(r.Status.Deployed.Endpoint).To(Equal(s.url))
		checked := s.emulator.RequestsFor(s.login.token())
		s.askForCheck()
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(checked + 1))
		Expect(s.target().Data).To(HaveKeyWithValue("url", []byte(s.url)))
	})

	It("moves with its resource to another endpoint, which accepts it first", func() {
		s := newScene()
		s.ready()
		other, url := emulators.take()
		s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Endpoint.URL = url })
		s.expectReady("True", "CandidateRejected")
		Expect(s.target().Data).To(HaveKeyWithValue("url", []byte(s.url)))
		other.AddAccount(s.login.username, s.login.password, jupicotest.Standard)
		s.askForCheck()
		s.expectReady("True", "Accepted")
		Expect(s.target().Data).To(HaveKeyWithValue("url", []byte(url)))
	})

	It("is neither checked nor written while suspended", func() {
		s := newScene()
		s.ready()
		s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Suspend = true })
		s.expectReady("True", "Suspended")
		requests := s.emulator.Requests()
		Expect(admin.Delete(ctx, s.target())).To(Succeed())
		s.edit(func(r *v1alpha1.JupicoCredential) {
			metav1.SetMetaDataAnnotation(&r.ObjectMeta, v1alpha1.AnnotationCheckRequestedAt, "now")
		})
		Consistently(s.target, "1s").Should(BeNil())
		Expect(s.emulator.Requests()).To(Equal(requests))
		s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Suspend = false })
		s.expectReady("True", "Accepted")
		Eventually(s.targetToken, soon).Should(Equal(s.login.token()))
		Eventually(func() string { return s.get().Status.LastHandledCheckRequest }, soon).Should(Equal("now"))
	})
})

var _ = Describe("A check request", func() {
	It("of 250 KiB is handled, and repeated no longer than its bound", func() {
		s := newScene()
		s.ready()
		long := strings.Repeat("é", 125*1024)
		s.edit(func(r *v1alpha1.JupicoCredential) {
			metav1.SetMetaDataAnnotation(&r.ObjectMeta, v1alpha1.AnnotationCheckRequestedAt, long)
		})
		Eventually(func() string { return s.get().Status.LastHandledCheckRequest }, soon, "20ms").
			Should(Equal(strings.Repeat("é", 256)))
		Consistently(func() int { return s.emulator.RequestsFor(s.login.token()) }, "500ms").Should(Equal(2))
	})

	It("is honoured ten times in a row, and then once a minute", func() {
		s := newScene()
		s.ready()
		for range 10 {
			s.askForCheck()
		}
		s.edit(func(r *v1alpha1.JupicoCredential) {
			metav1.SetMetaDataAnnotation(&r.ObjectMeta, v1alpha1.AnnotationCheckRequestedAt, "too many")
		})
		Consistently(func() string { return s.get().Status.LastHandledCheckRequest }, "1s").ShouldNot(Equal("too many"))
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(1 + 10))
		testClock.advance(time.Minute)
		s.poke()
		Eventually(func() string { return s.get().Status.LastHandledCheckRequest }, soon, "20ms").Should(Equal("too many"))
	})
})

var _ = Describe("A status write", func() {
	It("computed from an older resource loses, so that a woken old leader changes nothing", func() {
		s := newScene()
		s.ready()
		old := s.get()
		s.edit(func(r *v1alpha1.JupicoCredential) { metav1.SetMetaDataLabel(&r.ObjectMeta, "changed", "meanwhile") })
		stale := old.Status.DeepCopy()
		stale.Credentials[0].Reason = "WrittenByAnOldLeader"
		objects, err := metadata.NewForConfig(administrator)
		Expect(err).NotTo(HaveOccurred())
		statuses := objects.Resource(v1alpha1.GroupVersion.WithResource(resourcesKind))
		_, err = (&Reconciler{statuses: statuses}).writeStatus(ctx, old, stale)
		Expect(err).To(Satisfy(apierrors.IsConflict))
		Expect(s.get().Status.Credentials[0].Reason).To(Equal("Accepted"))
	})
})

var _ = Describe("A mass rejection", func() {
	It("is said to be one, since the cause is then likely Jupico's", func() {
		var scenes []*scene
		for range 4 {
			s := newScene()
			if len(scenes) > 0 { // all at one endpoint
				s.emulator, s.url = scenes[0].emulator, scenes[0].url
				s.emulator.AddAccount(s.login.username, s.login.password, jupicotest.Standard)
			}
			s.ready()
			scenes = append(scenes, s)
		}
		for _, s := range scenes {
			s.emulator.Revoke(s.login.username)
			s.askForCheck()
			s.expectReady("False", "Revoked")
		}
		Expect(message(scenes[0].get(), v1alpha1.ConditionReady)).NotTo(ContainSubstring("Most credentials"))
		Expect(message(scenes[3].get(), v1alpha1.ConditionReady)).To(ContainSubstring("Most credentials"))
	})
})
