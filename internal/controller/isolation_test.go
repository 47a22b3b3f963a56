// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// tenant is the scene of a user who has the rights of the ClusterRole edit in its namespace, and none elsewhere. It
// uses the same endpoint as its neighbour, who has a resource that is Ready.
type tenant struct {
	*scene
	hands     client.Client
	neighbour *scene
}

func newTenant() *tenant {
	GinkgoHelper()
	t := &tenant{neighbour: newScene(), scene: newScene()}
	t.neighbour.ready()
	Expect(admin.Create(ctx, t.neighbour.authorities())).To(Succeed())
	t.emulator, t.url = t.neighbour.emulator, t.neighbour.url
	t.emulator.AddAccount(t.login.username, t.login.password, jupicotest.Standard)

	user := "tenant-of-" + t.namespace
	for _, role := range aggregated("edit") {
		Expect(admin.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, GenerateName: "tenant-"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		})).To(Succeed())
	}
	config := userConfig(user)
	config.QPS = -1
	var err error
	t.hands, err = client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	Eventually(func() error { // the API server learns of a binding with a delay
		return t.hands.List(ctx, &v1alpha1.JupicoCredentialList{}, client.InNamespace(t.namespace))
	}, soon, "20ms").Should(Succeed())
	return t
}

// aggregated are the ClusterRoles whose rules the controller manager, which the suite does without, gathers in another.
func aggregated(name string) []string {
	GinkgoHelper()
	var role rbacv1.ClusterRole
	Expect(admin.Get(ctx, client.ObjectKey{Name: name}, &role)).To(Succeed())
	if role.AggregationRule == nil {
		return []string{name}
	}
	var names []string
	for i := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		Expect(err).NotTo(HaveOccurred())
		var parts rbacv1.ClusterRoleList
		Expect(admin.List(ctx, &parts, client.MatchingLabelsSelector{Selector: selector})).To(Succeed())
		for j := range parts.Items {
			names = append(names, aggregated(parts.Items[j].Name)...)
		}
	}
	return names
}

// installUserRoles makes the ClusterRoles of config/rbac that are aggregated to edit and view.
func installUserRoles() {
	GinkgoHelper()
	for _, file := range []string{"jupicocredential_editor_role.yaml", "jupicocredential_viewer_role.yaml"} {
		manifest, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", file))
		Expect(err).NotTo(HaveOccurred())
		role := &rbacv1.ClusterRole{}
		Expect(yaml.UnmarshalStrict(manifest, role)).To(Succeed())
		Expect(admin.Create(ctx, role)).To(Succeed())
		DeferCleanup(func() { Expect(admin.Delete(ctx, role)).To(Succeed()) })
	}
}

// make has the tenant create something.
func (t *tenant) make(objects ...client.Object) {
	GinkgoHelper()
	for _, object := range objects {
		Expect(t.hands.Create(ctx, object)).To(Succeed())
	}
}

func (s *scene) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name}
}

// source is the scene's login, in a Secret that is not created yet.
func (s *scene) source() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: s.meta("source"), Data: s.login.data()}
}

// authorities is the endpoint's, in a ConfigMap that is not created yet.
func (s *scene) authorities() *corev1.ConfigMap {
	bundle := map[string]string{"ca.crt": string(emulators.ca.PEM())}
	return &corev1.ConfigMap{ObjectMeta: s.meta("authorities"), Data: bundle}
}

// change has the tenant edit its resource.
func (t *tenant) change(change func(*v1alpha1.JupicoCredential)) error {
	GinkgoHelper()
	before := t.get()
	after := before.DeepCopy()
	change(after)
	return t.hands.Patch(ctx, after, client.MergeFrom(before))
}

// expectRefused waits until the resource says of its latest generation that it is not Ready, for this reason.
func (t *tenant) expectRefused(reason, what string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		r := t.get()
		g.Expect(r.Status.ObservedGeneration).To(Equal(r.Generation))
		g.Expect(condition(r, v1alpha1.ConditionReady)).To(Equal("False/"+reason), "%s\n%s", what, describe(r))
	}, soon, "20ms").Should(Succeed())
	Expect(t.target()).To(BeNil(), what)
}

// states counts the tenant's resources by their condition Ready.
func (t *tenant) states() map[string]int {
	GinkgoHelper()
	var resources v1alpha1.JupicoCredentialList
	Expect(admin.List(ctx, &resources, client.InNamespace(t.namespace))).To(Succeed())
	states := map[string]int{}
	for i := range resources.Items {
		states[condition(&resources.Items[i], v1alpha1.ConditionReady)]++
	}
	return states
}

// trace is what an attempt must leave as it is: the operator's calls about a namespace, the objects in it and their
// versions, and the requests that were sent with its token.
func (s *scene) trace() map[string]any {
	GinkgoHelper()
	versions := map[string]string{}
	for _, list := range []client.ObjectList{
		&corev1.SecretList{}, &corev1.ConfigMapList{}, &v1alpha1.JupicoCredentialList{},
	} {
		Expect(admin.List(ctx, list, client.InNamespace(s.namespace))).To(Succeed())
		Expect(meta.EachListItem(list, func(item runtime.Object) error {
			object, err := meta.Accessor(item)
			versions[fmt.Sprintf("%T %s", item, object.GetName())] = object.GetResourceVersion()
			return err
		})).To(Succeed())
	}
	return map[string]any{
		"calls": auditedCalls(s.namespace), "versions": versions, "requests": s.emulator.RequestsFor(s.login.token()),
	}
}

// expectServed asks for a check, which is made and shows that all is well.
func (s *scene) expectServed() {
	GinkgoHelper()
	checks := s.emulator.RequestsFor(s.login.token())
	s.askForCheck()
	Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(checks + 1))
	for condition, reason := range map[string]string{
		v1alpha1.ConditionReady: "Accepted", v1alpha1.ConditionCredentialAccepted: "Accepted",
		v1alpha1.ConditionSecretSynced: "Synced", v1alpha1.ConditionEndpointAvailable: "Available",
	} {
		s.expectCondition(condition, "True", reason)
	}
	Expect(s.targetToken()).To(Equal(s.login.token()))
}

var _ = Describe("A user with the rights of edit in one namespace", Ordered, ContinueOnFailure, func() {
	BeforeAll(installUserRoles)

	DescribeTable("has nothing read, written, delayed or counted in another", func(attempt func(*tenant)) {
		t := newTenant()
		before := t.neighbour.trace()
		attempt(t)
		Expect(t.neighbour.trace()).To(Equal(before))
		t.neighbour.expectServed()
	},
		Entry("by asking for it", askForIt),
		Entry("by names with elements of a path", usePathsAsNames),
		Entry("by fields that name a namespace", nameANamespace),
		Entry("by certificates", borrowCertificates),
		Entry("by templates", useTemplates),
		Entry("by endpoints", useEndpoints),
		Entry("by annotations", useAnnotations),
		Entry("by owner references", useOwnerReferences),
		Entry("by huge objects", makeHugeObjects),
		Entry("by many authorities, and handshakes that fail", useManyAuthorities),
		Entry("by many requests for checks", requestManyChecks),
		Entry("by tokens for which the endpoint gives no evidence", useTokensThatGiveNoEvidence),
	)

	It("delays nobody in another by more than a round with 200 wrong passwords", func() {
		t := newTenant()
		// A check takes long, and half of the 8 workers may be in flight to one endpoint: 8 checks a second.
		t.emulator.Inject(jupicotest.Fault{Latency: 500 * time.Millisecond})
		const many = 200
		before := t.neighbour.trace()
		for i := range many {
			name := fmt.Sprintf("wrong-%d", i)
			t.make(&corev1.Secret{ObjectMeta: t.meta(name), Data: newLogin().data()}, t.resource(
				rename("target-of-"+name), func(r *v1alpha1.JupicoCredential) {
					r.Name, r.Spec.Credentials[0].BasicAuthSecretRef.Name = name, name
				}))
		}
		Expect(t.neighbour.trace()).To(Equal(before))
		requests := t.emulator.Requests()
		t.neighbour.expectServed()
		requests = t.emulator.Requests() - requests

		waiting := many - t.states()["False/Rejected"]
		AddReportEntry("the neighbour's check",
			fmt.Sprintf("was among the next %d, while %d others waited", requests, waiting))
		Expect(waiting).To(BeNumerically(">", many/2), "the others were served first")
		t.emulator.Clear()
	})
})

func askForIt(t *tenant) {
	t.make(t.source(), t.resource())
	t.expectReady("True", "Accepted")
	next := t.neighbour
	taken := next.resource(func(r *v1alpha1.JupicoCredential) { r.Name = "taken" })
	nothing := client.RawPatch("application/merge-patch+json", []byte("{}"))
	for _, object := range []client.Object{next.source(), next.authorities(), next.resource(), next.target(), taken} {
		for what, err := range map[string]error{
			"get":    t.hands.Get(ctx, client.ObjectKeyFromObject(object), object.DeepCopyObject().(client.Object)),
			"create": t.hands.Create(ctx, object.DeepCopyObject().(client.Object), client.DryRunAll),
			"patch":  t.hands.Patch(ctx, object.DeepCopyObject().(client.Object), nothing),
			"delete": t.hands.Delete(ctx, object),
		} {
			Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%s %T: %v", what, object, err)
		}
	}
	own := t.get()
	own.Status.Target.Name = "source"
	Expect(apierrors.IsForbidden(t.hands.Status().Update(ctx, own))).To(BeTrue(), "a status is the operator's")
}

func usePathsAsNames(t *tenant) {
	elsewhere := t.neighbour.namespace + "/source"
	for _, name := range []string{
		"../" + elsewhere, elsewhere, "..", ".", "./source", "source/", "source/../../" + elsewhere, "%2e%2e%2fsource",
		"source?namespace=" + t.neighbour.namespace, "source#", "source\x00", "source\n", `..\source`, " source", "Source",
	} {
		for field, change := range map[string]func(*v1alpha1.JupicoCredential){
			"login":  func(r *v1alpha1.JupicoCredential) { r.Spec.Credentials[0].BasicAuthSecretRef.Name = name },
			"key":    func(r *v1alpha1.JupicoCredential) { apiKey(r); r.Spec.Credentials[0].APIKeySecretRef.Name = name },
			"target": rename(name),
			"authorities": func(r *v1alpha1.JupicoCredential) {
				r.Spec.Endpoint.CABundle, r.Spec.Endpoint.CAConfigMapRef = nil, &v1alpha1.CAConfigMapReference{Name: name}
			},
		} {
			err := t.hands.Create(ctx, t.resource(change))
			Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%s %q: %v", field, name, err)
		}
	}
	t.make(t.source(), t.resource(func(r *v1alpha1.JupicoCredential) {
		r.Spec.Credentials[0].BasicAuthSecretRef.PasswordKey = "../../" + elsewhere + "/password"
	}))
	t.expectRefused("SourceKeyMissing", "a key is no path")
}

// nameANamespace names the neighbour's wherever a reference might have a namespace. Its Secrets have the same names.
func nameANamespace(t *tenant) {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(t.resource())
	Expect(err).NotTo(HaveOccurred())
	resource := &unstructured.Unstructured{Object: object}
	resource.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("JupicoCredential"))
	spec := object["spec"].(map[string]any)
	source := spec["credentials"].([]any)[0].(map[string]any)["basicAuthSecretRef"].(map[string]any)
	for _, reference := range []map[string]any{
		spec, source, spec["target"].(map[string]any), spec["endpoint"].(map[string]any),
	} {
		reference["namespace"] = t.neighbour.namespace
	}
	t.make(resource)
	t.expectRefused("SourceNotFound", "there is none in its own namespace")
}

func borrowCertificates(t *tenant) {
	t.make(t.source(), t.resource(func(r *v1alpha1.JupicoCredential) {
		r.Spec.Endpoint.CABundle = nil
		r.Spec.Endpoint.CAConfigMapRef = &v1alpha1.CAConfigMapReference{Name: "authorities"}
	}))
	t.expectRefused("CAInvalid", "there are none in its own namespace")
}

func useTemplates(t *tenant) {
	many := strings.Repeat("a", 1000)
	texts := []string{
		`{{ range .Password }}{{ end }}`, `{{ env "HOME" }}`, `{{ expandenv "$HOME" }}`, `{{ call .Token }}`,
		`{{ lookup "v1" "Secret" "` + t.neighbour.namespace + `" "source" }}`, `{{ .Files.Get "/etc/passwd" }}`,
		`{{ template "a" }}`, `{{ define "a" }}{{ end }}`, `{{ block "a" . }}{{ end }}`, `{{ printf "%1000000000d" 1 }}`,
		`{{ repeat 1000000000 "a" }}`, `{{ getHostByName "kubernetes" }}`, `{{ index . "Password" }}`, `{{ .Token.Reveal }}`,
		`{{ "` + many + `" | replace "a" "` + many + `" | replace "a" "` + many + `" }}`,
		strings.Repeat(`{{ "`+many+`" | replace "a" "`+many[:60]+`" }}`, 3),
	}
	t.make(t.source(), t.resource(template("", "key", texts[0])))
	for _, text := range texts {
		Expect(t.change(template("", "key", text))).To(Succeed())
		t.expectRefused("TemplateError", text)
	}
}

func useEndpoints(t *tenant) {
	allowed := t.url
	bare := strings.TrimPrefix(allowed, "https://")
	host, _, _ := strings.Cut(bare, "/")
	requests := t.emulator.Requests()
	t.make(t.source())
	denied := 0
	for _, url := range []string{
		"https://not-allowed.example", "https://169.254.169.254/latest/meta-data",
		"https://kubernetes.default.svc/api", "https://" + host,
		allowed + "/..", allowed + "/.", allowed + "/../e0", allowed + "/%2e%2e/e0", allowed + "%2f", allowed + "/status",
		allowed + "/x/..", allowed + ";a", allowed + `\`, allowed + "%00",
		"https://localhost" + bare[strings.Index(bare, ":"):],
		"https://127.1" + bare[strings.Index(bare, ":"):], "https://[::ffff:127.0.0.1]" + bare[strings.Index(bare, ":"):],
		"https://" + host + ".not-allowed.example", "https://" + host + "@not-allowed.example", "https://a:b@" + bare,
		"https://not-allowed.example#@" + bare, "https://not-allowed.example?@" + bare,
		`https://not-allowed.example\@` + bare,
		"https://not-allowed.example/https://" + bare, "http://" + bare, "HTTP://" + bare, "//" + bare, "file:///etc/passwd",
		"https://127.0.0.1 " + bare, "https://%31%32%37.0.0.1" + bare[strings.Index(bare, ":"):],
	} {
		name := fmt.Sprintf("asks-%d", denied)
		err := t.hands.Create(ctx, t.resource(rename("target-of-"+name), func(r *v1alpha1.JupicoCredential) {
			r.Name, r.Spec.Endpoint.URL = name, url
		}))
		if denied++; err != nil {
			Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%s: %v", url, err)
			denied--
		}
	}
	Expect(denied).To(BeNumerically(">", 10), "the schema refuses the others")
	Eventually(t.states, soon, "100ms").Should(Equal(map[string]int{"False/EndpointDenied": denied}))
	Expect(t.emulator.Requests()).To(Equal(requests))
}

// useAnnotations makes Secrets that claim to be the neighbour's targets. The names are the same as there.
func useAnnotations(t *tenant) {
	for _, name := range []string{"target", "former", "source-of-mine"} {
		t.make(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: name, Annotations: map[string]string{
				v1alpha1.AnnotationManagedBy: "payments",
				v1alpha1.AnnotationOwnership: `{"secret":"` + name + `","created":true,"keys":["token","password"]}`,
			}},
			Data: map[string][]byte{"token": []byte(t.neighbour.login.token())},
		})
	}
	t.make(t.source(), t.resource())
	t.expectReady("True", "Accepted")
	Expect(t.targetToken()).To(Equal(t.login.token()))
}

func useOwnerReferences(t *tenant) {
	theirs := t.neighbour.get()
	owners := []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "JupicoCredential", Name: theirs.Name, UID: theirs.UID,
		Controller: new(true), BlockOwnerDeletion: new(true),
	}}
	target := &corev1.Secret{ObjectMeta: t.meta("target")}
	target.Annotations = map[string]string{v1alpha1.AnnotationManagedBy: "payments"}
	target.OwnerReferences = owners
	err := t.hands.Create(ctx, target)
	Expect(apierrors.IsForbidden(err)).To(BeTrue(), "to block the deletion of what somebody may not finalize: %v", err)
	owners[0].BlockOwnerDeletion = nil
	resource := t.resource()
	resource.OwnerReferences, resource.Finalizers = owners, []string{"shop.example/held"}
	t.make(target, t.source(), resource)
	t.expectReady("True", "Accepted")
	Expect(t.target().OwnerReferences).To(BeEmpty(), "it belongs to its own namespace's resource")

	Expect(t.hands.Delete(ctx, resource)).To(Succeed())
	Expect(t.change(func(r *v1alpha1.JupicoCredential) { r.Finalizers = nil })).To(Succeed())
}

func makeHugeObjects(t *tenant) {
	const huge = 900 << 10
	authorities := t.authorities()
	authorities.Data["ca.crt"] = strings.Repeat(authorities.Data["ca.crt"], huge/len(authorities.Data["ca.crt"]))
	source := t.source()
	source.Data["password"] = []byte(strings.Repeat("p", huge))
	resource := t.resource(manyKeys(62))
	for key := range resource.Spec.Target.Template.Data {
		resource.Spec.Target.Template.Data[key] = v1alpha1.DataTemplate("{{ .Token }}" + strings.Repeat("x", 4000))
	}
	resource.Annotations = map[string]string{v1alpha1.AnnotationCheckRequestedAt: strings.Repeat("now", 80<<10)}
	t.make(authorities, source, resource)
	t.expectRefused("InvalidSource", "a password of 900 KiB")
	source.Data = t.login.data()
	Expect(t.hands.Update(ctx, source)).To(Succeed())
	t.expectReady("True", "Accepted")
	Expect(t.change(func(r *v1alpha1.JupicoCredential) {
		r.Spec.Endpoint.CABundle = nil
		r.Spec.Endpoint.CAConfigMapRef = &v1alpha1.CAConfigMapReference{Name: "authorities"}
	})).To(Succeed())
	t.expectReady("True", "CAInvalid")
}

// useManyAuthorities makes more endpoints of one URL than are remembered, and half of them fail in the handshake.
func useManyAuthorities(t *tenant) {
	other, err := jupicotest.NewCA()
	Expect(err).NotTo(HaveOccurred())
	t.make(t.source())
	const many = 40
	for i := range many {
		bundle := emulators.ca.PEM()
		if i%2 == 0 {
			bundle = other.PEM()
		}
		t.make(t.resource(rename(fmt.Sprintf("target-%d", i)), func(r *v1alpha1.JupicoCredential) {
			r.Name, r.Spec.Endpoint.CABundle = fmt.Sprintf("trusts-%d", i), append(bundle, strings.Repeat("\n", i)...)
		}))
	}
	Eventually(t.states, soon, "100ms").
		Should(Equal(map[string]int{"True/Accepted": many / 2, "False/TLSFailure": many / 2}))
}

func requestManyChecks(t *tenant) {
	t.make(t.source(), t.resource())
	t.expectReady("True", "Accepted")
	for i := range 100 {
		Expect(t.change(func(r *v1alpha1.JupicoCredential) {
			metav1.SetMetaDataAnnotation(&r.ObjectMeta, v1alpha1.AnnotationCheckRequestedAt, fmt.Sprint(i))
		})).To(Succeed())
	}
	Expect(t.emulator.RequestsFor(t.login.token())).To(BeNumerically("<=", 12))
}

// useTokensThatGiveNoEvidence asks for checks that the endpoint answers with 400, as some do when a header is too long.
func useTokensThatGiveNoEvidence(t *tenant) {
	t.emulator.Inject(jupicotest.Fault{Status: 400, OnlyToken: t.login.token()})
	t.make(t.source(), t.resource())
	t.expectRefused("UnexpectedResponse", "HTTP 400")
	for range 8 {
		t.askForCheck()
	}
	t.expectRefused("UnexpectedResponse", "HTTP 400")
}
