// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
)

var _ = Describe("The target", func() {
	It("is the first resource's of two that name it, and the other says so", func() {
		s := newScene()
		s.ready()
		Expect(admin.Create(ctx, s.resource(func(r *v1alpha1.JupicoCredential) { r.Name = "second" }))).To(Succeed())
		second := &v1alpha1.JupicoCredential{}
		Eventually(func() string {
			Expect(admin.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "second"}, second)).To(Succeed())
			return condition(second, v1alpha1.ConditionReady)
		}, soon, "20ms").Should(Equal("False/TargetConflict"))
		Expect(message(second, v1alpha1.ConditionReady)).To(ContainSubstring(`belongs to the JupicoCredential "payments"`))
		Expect(s.target().Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationManagedBy, "payments"))
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("True/Accepted"))
	})

	It("stays when its annotation is taken away: it is then somebody else's", func() {
		s := newScene()
		s.ready()
		target := s.target()
		delete(target.Annotations, v1alpha1.AnnotationManagedBy)
		target.Data["token"] = []byte("theirs now")
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.expectReady("False", "TargetConflict")
		Expect(s.targetToken()).To(Equal("theirs now"))
	})

	It("is made anew when it is immutable, holds only our keys, and its next token was accepted", func() {
		s := newScene()
		s.ready()
		target := s.target()
		target.Immutable = new(true)
		Expect(admin.Update(ctx, target)).To(Succeed())
		other := newLogin()
		s.emulator.AddAccount(other.username, other.password, 1)
		s.writeSource(other.data())
		Eventually(s.targetToken, soon, "20ms").Should(Equal(other.token()))
		s.expectReady("True", "Accepted")
		Expect(s.target().Immutable).To(BeNil())
	})

	It("cannot be updated while it is immutable and has keys of others, and is written anew once it is deleted", func() {
		s := newScene()
		s.ready()
		target := s.target()
		target.Data["theirs"] = []byte("kept")
		target.Immutable = new(true)
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.expectReady("True", "Accepted")
		other := newLogin()
		s.emulator.AddAccount(other.username, other.password, 1)
		s.writeSource(other.data())
		s.expectReady("False", "TargetWriteFailed")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring("is immutable"))
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("True/TargetWriteFailed"))
		Expect(s.targetToken()).To(Equal(s.login.token()))
		Expect(condition(s.get(), v1alpha1.ConditionCredentialAccepted)).To(Equal("True/Accepted"))
		Expect(admin.Delete(ctx, s.target())).To(Succeed())
		Eventually(s.targetToken, soon, "20ms").Should(Equal(other.token()))
		s.expectReady("True", "Accepted")
	})

	It("waits for a quota, and is written when there is room", func() {
		s := newScene()
		s.writeSource(s.login.data())
		quota := &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "full"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"secrets": resource.MustParse("1")}},
		}
		Expect(admin.Create(ctx, quota)).To(Succeed())
		quota.Status = corev1.ResourceQuotaStatus{
			Hard: quota.Spec.Hard, Used: corev1.ResourceList{"secrets": resource.MustParse("1")},
		}
		Expect(admin.Status().Update(ctx, quota)).To(Succeed())
		Eventually(func() error { // the admission plugin learns of a quota with a delay
			err := admin.Create(ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, GenerateName: "probe-"},
			})
			if err == nil {
				return errors.New("the quota is not in force yet")
			}
			return nil
		}, soon).Should(Succeed())
		s.create()
		s.expectReady("False", "TargetWriteFailed")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring("exceeded quota"))
		Expect(condition(s.get(), v1alpha1.ConditionReconciling)).To(Equal("True/TargetWriteFailed"))
		Expect(admin.Delete(ctx, quota)).To(Succeed())
		s.expectReady("True", "Accepted")
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(1), "a write that fails is no reason to check again")
	})

	It("gets what an edit asks for even when the API server refuses it first", func() {
		s := newScene()
		s.ready()
		allow := forbidOperator("update", "secrets")
		s.edit(orphan)
		s.expectReady("False", "TargetWriteFailed")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring("forbidden"))
		s.askForCheck()
		Expect(condition(s.get(), v1alpha1.ConditionSecretSynced)).To(Equal("False/TargetWriteFailed"), "the edit was lost")

		allow()
		s.expectReady("True", "Accepted")
		Expect(s.target().OwnerReferences).To(BeEmpty())
	})

	It("keeps nothing that was written while the status could not be", func() {
		s := newScene()
		s.ready(template("", "kept", "text"))
		allow := forbidOperator("patch", "jupicocredentials/status")

		By("losing a key that the status never told of")
		s.edit(template("", "kept", "text", "untold", "text"))
		Eventually(s.targetData, soon, "20ms").Should(HaveKey("untold"))
		s.edit(template("", "kept", "text"))
		Eventually(s.targetData, soon, "20ms").ShouldNot(HaveKey("untold"))

		By("losing a target that the status never told of")
		s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Target.Name = "untold" })
		untold := func() error { return admin.Get(ctx, keyOf(s.namespace, "untold"), &corev1.Secret{}) }
		Eventually(untold, soon, "20ms").Should(Succeed())
		s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Target.Name = "target" })
		allow()
		Eventually(untold, soon, "20ms").Should(Satisfy(apierrors.IsNotFound))
		s.expectReady("True", "Accepted")
		Expect(s.targetData()).To(Equal(map[string]string{"kept": "text", "token": s.login.token()}))
	})

	It("is not fought over: after five repairs in a row it is left alone, and the other writer is named", func() {
		s := newScene()
		s.ready()
		rival, stop := context.WithCancel(ctx)
		defer stop()
		go func() { // a second controller that undoes every write
			defer GinkgoRecover()
			for rival.Err() == nil {
				if target := s.target(); target != nil && string(target.Data["token"]) != "rival" {
					target.Data["token"] = []byte("rival")
					_ = admin.Update(rival, target, client.FieldOwner("rival-controller"))
				}
				time.Sleep(5 * time.Millisecond) //nolint:forbidigo // the rival's own pace, not a wait of the test
			}
		}()
		s.expectCondition(v1alpha1.ConditionSecretSynced, "False", "TargetContested")
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(ContainSubstring(`field manager "rival-controller"`))
		Eventually(s.targetToken, soon).Should(Equal("rival"))
		before := s.target().ResourceVersion
		Consistently(func() string { return s.target().ResourceVersion }, "1s").Should(Equal(before))

		By("being put right when the other writer has gone and a minute has passed")
		stop()
		testClock.advance(5 * time.Minute)
		s.poke()
		Eventually(s.targetToken, soon, "20ms").Should(Equal(s.login.token()))
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
	})

	It("is written under its new name before the old one is deleted", func() {
		s := newScene()
		s.ready()
		s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Target.Name = "renamed" })
		Eventually(s.target, soon, "20ms").Should(BeNil())
		Expect(s.secret("renamed").Data).To(HaveKeyWithValue("token", []byte(s.login.token())))
		Eventually(func() string { return s.get().Status.Target.Name }, soon).Should(Equal("renamed"))
		s.expectReady("True", "Accepted")
	})

	It("of a resource that leaves it behind keeps its data, and loses our mark", func() {
		s := newScene()
		s.ready(orphan)
		Expect(s.target().OwnerReferences).To(BeEmpty())
		s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Target.Name = "renamed" })
		Eventually(func() map[string]string { return s.target().Annotations }, soon, "20ms").
			ShouldNot(HaveKey(v1alpha1.AnnotationManagedBy))
		Expect(s.targetToken()).To(Equal(s.login.token()))
		Expect(s.target().Labels).To(BeEmpty())
		Expect(s.secret("renamed").Data).To(HaveKeyWithValue("token", []byte(s.login.token())))
	})

	It("changes owners when the policy changes", func() {
		s := newScene()
		s.ready()
		s.edit(orphan)
		Eventually(func() []metav1.OwnerReference { return s.target().OwnerReferences }, soon, "20ms").Should(BeEmpty())
		s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Target.CreationPolicy = v1alpha1.CreationPolicyOwner })
		Eventually(func() []metav1.OwnerReference { return s.target().OwnerReferences }, soon, "20ms").Should(HaveLen(1))
	})

	It("is not written again into a namespace that is being deleted", func() {
		s := newScene()
		s.ready()
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
		Expect(admin.Delete(ctx, namespace)).To(Succeed())
		before := s.get()
		Expect(admin.Delete(ctx, s.target())).To(Succeed())
		Consistently(s.target, "1s").Should(BeNil())
		Expect(s.get().Status.Conditions).To(Equal(before.Status.Conditions), "a going namespace is no trouble to report")
	})
})

func TestWhatTheAPIServerRepeatsOfASecretIsRedactedWhenItsDataStays(t *testing.T) {
	t.Parallel()
	const token = "Y2FuYXJ5OmNhbmFyeQ=="
	encoded := base64.StdEncoding.EncodeToString([]byte("Basic " + token))
	resource := &v1alpha1.JupicoCredential{}
	resource.Spec.Target.Template = &v1alpha1.TargetTemplate{Data: map[string]v1alpha1.DataTemplate{"public": "e"}}
	got := (&targetWrite{resource: resource}).redact("denied: "+token+", "+encoded, map[string][]byte{
		"token": []byte(token), "authorization": []byte("Basic " + token), "empty": {}, "public": []byte("e"),
	})
	if want := "denied: " + credential.Redacted + ", " + credential.Redacted; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got = (&targetWrite{resource: resource}).redact("e", map[string][]byte{"public": []byte("e"), "private": []byte("e")})
	if got != credential.Redacted {
		t.Errorf("got %q of a value that another key has too", got)
	}
}
