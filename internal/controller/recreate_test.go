// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// send sends a request on to the API server.
type send func() (*http.Response, error)

// roundTripper is a function that sends requests.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// disturb has something happen, once, to the operator's next request of a method about a Secret of the scene that is no
// dry run. The result is closed once it happened.
func (s *scene) disturb(method string, happen func(send) (*http.Response, error)) (happened chan struct{}) {
	GinkgoHelper()
	return disturb(func(r *http.Request) bool {
		return r.Method == method && !r.URL.Query().Has("dryRun") &&
			strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/"+s.namespace+"/secrets")
	}, happen)
}

// disturb has something happen, once, to a request of the operator that is meant.
func disturb(isMeant func(*http.Request) bool, happen func(send) (*http.Response, error)) (happened chan struct{}) {
	GinkgoHelper()
	happened = make(chan struct{})
	var once sync.Once
	config := operator.config
	disturbed := rest.CopyConfig(config)
	disturbed.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			answer, err := (*http.Response)(nil), error(nil)
			isFirst := false
			if isMeant(r) {
				once.Do(func() {
					isFirst = true
					answer, err = happen(func() (*http.Response, error) { return next.RoundTrip(r) })
					close(happened)
				})
			}
			if isFirst {
				return answer, err
			}
			return next.RoundTrip(r)
		})
	})
	restart(func() { operator.config = disturbed })
	DeferCleanup(func() { restart(func() { operator.config = config }) })
	return happened
}

// refuse answers a request in the API server's place.
func refuse(failure *apierrors.StatusError) func(send) (*http.Response, error) {
	return func(send) (*http.Response, error) {
		recorder := httptest.NewRecorder()
		recorder.Header().Set("Content-Type", "application/json")
		recorder.WriteHeader(int(failure.ErrStatus.Code))
		failure.ErrStatus.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		Expect(json.NewEncoder(recorder).Encode(failure.ErrStatus)).To(Succeed())
		return recorder.Result(), nil
	}
}

func loseAnswer(send send) (*http.Response, error) {
	if answer, err := send(); err == nil {
		_ = answer.Body.Close()
	}
	return nil, io.ErrUnexpectedEOF
}

var _ = Describe("A target that has to be made anew", func() {
	secretsResource := corev1.Resource("secrets")

	DescribeTable("comes back with all keys when its creation, after its deletion,", func(
		happen func(send) (*http.Response, error), dies bool,
	) {
		s := newScene()
		s.ready()
		uid := s.target().UID
		happened := s.disturb(http.MethodPost, happen)
		s.edit(template("shop.example/login", "key", "{{ .Token }}"))
		Eventually(happened, soon).Should(BeClosed())
		if dies {
			restart(func() {})
		}
		Eventually(s.targetData, soon, "20ms").Should(Equal(map[string]string{
			"key": s.login.token(), "token": s.login.token(),
		}))
		s.expectReady("True", "Accepted")
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
		target := s.target()
		Expect(target.UID).NotTo(Equal(uid))
		Expect(target.Type).To(BeEquivalentTo("shop.example/login"))
		Expect(target.OwnerReferences).To(HaveLen(1))
		Expect(target.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationOwnership,
			MatchJSON(`{"secret":"target","created":true,"keys":["key","token"]}`)))
		Eventually(func() any { return s.get().Status.Target.UID }, soon, "20ms").Should(Equal(target.UID))
	},
		Entry("fails", refuse(apierrors.NewInternalError(errors.New("once"))), false),
		Entry("meets a conflict", refuse(apierrors.NewConflict(secretsResource, "target", errors.New("once"))), false),
		Entry("meets a Secret that is about to go",
			refuse(apierrors.NewAlreadyExists(secretsResource, "target")), false),
		Entry("loses its answer", loseAnswer, false),
		Entry("is not sent before the operator dies", func(send) (*http.Response, error) {
			operator.cancel()
			return nil, context.Canceled
		}, true),
		Entry("loses its answer, since the operator dies", func(send send) (*http.Response, error) {
			_, err := loseAnswer(send)
			operator.cancel()
			return nil, err
		}, true),
	)

	DescribeTable("keeps a key that somebody writes just before", func(change func(*v1alpha1.JupicoCredential), immutable bool) {
		s := newScene()
		s.ready()
		target := s.target()
		target.Immutable = new(immutable)
		Expect(admin.Update(ctx, target)).To(Succeed())
		happened := s.disturb(http.MethodDelete, func(send send) (*http.Response, error) {
			target := s.target()
			Expect(admin.Delete(ctx, target)).To(Succeed())
			target.ObjectMeta = metav1.ObjectMeta{
				Namespace: s.namespace, Name: "target", Labels: target.Labels, Annotations: target.Annotations,
				OwnerReferences: target.OwnerReferences,
			}
			target.Data["theirs"] = []byte("kept")
			Expect(admin.Create(ctx, target)).To(Succeed())
			return send()
		})
		s.edit(change)
		Eventually(happened, soon).Should(BeClosed())
		s.expectCondition(v1alpha1.ConditionSecretSynced, "False", "TargetWriteFailed")
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(ContainSubstring("it has keys that are not the operator's"))
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("True/TargetWriteFailed"))
		Expect(s.target().Data).To(HaveKeyWithValue("theirs", []byte("kept")))
	},
		Entry("when its type changes", template("shop.example/login"), false),
		Entry("when it is immutable", template("", "key", "text"), true),
	)

	It("is not deleted when it was there before, though it holds only our keys by now", func() {
		s := newScene()
		Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: "target", Annotations: map[string]string{v1alpha1.AnnotationManagedBy: "payments"},
		}})).To(Succeed())
		s.ready()
		uid := s.target().UID
		s.edit(template("shop.example/login"))
		s.expectReady("False", "TargetWriteFailed")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring("it existed before"))
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("True/TargetWriteFailed"))
		Expect(s.target().UID).To(Equal(uid))
	})

	It("says so while a finalizer holds the old one", func() {
		s := newScene()
		s.ready()
		target := s.target()
		target.Finalizers = []string{"example.com/audit"}
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
		s.edit(template("shop.example/login"))
		s.expectReady("False", "TargetWriteFailed")
		Eventually(func() string { return message(s.get(), v1alpha1.ConditionReady) }, soon, "20ms").
			Should(ContainSubstring(`held by the finalizer "example.com/audit"`))
		Expect(condition(s.get(), v1alpha1.ConditionReconciling)).To(Equal("True/TargetWriteFailed"))
		target = s.target()
		target.Finalizers = nil
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.expectReady("True", "Accepted")
		Expect(s.target().Type).To(BeEquivalentTo("shop.example/login"))
		Expect(s.targetToken()).To(Equal(s.login.token()))
	})
})

var _ = Describe("An immutable target", func() {
	freeze := func(s *scene) {
		target := s.target()
		target.Immutable = new(true)
		Expect(admin.Update(ctx, target)).To(Succeed())
	}

	It("is Stalled, not Reconciling, when it is to be left behind", func() {
		s := newScene()
		s.ready(orphan)
		freeze(s)
		s.writeSource(s.newAccount().data())
		s.expectCondition(v1alpha1.ConditionSecretSynced, "False", "TargetWriteFailed")
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(ContainSubstring("Delete it yourself"))
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("True/TargetWriteFailed"))
		Expect(condition(s.get(), v1alpha1.ConditionReconciling)).To(Equal("absent"))
		Expect(s.targetToken()).To(Equal(s.login.token()))
	})

	It("is Stalled, not Reconciling, when it was there before", func() {
		s := newScene()
		Expect(admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: s.namespace, Name: "target", Annotations: map[string]string{v1alpha1.AnnotationManagedBy: "payments"},
			},
			Immutable: new(true),
		})).To(Succeed())
		s.writeSource(s.login.data())
		s.create()
		s.expectReady("False", "TargetWriteFailed")
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("True/TargetWriteFailed"))
		Expect(condition(s.get(), v1alpha1.ConditionReconciling)).To(Equal("absent"))
		Expect(s.target().Data).To(BeEmpty())
	})

	It("waits for the token to be accepted once more, and is then made anew", func() {
		s := newScene()
		s.ready()
		freeze(s)
		s.emulator.Inject(jupicotest.Fault{Status: http.StatusServiceUnavailable})
		s.edit(template("", "key", "{{ .Token }}"))
		s.expectReady("False", "TargetWriteFailed")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring("as soon as Jupico accepts the token once more"))
		s.emulator.Clear()
		testClock.advance(time.Minute)
		s.askForCheck()
		s.expectReady("True", "Accepted")
		Expect(s.targetData()).To(Equal(map[string]string{"key": s.login.token(), "token": s.login.token()}))
	})
})

var _ = Describe("The owner of a target", func() {
	owners := func(s *scene) func() []metav1.OwnerReference {
		return func() []metav1.OwnerReference { return s.target().OwnerReferences }
	}

	DescribeTable("follows creationPolicy though one edit also", func(also func(*v1alpha1.JupicoCredential), ready string) {
		s := newScene()
		s.ready()
		uid := s.target().UID
		s.edit(func(r *v1alpha1.JupicoCredential) {
			also(r)
			orphan(r)
		})
		Eventually(owners(s), soon, "20ms").Should(BeEmpty())
		Eventually(func() string { return condition(s.get(), v1alpha1.ConditionReady) }, soon, "20ms").Should(Equal(ready))
		Expect(s.target().UID).To(Equal(uid))
		Expect(s.targetToken()).To(Equal(s.login.token()))
	},
		Entry("suspends", func(r *v1alpha1.JupicoCredential) { r.Spec.Suspend = true }, "True/Suspended"),
		Entry("has a template that cannot be parsed", template("", "x", "{{ .Nope }}"), "True/TemplateError"),
		Entry("has a template that cannot be rendered", template("", "x", "{{ if true }}{{ eq .Name true }}{{ end }}"),
			"True/TemplateError"),
		Entry("asks for another type", template("shop.example/login"), "False/TargetWriteFailed"),
	)

	It("follows creationPolicy though the data is immutable", func() {
		s := newScene()
		s.ready()
		target := s.target()
		target.Immutable = new(true)
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.edit(func(r *v1alpha1.JupicoCredential) {
			template("", "x", "text")(r)
			orphan(r)
		})
		Eventually(owners(s), soon, "20ms").Should(BeEmpty())
		s.expectCondition(v1alpha1.ConditionSecretSynced, "False", "TargetWriteFailed")
	})

	It("is not the former resource after a hand-over, while all others stay", func() {
		s := newScene()
		s.ready()
		other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "other"}}
		Expect(admin.Create(ctx, other)).To(Succeed())
		target := s.target()
		target.OwnerReferences = append(target.OwnerReferences, metav1.OwnerReference{
			APIVersion: "v1", Kind: "ConfigMap", Name: other.Name, UID: other.UID,
		})
		Expect(admin.Update(ctx, target)).To(Succeed())
		second := s.resource(orphan, template("", "second", "{{ .Token }}"))
		second.Name = "second"
		Expect(admin.Create(ctx, second)).To(Succeed())
		ready := func() string {
			Expect(admin.Get(ctx, keyOf(s.namespace, "second"), second)).To(Succeed())
			return condition(second, v1alpha1.ConditionReady)
		}
		Eventually(ready, soon, "20ms").Should(Equal("False/TargetConflict"))

		Eventually(func() error {
			target := s.target()
			metav1.SetMetaDataAnnotation(&target.ObjectMeta, v1alpha1.AnnotationManagedBy, "second")
			return admin.Update(ctx, target)
		}, soon).Should(Succeed())
		Eventually(ready, soon, "20ms").Should(Equal("True/Accepted"))
		Eventually(owners(s), soon, "20ms").Should(ConsistOf(HaveField("Name", "other")))
		Expect(s.targetData()).To(Equal(map[string]string{"second": s.login.token(), "token": s.login.token()}))
		s.expectReady("False", "TargetConflict")

		By("staying as it is when the former resource is deleted")
		version := s.target().ResourceVersion
		Expect(admin.Delete(ctx, s.get())).To(Succeed())
		Consistently(func() string { return s.target().ResourceVersion }, "1s").Should(Equal(version))
	})
})

var _ = Describe("A target that outlives its resource", func() {
	It("loses the keys and labels of the former template when the resource is made again with another one", func() {
		s := newScene()
		s.ready(orphan, template("", "jupico.env", "A={{ .Authorization }}"), func(r *v1alpha1.JupicoCredential) {
			r.Spec.Target.Template.Labels = map[string]v1alpha1.LabelValue{"old": "1"}
		})
		Expect(admin.Delete(ctx, s.get())).To(Succeed())
		next := s.newAccount()
		s.ready(orphan, template("", "renamed.env", "A={{ .Authorization }}"))
		Expect(s.targetData()).To(Equal(map[string]string{
			"renamed.env": "A=Basic " + s.login.token(), "token": s.login.token(),
		}))
		s.writeSource(next.data())
		s.expectTarget(next.token())
		Expect(s.targetData()).To(Equal(map[string]string{"renamed.env": "A=Basic " + next.token(), "token": next.token()}))
		Expect(s.target().Labels).NotTo(HaveKey("old"))
		Expect(s.get().Status.Target.Keys).To(Equal([]string{"renamed.env", "token"}))
	})

	It("stays as it is when it was handed over, with all keys and without our owner reference", func() {
		s := newScene()
		Expect(admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: s.namespace, Name: "target", Annotations: map[string]string{v1alpha1.AnnotationManagedBy: "payments"},
			},
			Data: map[string][]byte{"theirs": []byte("kept")},
		})).To(Succeed())
		s.ready()
		Expect(s.target().OwnerReferences).To(BeEmpty(), "the garbage collector would delete it")
		version := s.target().ResourceVersion
		Expect(admin.Delete(ctx, s.get())).To(Succeed())
		Consistently(func() string { return s.target().ResourceVersion }, "1s").Should(Equal(version))
		Expect(s.target().Data).To(HaveKeyWithValue("theirs", []byte("kept")))
	})
})
