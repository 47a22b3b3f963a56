// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/objectwatch"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

// newAccount is a login that the scene's emulator accepts.
func (s *scene) newAccount() login {
	other := newLogin()
	s.emulator.AddAccount(other.username, other.password, jupicotest.Standard)
	return other
}

// restart stops the operator, lets something happen, and starts another one, which knows nothing.
func restart(meanwhile func()) {
	GinkgoHelper()
	operator.stop()
	meanwhile()
	operator.start()
}

func rename(name string) func(*v1alpha1.JupicoCredential) {
	return func(r *v1alpha1.JupicoCredential) { r.Spec.Target.Name = name }
}

func (s *scene) expectGone(name string) {
	GinkgoHelper()
	Eventually(func() *corev1.Secret { return s.secret(name) }, soon, "20ms").Should(BeNil())
}

var _ = Describe("A source that cannot be read", func() {
	It("leaves the deployed token checked, and is read again when that is allowed", func() {
		s := newScene()
		s.ready()
		allow := forbidOperator("get", "secrets")
		s.poke()
		s.expectReady("True", "SourceUnreadable")
		Expect(condition(s.get(), v1alpha1.ConditionSecretSynced)).To(Equal("False/SourceUnreadable"))
		Expect(condition(s.get(), v1alpha1.ConditionCredentialAccepted)).To(Equal("True/Accepted"))
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("absent"))
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring("the operator is not allowed to"))

		By("seeing a revocation")
		s.emulator.Revoke(s.login.username)
		s.askForCheck()
		s.expectReady("False", "Revoked")
		s.emulator.Restore(s.login.username)

		allow()
		testClock.advance(time.Minute)
		s.askForCheck()
		s.expectReady("True", "Accepted")
	})

	It("does not keep the other entry from being proven and delivered", func() {
		s := newScene()
		second := s.newKey()
		s.writeKey("second", second)
		s.create(func(r *v1alpha1.JupicoCredential) {
			r.Spec.Credentials = append(r.Spec.Credentials, keyEntry("second"))
		})
		s.expectReady("True", "FailedOver")
		Expect(s.targetToken()).To(Equal(second))
	})

	It("says so before a first delivery, and goes on trying", func() {
		s := newScene()
		s.writeSource(s.login.data())
		allow := forbidOperator("get", "secrets")
		s.create()
		s.expectReady("False", "SourceUnreadable")
		Expect(condition(s.get(), v1alpha1.ConditionReconciling)).To(Equal("True/SourceUnreadable"))
		allow()
		testClock.advance(time.Minute)
		s.poke()
		s.expectReady("True", "Accepted")
	})
})

var _ = Describe("While the status cannot be written", func() {
	It("a wrong password is sent once", func() {
		s := newScene()
		s.ready()
		forbidOperator("patch", "jupicocredentials/status")
		wrong := newLogin()
		s.writeSource(wrong.data())
		Eventually(func() int { return s.emulator.RequestsFor(wrong.token()) }, soon, "20ms").Should(Equal(1))
		Consistently(func() int { return s.emulator.RequestsFor(wrong.token()) }, "3s").Should(Equal(1))
		Expect(s.targetToken()).To(Equal(s.login.token()))
	})

	It("a rotation counts, so that a wrong password after it changes nothing, and what was delivered is checked", func() {
		s := newScene()
		s.ready()
		next := s.newAccount()
		allow := forbidOperator("patch", "jupicocredentials/status")
		s.writeSource(next.data())
		s.expectTarget(next.token())
		s.emulator.Revoke(s.login.username)
		wrong := newLogin()
		s.writeSource(wrong.data())
		Eventually(func() int { return s.emulator.RequestsFor(wrong.token()) }, soon, "20ms").Should(Equal(1))
		allow()
		s.expectReady("True", "CandidateRejected")
		checks := s.emulator.RequestsFor(next.token())
		s.askForCheck()
		Expect(s.emulator.RequestsFor(next.token())).To(Equal(checks + 1))
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("True/CandidateRejected"))
		Expect(s.targetToken()).To(Equal(next.token()))
	})

	It("a target that was made before a crash and a rename does not stay behind", func() {
		s := newScene()
		allow := forbidOperator("patch", "jupicocredentials/status")
		s.writeSource(s.login.data())
		s.create()
		s.expectTarget(s.login.token())
		restart(func() { s.edit(rename("renamed")) })
		allow()
		s.expectGone("target")
		Expect(s.secret("renamed").Data).To(HaveKeyWithValue("token", []byte(s.login.token())))
		s.expectReady("True", "Accepted")
	})

	It("a key that was written before a crash, and taken back, does not stay", func() {
		s := newScene()
		s.ready(template("", "kept", "text"))
		allow := forbidOperator("patch", "jupicocredentials/status")
		s.edit(template("", "kept", "text", "taken-back", "{{ .Token }}"))
		Eventually(s.targetData, soon, "20ms").Should(HaveKey("taken-back"))
		restart(func() { s.edit(template("", "kept", "text")) })
		allow()
		Eventually(s.targetData, soon, "20ms").Should(Equal(map[string]string{"kept": "text", "token": s.login.token()}))
		s.expectReady("True", "Accepted")
	})
})

var _ = Describe("What is the operator's of a Secret", func() {
	handOver := func(s *scene, owner *corev1.ConfigMap) {
		Expect(admin.Create(ctx, owner)).To(Succeed())
		Expect(admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: s.namespace, Name: "target",
				Annotations: map[string]string{v1alpha1.AnnotationManagedBy: "payments"},
				Labels:      map[string]string{"theirs": "kept"},
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID,
				}},
			},
			Data: map[string][]byte{"theirs": []byte("kept")},
		})).To(Succeed())
	}
	ownerIn := func(s *scene) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "owner"}}
	}

	It("is its keys and marks alone when it was handed over: after a rename, the rest stays", func() {
		s := newScene()
		owner := ownerIn(s)
		handOver(s, owner)
		s.ready()
		Expect(s.target().OwnerReferences).To(HaveLen(1), "an adopted Secret is not deleted with the resource")
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(ContainSubstring("It existed before"))
		s.edit(rename("renamed"))
		Eventually(s.targetData, soon, "20ms").Should(Equal(map[string]string{"theirs": "kept"}))
		target := s.target()
		Expect(target.Annotations).To(BeEmpty())
		Expect(target.Labels).To(Equal(map[string]string{"theirs": "kept"}))
		Expect(target.OwnerReferences).To(ConsistOf(HaveField("Name", "owner")))
		Expect(s.secret("renamed").Data).To(HaveKeyWithValue("token", []byte(s.login.token())))
	})

	It("is nothing of a copy, which is touched by nobody", func() {
		s := newScene()
		s.ready()
		replica := s.target()
		replica.ObjectMeta = metav1.ObjectMeta{
			Namespace: s.namespace, Name: "copy", Annotations: replica.Annotations, OwnerReferences: replica.OwnerReferences,
		}
		Expect(admin.Create(ctx, replica)).To(Succeed())
		s.edit(rename("renamed"))
		s.expectGone("target")
		Expect(s.secret("copy").ResourceVersion).To(Equal(replica.ResourceVersion))

		By("being named as the target")
		s.edit(rename("copy"))
		s.expectReady("False", "TargetConflict")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring("is a copy of another target"))
		Expect(s.secret("copy").ResourceVersion).To(Equal(replica.ResourceVersion))
	})

	It("decides about a former target, whatever the spec says by then", func() {
		s := newScene()
		s.ready(orphan)
		s.edit(func(r *v1alpha1.JupicoCredential) {
			r.Spec.Target.Name = "renamed"
			r.Spec.Target.CreationPolicy = v1alpha1.CreationPolicyOwner
		})
		Eventually(func() map[string]string { return s.target().Annotations }, soon, "20ms").Should(BeEmpty())
		Expect(s.targetToken()).To(Equal(s.login.token()))
	})

	DescribeTable("follows creationPolicy", func(before func(*scene), reason string) {
		s := newScene()
		s.ready()
		before(s)
		s.edit(orphan)
		Eventually(func() []metav1.OwnerReference { return s.target().OwnerReferences }, soon, "20ms").Should(BeEmpty())
		Eventually(func() string { return s.get().Status.Conditions[0].Reason }, soon, "20ms").Should(Equal(reason))
		Expect(s.targetToken()).To(Equal(s.login.token()))
	},
		Entry("while the token is rejected", func(s *scene) {
			s.emulator.Revoke(s.login.username)
			s.askForCheck()
			s.expectReady("False", "Revoked")
		}, "Revoked"),
		Entry("while suspended", func(s *scene) {
			s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Suspend = true })
			s.expectReady("True", "Suspended")
		}, "Suspended"),
		Entry("while a template has an error", func(s *scene) {
			s.edit(template("", "wrong", "{{ .Nothing }}"))
			s.expectReady("True", "TemplateError")
		}, "TemplateError"),
	)

	It("is left alone when the spec names it as a source", func() {
		s := newScene()
		s.ready()
		s.edit(func(r *v1alpha1.JupicoCredential) {
			r.Spec.Target.Name = "renamed"
			r.Spec.Credentials[0] = v1alpha1.Credential{
				Name: "main", APIKeySecretRef: &v1alpha1.APIKeySecretReference{Name: "target", Key: "token"},
			}
		})
		Eventually(func() *corev1.Secret { return s.secret("renamed") }, soon, "20ms").ShouldNot(BeNil())
		s.expectReady("True", "Accepted")
		Expect(s.targetToken()).To(Equal(s.login.token()))
	})

	It("is cleaned up though another former target resists", func() {
		s := newScene()
		s.ready()
		for _, name := range []string{"a-resists", "b-follows"} {
			former := s.target()
			former.ObjectMeta = metav1.ObjectMeta{
				Namespace: s.namespace, Name: name,
				Annotations: map[string]string{v1alpha1.AnnotationManagedBy: "payments"},
			}
			former.Immutable = new(name == "a-resists")
			former.Data["theirs"] = []byte("kept")
			former.Annotations[v1alpha1.AnnotationOwnership] = `{"secret":"` + name + `","created":false,"keys":["token"]}`
			Expect(admin.Create(ctx, former)).To(Succeed())
		}
		Eventually(func() map[string][]byte { return s.secret("b-follows").Data }, soon, "20ms").ShouldNot(HaveKey("token"))
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "FormerTargetRemains")
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(ContainSubstring(`"a-resists"`))
	})

	It("stays in its place when it cannot be cleaned up, and the status says so", func() {
		s := newScene()
		s.ready()
		allow := forbidOperator("delete", "secrets")
		s.edit(rename("renamed"))
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "FormerTargetRemains")
		Expect(s.get().Status.Target.Name).To(Equal("renamed"))
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("True/Accepted"))
		Eventually(s.eventReasons, soon).Should(ContainElement("Warning FormerTargetRemains"))
		allow()
		testClock.advance(time.Minute)
		s.poke()
		s.expectGone("target")
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
	})
})

// forgetOwnership leaves a target as an earlier version of the operator wrote it.
func (s *scene) forgetOwnership(keys ...string) {
	GinkgoHelper()
	target := s.target()
	delete(target.Annotations, v1alpha1.AnnotationOwnership)
	Expect(admin.Update(ctx, target)).To(Succeed())
	r := s.get()
	r.Status.Target.ResourceVersion = target.ResourceVersion
	r.Status.Target.Keys = append(r.Status.Target.Keys, keys...)
	Expect(admin.Status().Update(ctx, r)).To(Succeed())
}

var _ = Describe("After an upgrade from a version that did not mark what is its own", func() {
	It("nothing is written at the start, and the mark comes with the next check", func() {
		s := newScene()
		s.ready()
		restart(func() { s.forgetOwnership() })
		version := s.target().ResourceVersion
		Consistently(func() string { return s.target().ResourceVersion }, "1s").Should(Equal(version))
		s.askForCheck()
		Eventually(func() string { return s.target().Annotations[v1alpha1.AnnotationOwnership] }, soon, "20ms").
			Should(MatchJSON(`{"secret":"target","created":true,"keys":["authorization","token","url"]}`))
		Expect(s.target().OwnerReferences).To(HaveLen(1))
	})

	It("a Secret that was to stay behind keeps its data after a rename", func() {
		s := newScene()
		s.ready(orphan)
		restart(func() { s.forgetOwnership() })
		s.edit(rename("renamed"))
		Eventually(func() map[string]string { return s.target().Annotations }, soon, "20ms").Should(BeEmpty())
		Expect(s.targetToken()).To(Equal(s.login.token()))
	})

	It("a Secret with keys of others counts as adopted", func() {
		s := newScene()
		s.ready()
		target := s.target()
		target.Data["theirs"] = []byte("kept")
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
		restart(func() { s.forgetOwnership() })
		s.edit(rename("renamed"))
		Eventually(s.targetData, soon, "20ms").Should(Equal(map[string]string{"theirs": "kept"}))
	})

	It("a key that the earlier version wrote after a downgrade is removed, too", func() {
		s := newScene()
		s.ready(template("", "kept", "text"))
		restart(func() {
			target := s.target()
			target.Data["older"] = []byte("text")
			Expect(admin.Update(ctx, target)).To(Succeed())
			r := s.get()
			r.Status.Target.ResourceVersion = target.ResourceVersion
			r.Status.Target.Keys = append(r.Status.Target.Keys, "older")
			Expect(admin.Status().Update(ctx, r)).To(Succeed())
			s.edit(template("", "kept", "other text"))
		})
		Eventually(s.targetData, soon, "20ms").
			Should(Equal(map[string]string{"kept": "other text", "token": s.login.token()}))
	})
})

var _ = Describe("A replica that was stopped past its lease", func() {
	It("writes no target over a version that it did not judge", func() {
		s := newScene()
		s.ready()
		judged := s.target()
		target := s.target()
		target.Data["token"] = []byte("the new leader's")
		operator.stop()
		DeferCleanup(func() { operator.start() })
		Expect(admin.Update(ctx, target)).To(Succeed())
		r := &Reconciler{live: admin, client: admin, clock: &testClock, secrets: unwatched()}
		for _, delivery := range []decision.Delivery{
			{Judged: &decision.ObservedTarget{Version: versionOf(judged)}, MayWrite: true},
			{Judged: nil, MayWrite: true, Proof: &decision.Proof{Entry: "main"}},
		} {
			result, err := r.deliver(ctx, s.get(), compiled(s.get()), delivery)
			Expect(err).NotTo(HaveOccurred())
			Expect(result.HasConflict).To(BeTrue())
			Expect(s.targetToken()).To(Equal("the new leader's"))
		}
	})
})

// newer is a cache that shows versions from before the API server was restored from a backup.
type newer struct{ client.Reader }

func (n newer) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := n.Reader.Get(ctx, key, object, options...)
	object.SetResourceVersion("4000000000")
	return err
}

var _ = Describe("A cluster that was restored from a backup", func() {
	It("ends the process, which knows what is no longer true", func() {
		s := newScene()
		s.create()
		isStopped := false
		r := &Reconciler{cache: newer{admin}, live: admin, stop: func() { isStopped = true }}
		name := client.ObjectKeyFromObject(s.get())
		state := &decision.State{}
		state.Abandon(&decision.Round{}, false)
		r.states.Store(name, state)
		resource, _, err := r.read(ctx, name)
		Expect(err).NotTo(HaveOccurred())
		Expect(resource).To(BeNil())
		Expect(isStopped).To(BeTrue())
	})
})

var _ = Describe("A resource that was deleted and made again while the watch was away", func() {
	It("is worked on at once, though its generation is the same", func() {
		before, after := &v1alpha1.JupicoCredential{}, &v1alpha1.JupicoCredential{}
		before.UID, after.UID = "before", "after"
		before.Generation, after.Generation = 1, 1
		update := event.UpdateEvent{ObjectOld: before, ObjectNew: after}
		Expect(isEdited().Update(update)).To(BeTrue())
		update.ObjectOld = after
		Expect(isEdited().Update(update)).To(BeFalse())
	})
})

var _ = Describe("A resource that is gone", func() {
	It("is forgotten", func() {
		r := &Reconciler{cache: admin}
		name := keyOf("default", "nothing")
		resource, _, err := r.read(ctx, name)
		Expect(resource).To(BeNil())
		Expect(err).NotTo(HaveOccurred())
		_, isKnown := r.states.Load(name)
		Expect(isKnown).To(BeFalse())
	})
})

// emptyCache has no resources.
type emptyCache struct{ cache.Cache }

func (emptyCache) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

// unwatched is a watch that shows nothing.
func unwatched() *objectwatch.Watch {
	return objectwatch.New(emptyCache{}, objectwatch.IndexSecrets, nil, "", isNews, nil)
}

func compiled(r *v1alpha1.JupicoCredential) *render.Templates {
	GinkgoHelper()
	templates, err := render.Compile(r)
	Expect(err).NotTo(HaveOccurred())
	return templates
}
