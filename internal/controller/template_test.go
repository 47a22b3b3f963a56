// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// template gives the target one, of that type and with templates written as pairs.
func template(secretType string, pairs ...string) func(*v1alpha1.JupicoCredential) {
	data := map[string]v1alpha1.DataTemplate{}
	for i := 1; i < len(pairs); i += 2 {
		data[pairs[i-1]] = v1alpha1.DataTemplate(pairs[i])
	}
	return func(r *v1alpha1.JupicoCredential) {
		r.Spec.Target.Template = &v1alpha1.TargetTemplate{Type: secretType, Data: data}
	}
}

func labelled(labels map[string]v1alpha1.LabelValue, annotations map[string]v1alpha1.AnnotationValue) func(
	*v1alpha1.JupicoCredential,
) {
	return func(r *v1alpha1.JupicoCredential) {
		r.Spec.Target.Template = &v1alpha1.TargetTemplate{Labels: labels, Annotations: annotations}
	}
}

// targetData is the target's, as text.
func (s *scene) targetData() map[string]string {
	data := map[string]string{}
	if target := s.target(); target != nil {
		for key, value := range target.Data {
			data[key] = string(value)
		}
	}
	return data
}

var _ = Describe("A target with templates", func() {
	It("holds what they make, and the token", func() {
		s := newScene()
		s.ready(template("kubernetes.io/basic-auth",
			"username", "{{ .Username }}", "password", "{{ .Password }}",
			"all", "{{ .Authorization }} {{ .URL }} {{ .Host }} {{ .Environment }} {{ .Credential }} {{ .Namespace }}/{{ .Name }}\n",
		))
		Expect(s.target().Type).To(Equal(corev1.SecretTypeBasicAuth))
		Expect(s.targetData()).To(Equal(map[string]string{
			"username": s.login.username, "password": s.login.password, "token": s.login.token(),
			"all": "Basic " + s.login.token() + " " + s.url + " 127.0.0.1 Sandbox main " + s.namespace + "/payments\n",
		}))
		Expect(s.get().Status.Target.Keys).To(Equal([]string{"all", "password", "token", "username"}))
		Expect(s.get().Status.Target.ObservedGeneration).To(Equal(s.get().Generation))

		By("following its source")
		other := newLogin()
		s.emulator.AddAccount(other.username, other.password, jupicotest.Standard)
		s.writeSource(other.data())
		Eventually(s.targetData, soon, "20ms").Should(HaveKeyWithValue("password", other.password))
		Expect(s.targetToken()).To(Equal(other.token()), "no reader ever sees a mixture")
	})

	It("loses the keys that are rendered no more, and keeps those of others", func() {
		s := newScene()
		s.ready(template("", "a", "{{ .Token }}", "b", "{{ .URL }}"))
		target := s.target()
		target.Data["theirs"] = []byte("kept")
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.edit(template("", "b", "{{ .Host }}", "c", "text"))
		Eventually(s.targetData, soon, "20ms").Should(Equal(map[string]string{
			"b": "127.0.0.1", "c": "text", "token": s.login.token(), "theirs": "kept",
		}))

		By("going back to the keys without a template")
		s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Target.Template = nil })
		Eventually(s.targetData, soon, "20ms").Should(Equal(map[string]string{
			"authorization": "Basic " + s.login.token(), "token": s.login.token(), "url": s.url, "theirs": "kept",
		}))
		s.expectReady("True", "Accepted")
	})

	It("has labels and annotations that are put right, and taken away with the template", func() {
		s := newScene()
		s.ready(labelled(map[string]v1alpha1.LabelValue{"team": "checkout", "tier": "back"},
			map[string]v1alpha1.AnnotationValue{"shop.example/note": "ours"}))
		target := s.target()
		Expect(target.Labels).To(HaveKeyWithValue("team", "checkout"))
		Expect(target.Annotations).To(HaveKeyWithValue("shop.example/note", "ours"))

		delete(target.Labels, "team")
		target.Labels["tier"], target.Labels["theirs"] = "changed", "kept"
		delete(target.Annotations, "shop.example/note")
		Expect(admin.Update(ctx, target)).To(Succeed())
		Eventually(func() map[string]string { return s.target().Labels }, soon, "20ms").Should(And(
			HaveKeyWithValue("team", "checkout"), HaveKeyWithValue("tier", "back"), HaveKeyWithValue("theirs", "kept")))
		Expect(s.target().Annotations).To(HaveKeyWithValue("shop.example/note", "ours"))

		By("across a restart")
		operator.stop()
		operator.start()
		s.edit(labelled(map[string]v1alpha1.LabelValue{"tier": "front"}, nil))
		Eventually(func() map[string]string { return s.target().Labels }, soon, "20ms").Should(And(
			Not(HaveKey("team")), HaveKeyWithValue("tier", "front"), HaveKeyWithValue("theirs", "kept")))
		Expect(s.target().Annotations).NotTo(HaveKey("shop.example/note"))
		s.edit(labelled(nil, nil))
		Eventually(func() map[string]string { return s.target().Labels }, soon, "20ms").ShouldNot(HaveKey("tier"))
		Expect(s.target().Annotations).To(HaveLen(2))
		Expect(s.target().Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationManagedBy, "payments"))
		Expect(s.target().Annotations).To(HaveKey(v1alpha1.AnnotationOwnership))
	})

	It("is not written while one of them has an error, which is named by its place", func() {
		s := newScene()
		s.writeSource(s.login.data())
		s.create(template("", "fine", "{{ .Token }}", "wrong", "user: {{ .Username }}\npass: {{ .Passwort }}"))
		s.expectReady("False", "TemplateError")
		s.expectCondition(v1alpha1.ConditionCredentialAccepted, "True", "Accepted")
		r := s.get()
		Expect(message(r, v1alpha1.ConditionReady)).To(ContainSubstring(
			`key "wrong", line 2, column 10: the value .Passwort is unknown`))
		Expect(condition(r, v1alpha1.ConditionSecretSynced)).To(Equal("False/TemplateError"))
		Expect(condition(r, v1alpha1.ConditionStalled)).To(Equal("True/TemplateError"))
		Expect(s.target()).To(BeNil())
		Eventually(s.eventReasons, soon).Should(ContainElement("Warning TemplateError"))

		s.edit(template("", "right", "{{ .Password }}"))
		Eventually(s.targetData, soon, "20ms").Should(HaveKeyWithValue("right", s.login.password))
		s.expectReady("True", "Accepted")
	})

	It("that cannot be rendered with its values makes no target", func() {
		s := newScene()
		s.writeSource(s.login.data())
		s.create(template("", "x", "{{ if true }}{{ eq .Name true }}{{ end }}"))
		s.expectReady("False", "TemplateError")
		Expect(s.target()).To(BeNil())
	})

	It("stays as it is when a template gets an error, which says nothing against it", func() {
		s := newScene()
		s.ready(template("", "key", "{{ .Password }}"))
		before := s.target()
		s.edit(template("", "key", "{{ range .Password }}{{ end }}"))
		s.expectReady("True", "TemplateError")
		s.expectCondition(v1alpha1.ConditionSecretSynced, "False", "TemplateError")
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("True/TemplateError"))
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring("{{ range }} cannot be used"))

		By("also when an error shows only in what is made of it")
		s.edit(template("", "key", "{{ if true }}{{ eq .Name true }}{{ end }}"))
		Eventually(func() string { return message(s.get(), v1alpha1.ConditionReady) }, soon, "20ms").
			Should(ContainSubstring(`key "key", line 1, column 17: a function got something that it cannot work with`))
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("True/TemplateError"))

		By("across a restart, and an edit of the source")
		operator.stop()
		operator.start()
		other := newLogin()
		s.emulator.AddAccount(other.username, other.password, jupicotest.Standard)
		s.writeSource(other.data())
		s.askForCheck()
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("True/TemplateError"))
		Expect(s.target().ResourceVersion).To(Equal(before.ResourceVersion))

		By("no longer being good when its token is revoked")
		s.emulator.Revoke(s.login.username)
		testClock.advance(6 * time.Minute)
		s.poke()
		s.expectReady("False", "TemplateError")
		Expect(condition(s.get(), v1alpha1.ConditionCredentialAccepted)).To(Equal("False/Revoked"))

		By("being written once the template is corrected")
		s.edit(template("", "key", "{{ .Password | quote }}"))
		Eventually(s.targetData, soon, "20ms").Should(HaveKeyWithValue("key", `"`+other.password+`"`))
		s.expectReady("True", "Accepted")
	})

	It("gets what an edit asks for once its token is accepted again, if that was rejected meanwhile", func() {
		s := newScene()
		s.ready(template("", "key", "before"))
		s.emulator.Revoke(s.login.username)
		s.askForCheck()
		s.expectReady("False", "Revoked")
		s.edit(template("", "key", "after"))
		s.expectCondition(v1alpha1.ConditionSecretSynced, "False", "WaitingForCredential")
		Expect(s.targetData()).To(HaveKeyWithValue("key", "before"))
		s.emulator.Restore(s.login.username)
		s.askForCheck()
		Eventually(s.targetData, soon, "20ms").Should(HaveKeyWithValue("key", "after"))
		s.expectCondition(v1alpha1.ConditionSecretSynced, "True", "Synced")
	})

	It("is left as it stands while they need a password that is not known after a restart", func() {
		s := newScene()
		s.ready(template("", "key", "{{ .Password }} before"))
		s.writeSource(newLogin().data())
		s.expectReady("True", "CandidateRejected")

		By("being rendered of what the process remembers, as long as it does")
		s.edit(template("", "key", "{{ .Password }} then"))
		Eventually(s.targetData, soon, "20ms").Should(HaveKeyWithValue("key", s.login.password+" then"))
		Eventually(func() string { return s.get().Status.Target.ResourceVersion }, soon, "20ms").
			Should(Equal(s.target().ResourceVersion), "the status is what the token is known by after a restart")

		operator.stop()
		operator.start()
		before := s.target().ResourceVersion
		s.edit(template("", "key", "{{ .Password }} after"))
		s.askForCheck()
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("True/CandidateRejected"))
		Expect(s.target().ResourceVersion).To(Equal(before))

		By("being rendered where they need nothing else than the token")
		s.edit(template("", "key", "{{ .Token }} after"))
		Eventually(s.targetData, soon, "20ms").Should(HaveKeyWithValue("key", s.login.token()+" after"))

		By("being rendered when the source makes the token again")
		s.edit(template("", "key", "{{ .Password }} after"))
		s.writeSource(s.login.data())
		Eventually(s.targetData, soon, "20ms").Should(HaveKeyWithValue("key", s.login.password+" after"))
		s.expectReady("True", "Accepted")
	})

	It("says of which environment its token is, not of which the spec now speaks", func() {
		s := newScene()
		s.ready(template("", "key", "{{ .Environment }} {{ .Credential }} {{ .URL }}"))
		was := "Sandbox main " + s.url
		_, url := emulators.take() // which does not know the login
		s.edit(func(r *v1alpha1.JupicoCredential) {
			r.Spec.Environment, r.Spec.Endpoint.URL = v1alpha1.EnvironmentProduction, url
			r.Spec.Credentials[0].Name = "renamed"
		})
		s.expectReady("True", "CandidateRejected")
		Expect(s.targetData()).To(HaveKeyWithValue("key", was))
		s.edit(func(r *v1alpha1.JupicoCredential) {
			r.Spec.Environment, r.Spec.Endpoint.URL = v1alpha1.EnvironmentSharedSandbox, s.url
		})
		Eventually(s.targetData, soon, "20ms").Should(HaveKeyWithValue("key", "SharedSandbox renamed "+s.url))
	})
})

var _ = Describe("A target whose type is to change", func() {
	It("is made anew with everything in it, once its token was accepted anew", func() {
		s := newScene()
		s.ready()
		target := s.target()
		metav1.SetMetaDataLabel(&target.ObjectMeta, "theirs", "kept")
		Expect(admin.Update(ctx, target)).To(Succeed())
		checks := s.emulator.RequestsFor(s.login.token())
		s.edit(template("shop.example/login", "key", "{{ .Token }}"))
		Eventually(func() corev1.SecretType {
			if target = s.target(); target != nil {
				return target.Type
			}
			return ""
		}, soon, "5ms").Should(BeEquivalentTo("shop.example/login"))
		Expect(s.targetData()).To(Equal(map[string]string{
			"key": s.login.token(), "token": s.login.token(),
		}))
		Expect(target.Labels).To(HaveKeyWithValue("theirs", "kept"))
		Expect(target.OwnerReferences).To(HaveLen(1))
		Eventually(func() any { return s.get().Status.Target.UID }, soon, "20ms").Should(Equal(target.UID))
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("True/Accepted"))
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(checks+1), "an edit is checked once")

		By("keeping that type when the template names none")
		s.edit(template("", "key", "{{ .Token }} again"))
		Eventually(s.targetData, soon, "20ms").Should(HaveKeyWithValue("key", s.login.token()+" again"))
		Expect(s.target().UID).To(Equal(target.UID))
	})

	It("stays when it holds a key of somebody else, until it is deleted by hand", func() {
		s := newScene()
		s.ready()
		target := s.target()
		target.Data["theirs"] = []byte("kept")
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.edit(template("shop.example/login"))
		s.expectReady("False", "TargetWriteFailed")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring("it has keys that are not the operator's"))
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("True/TargetWriteFailed"))
		Expect(s.target().Data).To(HaveKeyWithValue("theirs", []byte("kept")))
		Expect(admin.Delete(ctx, s.target())).To(Succeed())
		s.expectReady("True", "Accepted")
		Expect(s.target().Type).To(BeEquivalentTo("shop.example/login"))
	})

	It("stays while its token cannot be proven anew", func() {
		s := newScene()
		s.ready()
		s.emulator.Inject(jupicotest.Fault{Status: 503})
		uid := s.target().UID
		s.edit(template("shop.example/login"))
		s.expectReady("False", "TargetWriteFailed")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(And(
			ContainSubstring(`has the type "Opaque", which cannot change to "shop.example/login"`),
			ContainSubstring("as soon as Jupico accepts the token once more")))
		Expect(s.target().UID).To(Equal(uid))
		s.emulator.Clear()
		s.askForCheck()
		s.expectReady("True", "Accepted")
		Expect(s.target().Type).To(BeEquivalentTo("shop.example/login"))
	})

	It("stays when it is to be left behind, until it is deleted by hand", func() {
		s := newScene()
		s.ready(orphan)
		uid := s.target().UID
		s.edit(template("shop.example/login"))
		s.expectReady("False", "TargetWriteFailed")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring("Delete it yourself, and the operator writes it anew"))
		Expect(condition(s.get(), v1alpha1.ConditionSecretSynced)).To(Equal("False/TargetWriteFailed"))
		Expect(condition(s.get(), v1alpha1.ConditionStalled)).To(Equal("True/TargetWriteFailed"))
		Expect(s.target().UID).To(Equal(uid))
		Expect(admin.Delete(ctx, s.target())).To(Succeed())
		s.expectReady("True", "Accepted")
		Expect(s.target().Type).To(BeEquivalentTo("shop.example/login"))
	})

	It("is made anew though it is immutable", func() {
		s := newScene()
		s.ready()
		target := s.target()
		target.Immutable = new(true)
		Expect(admin.Update(ctx, target)).To(Succeed())
		s.edit(template("shop.example/login"))
		Eventually(func() any { return s.get().Status.Target.UID }, soon, "20ms").ShouldNot(Equal(target.UID))
		s.expectReady("True", "Accepted")
		Expect(s.target().Type).To(BeEquivalentTo("shop.example/login"))
	})

	It("stays when the API server would refuse the new one, whose words are cleaned of what they repeat", func() {
		s := newScene()
		s.ready(template("", "password", "{{ .Password }}"))
		uid := s.target().UID
		encoded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
		secrets = append(secrets, encoded(s.login.token()), encoded(s.login.password))
		denyType(s.namespace, "shop.example/denied")
		s.edit(template("shop.example/denied", "password", "{{ .Password }}"))
		s.expectReady("False", "TargetWriteFailed")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(And(
			ContainSubstring("no such type, with "), ContainSubstring("[redacted]")))
		Expect(s.target().UID).To(Equal(uid))
		Expect(s.targetToken()).To(Equal(s.login.token()))
		Expect(condition(s.get(), v1alpha1.ConditionCredentialAccepted)).To(Equal("True/Accepted"))

		s.edit(template("shop.example/allowed", "password", "{{ .Password }}"))
		s.expectReady("True", "Accepted")
		Expect(s.target().Type).To(BeEquivalentTo("shop.example/allowed"))
	})
})

// denyType has the API server refuse Secrets of a type, in words that repeat what is in them.
func denyType(namespace, secretType string) {
	GinkgoHelper()
	name := "deny-" + namespace
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
					Rule: admissionv1.Rule{
						APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"},
					},
				}}},
			},
			Validations: []admissionv1.Validation{{
				Expression: "object.type != '" + secretType + "'",
				MessageExpression: "'no such type, with ' + " +
					"(has(object.data) ? object.data.map(k, string(object.data[k])).join(' and ') : 'nothing')",
			}},
		},
	}
	Expect(admin.Create(ctx, policy)).To(Succeed())
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	Expect(admin.Create(ctx, binding)).To(Succeed())
	DeferCleanup(func() {
		Expect(admin.Delete(ctx, binding)).To(Succeed())
		Expect(admin.Delete(ctx, policy)).To(Succeed())
	})
	Eventually(func() bool { // the API server learns of a policy with a delay
		err := admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "probe-"}, Type: corev1.SecretType(secretType),
		}, client.DryRunAll)
		return apierrors.IsInvalid(err) || apierrors.IsForbidden(err)
	}, soon, "50ms").Should(BeTrue())
}

func manyKeys(n int) func(*v1alpha1.JupicoCredential) {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("key-%d", i), "a")
	}
	return template("", pairs...)
}

var _ = Describe("A template that cannot work", func() {
	labels := func(pairs ...string) func(*v1alpha1.JupicoCredential) {
		return labelled(map[string]v1alpha1.LabelValue{pairs[0]: v1alpha1.LabelValue(pairs[1])}, nil)
	}
	annotation := func(name string) func(*v1alpha1.JupicoCredential) {
		return labelled(nil, map[string]v1alpha1.AnnotationValue{name: "value"})
	}
	const meaning = "have a meaning of their own: choose another name"

	DescribeTable("is refused with a sentence that helps", func(change func(*v1alpha1.JupicoCredential), sentence string) {
		s := newScene()
		expectRejectedByAPI(s.resource(change), ContainSubstring(sentence))
	},
		Entry("a type of Kubernetes'", template("kubernetes.io/tls"), "or a name in a domain of your own"),
		Entry("a service account's token", template("kubernetes.io/service-account-token"), "or a name in a domain of your own"),
		Entry("a type below a domain of Kubernetes'", template("bootstrap.kubernetes.io/token"), "or a name in a domain of your own"),
		Entry("a type under k8s.io", template("x.k8s.io/token"), "or a name in a domain of your own"),
		Entry("a type without a domain", template("login"), "or a name in a domain of your own"),
		Entry("a type whose domain has no dot", template("shop/login"), "or a name in a domain of your own"),
		Entry("basic-auth without a password", template("kubernetes.io/basic-auth", "username", "{{ .Username }}"),
			"the type kubernetes.io/basic-auth needs the keys username and password in data"),
		Entry("basic-auth without data", template("kubernetes.io/basic-auth"),
			"the type kubernetes.io/basic-auth needs the keys username and password in data"),

		Entry("a label under kubernetes.io", labels("kubernetes.io/team", "a"), "labels under kubernetes.io"),
		Entry("a label under a part of kubernetes.io", labels("node.kubernetes.io/team", "a"), meaning),
		Entry("a label under k8s.io", labels("k8s.io/team", "a"), meaning),
		Entry("a label under a part of k8s.io", labels("x.y.k8s.io/team", "a"), meaning),
		Entry("a label of ours", labels("credentials.jupico.dev/managed-by", "a"), meaning),
		Entry("a label under a part of ours", labels("x.credentials.jupico.dev/a", "a"), meaning),
		Entry("a label that the operator sets", labels("app.kubernetes.io/managed-by", "helm"), "are set by the operator: leave them out"),
		Entry("a label that is no name", labels("not a name", "a"), "a label must be a valid name"),
		Entry("a label's value that is none", labels("team", "a b"), "spec.target.template.labels.team"),
		Entry("an annotation under kubernetes.io", annotation("kubernetes.io/service-account.name"), "annotations under kubernetes.io"),
		Entry("an annotation under a part of kubernetes.io", annotation("kubectl.kubernetes.io/last-applied-configuration"), meaning),
		Entry("an annotation of ours", annotation("credentials.jupico.dev/managed-by"), meaning),
		Entry("an annotation that is no name", annotation("/"), "an annotation must be a valid name"),

		Entry("a key named token", template("", "token", "a"), "the key token is always there"),
		Entry("a key with a slash", template("", "a/b", "a"), "a key of data may hold letters"),
		Entry("a key that leads up", template("", "..", "a"), "a key of data may hold letters"),
		Entry("an empty key", template("", "", "a"), "a key of data may hold letters"),
		Entry("a long key", template("", strings.Repeat("a", 254), "a"), "a key of data may hold letters"),
		Entry("a novel", template("", "key", strings.Repeat("a", 4097)), "spec.target.template.data.key"),
		Entry("63 keys", manyKeys(63), "must have at most 62 items"),
	)

	DescribeTable("has neighbours that can", func(change func(*v1alpha1.JupicoCredential)) {
		s := newScene()
		s.create(change)
	},
		Entry("a type of one's own", template("shop.example/login.v1")),
		Entry("a type in a domain that only looks like Kubernetes'", template("notkubernetes.io/login")),
		Entry("Opaque", template("Opaque")),
		Entry("basic-auth", template("kubernetes.io/basic-auth", "username", "a", "password", "b")),
		Entry("a recommended label", labels("app.kubernetes.io/part-of", "shop")),
		Entry("a label without a domain", labels("team", "")),
		Entry("a label in a domain that only looks like Kubernetes'", labels("notk8s.io/team", "a")),
		Entry("an annotation of another controller", annotation("reflector.v1.k8s.emberstack.com/reflection-allowed")),
		Entry("a hidden file", template("", ".netrc", "a")),
		Entry("62 keys", manyKeys(62)),
		Entry("nothing", template("")),
	)
})
