// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// secretsOf matches requests about Secrets of a namespace.
func secretsOf(namespace string, operations ...admissionv1.OperationType) *admissionv1.MatchResources {
	return &admissionv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: operations,
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
		}}},
	}
}

// create makes a cluster-scoped object, and deletes it when the function is called that it returns, or when the spec ends.
func create(object client.Object) (remove func()) {
	GinkgoHelper()
	Expect(admin.Create(ctx, object)).To(Succeed())
	remove = func() {
		GinkgoHelper()
		Expect(client.IgnoreNotFound(admin.Delete(ctx, object))).To(Succeed())
	}
	DeferCleanup(remove)
	return remove
}

// targetLike is a Secret with all that a policy of these tests may change.
func (s *scene) targetLike(name string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, GenerateName: name,
			Labels: map[string]string{"app.kubernetes.io/managed-by": "jupico-operator"},
			Annotations: map[string]string{
				v1alpha1.AnnotationManagedBy: "nobody", v1alpha1.AnnotationOwnership: "nothing", "shop.example/note": "a",
			},
		},
		Data: map[string][]byte{"token": []byte("a"), "url": []byte("a")},
	}
}

// mutate has an admission policy change whatever looks like a target of the scene, by a CEL list of JSON patches, until
// the function is called that it returns. The policy adds the label "mutated", too.
func (s *scene) mutate(patches string) (stop func()) {
	GinkgoHelper()
	name := "mutate-" + s.namespace
	policy := &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			MatchConstraints: secretsOf(s.namespace, admissionv1.Create, admissionv1.Update),
			MatchConditions: []admissionv1.MatchCondition{{
				Name:       "targets",
				Expression: "has(object.metadata.labels) && 'app.kubernetes.io/managed-by' in object.metadata.labels",
			}},
			Mutations: []admissionv1.Mutation{{
				PatchType: admissionv1.PatchTypeJSONPatch,
				JSONPatch: &admissionv1.JSONPatch{
					Expression: `[JSONPatch{op: "add", path: "/metadata/labels/mutated", value: "yes"}] + ` + patches,
				},
			}},
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
		},
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
	}
	removePolicy, removeBinding := create(policy), create(binding)
	isMutated := func() bool { // the API server learns of a policy with a delay
		probe := s.targetLike("probe-")
		Expect(admin.Create(ctx, probe, client.DryRunAll)).To(Succeed())
		return probe.Labels["mutated"] == "yes"
	}
	Eventually(isMutated, soon, "50ms").Should(BeTrue())
	return func() {
		GinkgoHelper()
		removeBinding()
		removePolicy()
		Eventually(isMutated, soon, "50ms").Should(BeFalse())
	}
}

// writes counts what the operator wrote of the scene's Secrets.
func (s *scene) writes() int {
	calls := auditedCalls(s.namespace)
	return calls["create secrets"] + calls["update secrets"]
}

var _ = Describe("An admission policy", func() {
	DescribeTable("that changes what the operator wrote is named, and not fought", func(patches, part string) {
		s := newScene()
		s.writeSource(s.login.data())
		stop := s.mutate(patches)
		s.create(func(r *v1alpha1.JupicoCredential) {
			r.Spec.Target.Template = &v1alpha1.TargetTemplate{
				Type: "shop.example/login", Annotations: map[string]v1alpha1.AnnotationValue{"shop.example/note": "ours"},
			}
		})
		s.expectCondition(v1alpha1.ConditionSecretSynced, "False", "TargetContested")
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(And(
			HavePrefix("An admission policy changed "+part+" of Secret \"target\""), Not(ContainSubstring("field manager"))))
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("False/TargetContested"))
		Expect(condition(s.get(), v1alpha1.ConditionCredentialAccepted)).To(Equal("True/Accepted"))
		Expect(s.get().Status.Deployed != nil).To(Equal(s.targetToken() == s.login.token()))
		for range 3 {
			s.poke()
		}
		s.askForCheck()
		Consistently(s.writes, "500ms").Should(Equal(1))
		Expect(condition(s.get(), v1alpha1.ConditionSecretSynced)).To(Equal("False/TargetContested"))

		stop()
		testClock.advance(time.Minute)
		s.askForCheck()
		s.expectReady("True", "Accepted")
		Expect(s.targetToken()).To(Equal(s.login.token()))
		Expect(s.target().Data).To(HaveKeyWithValue("url", []byte(s.url)))
		Expect(s.target().Type).To(BeEquivalentTo("shop.example/login"))
		Expect(s.target().OwnerReferences).To(HaveLen(1))
		Expect(s.target().Annotations).To(HaveKeyWithValue("shop.example/note", "ours"))
	},
		Entry("the token", `[JSONPatch{op: "replace", path: "/data/token", value: "YWx0ZXJlZA=="}]`, `the key "token"`),
		Entry("a key that goes", `[JSONPatch{op: "remove", path: "/data/url"}]`, `the key "url"`),
		Entry("all data", `[JSONPatch{op: "remove", path: "/data"}]`, `the key "authorization"`),
		Entry("a label", `[JSONPatch{op: "replace", path: "/metadata/labels/app.kubernetes.io~1managed-by", value: "Helm"}]`,
			`the label "app.kubernetes.io/managed-by"`),
		Entry("an annotation of the template", `[JSONPatch{op: "remove", path: "/metadata/annotations/shop.example~1note"}]`,
			`the annotation "shop.example/note"`),
		Entry("the mark", `[JSONPatch{op: "remove", path: "/metadata/annotations/credentials.jupico.dev~1ownership"}]`,
			`the annotation "credentials.jupico.dev/ownership"`),
		Entry("the owner", `(has(object.metadata.ownerReferences) ? [JSONPatch{op: "remove", path: "/metadata/ownerReferences"}] : [])`,
			"the owner references"),
		Entry("the type", `[JSONPatch{op: "replace", path: "/type", value: "shop.example/other"}]`, "the type"),
	)

	It("that takes away the annotation managed-by is not taken for another owner", func() {
		s := newScene()
		s.writeSource(s.login.data())
		stop := s.mutate(`[JSONPatch{op: "remove", path: "/metadata/annotations/credentials.jupico.dev~1managed-by"}]`)
		s.create()
		s.expectCondition(v1alpha1.ConditionSecretSynced, "False", "TargetContested")
		s.askForCheck()
		Expect(condition(s.get(), v1alpha1.ConditionSecretSynced)).To(Equal("False/TargetContested"))
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(ContainSubstring("An admission policy removed the annotation"))
		stop()
		target := s.target()
		metav1.SetMetaDataAnnotation(&target.ObjectMeta, v1alpha1.AnnotationManagedBy, "payments")
		Expect(admin.Update(ctx, target)).To(Succeed())
		testClock.advance(time.Minute)
		s.poke()
		s.expectReady("True", "Accepted")
	})

	It("is named, and nobody else who wrote the target before", func() {
		s := newScene()
		s.ready()
		target := s.target()
		metav1.SetMetaDataAnnotation(&target.ObjectMeta, "theirs", "kept")
		Expect(admin.Update(ctx, target, client.FieldOwner("kubectl-annotate"))).To(Succeed())
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
		s.mutate(`[JSONPatch{op: "replace", path: "/data/url", value: "YWx0ZXJlZA=="}]`)
		next := s.newAccount()
		s.writeSource(next.data())
		s.expectCondition(v1alpha1.ConditionSecretSynced, "False", "TargetContested")
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(And(
			ContainSubstring("An admission policy"), Not(ContainSubstring("kubectl-annotate"))))
		s.expectTarget(next.token())
	})

	It("may add what it likes, also immutability", func() {
		s := newScene()
		s.writeSource(s.login.data())
		s.mutate(`[JSONPatch{op: "add", path: "/metadata/annotations/added", value: "a"},
			JSONPatch{op: "add", path: "/data/added", value: "YQ=="}]`)
		s.create()
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
		Expect(s.target().Labels).To(HaveKeyWithValue("mutated", "yes"))
		Expect(s.target().Annotations).To(HaveKey("added"))
		Expect(s.target().Data).To(HaveKey("added"))
		Expect(s.get().Status.Target.Keys).To(Equal([]string{"authorization", "token", "url"}))
		s.askForCheck()
		Expect(s.writes()).To(Equal(1))

		other := newScene()
		other.writeSource(other.login.data())
		other.mutate(`[JSONPatch{op: "add", path: "/immutable", value: true}]`)
		other.create()
		other.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
		next := other.newAccount()
		other.writeSource(next.data())
		other.expectTarget(next.token())
		other.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
	})

	It("that would change the successor of a target keeps the target from being deleted", func() {
		s := newScene()
		s.ready()
		uid := s.target().UID
		s.mutate(`[JSONPatch{op: "replace", path: "/data/token", value: "YWx0ZXJlZA=="}]`)
		s.edit(template("shop.example/login"))
		s.expectCondition(v1alpha1.ConditionSecretSynced, "False", "TargetContested")
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(ContainSubstring(`An admission policy changed the key "token"`))
		Expect(s.target().UID).To(Equal(uid))
		Expect(s.targetToken()).To(Equal(s.login.token()))
	})
})

// denyDeletion has the API server refuse to delete Secrets of the scene, in words that repeat what is in them.
func (s *scene) denyDeletion() (stop func()) {
	GinkgoHelper()
	name := "keep-" + s.namespace
	removePolicy := create(&admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: secretsOf(s.namespace, admissionv1.Delete),
			Validations: []admissionv1.Validation{{
				Expression: "false",
				MessageExpression: "'Secrets are kept here, with ' + " +
					"oldObject.data.map(k, string(oldObject.data[k])).join(' and ')",
			}},
		},
	})
	removeBinding := create(&admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	})
	isDenied := func() bool {
		probe := s.targetLike("probe-")
		probe.Annotations = nil
		Expect(admin.Create(ctx, probe)).To(Succeed())
		return admin.Delete(ctx, probe) != nil
	}
	Eventually(isDenied, soon, "50ms").Should(BeTrue())
	return func() {
		GinkgoHelper()
		removeBinding()
		removePolicy()
		Eventually(isDenied, soon, "50ms").Should(BeFalse())
	}
}

// logged lists the lines of the log about the scene that have a text in them.
func (s *scene) logged(text string) []string {
	return slices.DeleteFunc(strings.Split(logs.String(), "\n"), func(line string) bool {
		return !strings.Contains(line, s.namespace) || !strings.Contains(line, text)
	})
}

var _ = Describe("A former target that cannot go", func() {
	It("because of a policy is named with the policy's words, cleaned of what they repeat", func() {
		s := newScene()
		s.ready()
		stop := s.denyDeletion()
		next := s.newAccount() // so that the words repeat a token that is no longer the deployed one
		s.edit(rename("renamed"))
		s.writeSource(next.data())
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "FormerTargetRemains")
		r := s.get()
		Expect(r.Status.Target.Name).To(Equal("renamed"))
		Expect(message(r, v1alpha1.ConditionSecretSynced)).To(And(
			ContainSubstring(`the former target "target" could not be cleaned up`),
			ContainSubstring("Secrets are kept here, with "), ContainSubstring("[redacted]")))
		Expect(condition(r, v1alpha1.ConditionReady)).To(Equal("True/Accepted"))
		Eventually(s.eventReasons, soon).Should(ContainElement("Warning FormerTargetRemains"))
		Expect(s.logged("Deleted former target Secret")).To(BeEmpty())

		stop()
		testClock.advance(time.Minute)
		s.poke()
		s.expectGone("target")
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
		Expect(s.logged("Deleted former target Secret")).To(HaveLen(1))
	})

	It("because of a finalizer is named until the finalizer has gone, and deleted once", func() {
		s := newScene()
		s.ready()
		target := s.target()
		target.Finalizers = []string{"example.com/audit"}
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
		s.edit(rename("renamed"))
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "FormerTargetRemains")
		Expect(s.get().Status.Target.Name).To(Equal("renamed"))
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(
			ContainSubstring(`it is being deleted, and held by the finalizer "example.com/audit"`))
		Eventually(s.eventReasons, soon).Should(ContainElement("Warning FormerTargetRemains"))
		s.askForCheck()
		Expect(s.logged("Deleted former target Secret")).To(BeEmpty())
		Expect(s.logged("Began to delete Secret, which a finalizer holds")).To(HaveLen(1))
		Expect(auditedCalls(s.namespace)["delete secrets"]).To(Equal(1))

		target = s.target()
		target.Finalizers = nil
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.expectGone("target")
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
	})

	It("because it is immutable and was there before is named, and keeps its data", func() {
		s := newScene()
		Expect(admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: s.namespace, Name: "target", Annotations: map[string]string{v1alpha1.AnnotationManagedBy: "payments"},
			},
			Data: map[string][]byte{"theirs": []byte("kept")},
		})).To(Succeed())
		s.ready()
		target := s.target()
		target.Immutable = new(true)
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.edit(rename("renamed"))
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "FormerTargetRemains")
		Expect(message(s.get(), v1alpha1.ConditionSecretSynced)).To(ContainSubstring("immutable"))
		Expect(s.get().Status.Target.Name).To(Equal("renamed"))
		Expect(s.target().Data).To(HaveKeyWithValue("theirs", []byte("kept")))
	})
})

var _ = Describe("The log of a write that is refused", func() {
	DescribeTable("has one clean line for each try", func(verb, resource string, refused func(*scene), said string) {
		s := newScene()
		s.ready()
		forbidOperator(verb, resource)
		refused(s)
		Eventually(func() []string { return s.logged("Reconciler error") }, soon, "20ms").ShouldNot(BeEmpty())
		for _, line := range s.logged("Reconciler error") {
			Expect(line).To(ContainSubstring(said))
		}
		Expect(s.logged("Reconciler returned both")).To(BeEmpty())
		Expect(logs.String()).NotTo(ContainSubstring("Reconciler returned both"))
	},
		Entry("of a status", "patch", "jupicocredentials/status", func(s *scene) { s.edit(orphan) }, "forbidden"),
		Entry("of a target", "update", "secrets", func(s *scene) { s.edit(orphan) }, "writing the target Secret"),
	)
})
