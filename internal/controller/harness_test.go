// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// soon is how long a test waits for what takes milliseconds, on a machine that is busy.
const soon = 15 * time.Second

func (p *emulatorPool) allowed() []string {
	urls := make([]string, 0, emulatorPoolSize+1)
	for i := range emulatorPoolSize {
		urls = append(urls, p.server.URL+emulatorPath(i))
	}
	return append(urls, closedEndpoint)
}

// closedEndpoint is allowed, and nothing listens there.
const closedEndpoint = "https://127.0.0.1:1"

func (p *emulatorPool) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	number, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/e"), "/")
	i, err := strconv.Atoi(number)
	p.mu.Lock()
	known := err == nil && i < len(p.taken)
	var emulator *jupicotest.Emulator
	if known {
		emulator = p.taken[i]
	}
	p.mu.Unlock()
	if !known {
		http.NotFound(w, r)
		return
	}
	http.StripPrefix(emulatorPath(i), emulator).ServeHTTP(w, r)
}

// take returns a fresh emulator and its base URL.
func (p *emulatorPool) take() (*jupicotest.Emulator, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	Expect(len(p.taken)).To(BeNumerically("<", emulatorPoolSize), "make the pool larger")
	emulator := jupicotest.New()
	p.taken = append(p.taken, emulator)
	return emulator, p.server.URL + emulatorPath(len(p.taken)-1)
}

func (p *emulatorPool) close() {
	p.mu.Lock()
	for _, emulator := range p.taken {
		emulator.Close()
	}
	p.mu.Unlock()
	p.server.Close()
}

// secrets collects every value that must be seen nowhere but in a Secret.
var (
	secretsMu sync.Mutex
	secrets   []string
)

// login is a username and a password that no other test uses.
type login struct{ username, password string }

var logins atomic.Int64

func newLogin() login {
	n := logins.Add(1)
	l := login{fmt.Sprintf("canaryUser%d", n), fmt.Sprintf("cAnary+<Pa55>&/word-%d", n)}
	secretsMu.Lock()
	defer secretsMu.Unlock()
	secrets = append(secrets, l.secrets()...)
	return l
}

func (l login) token() string {
	return base64.StdEncoding.EncodeToString([]byte(l.username + ":" + l.password))
}

func (l login) tokenWithNewline() string {
	return base64.StdEncoding.EncodeToString([]byte(l.username + ":" + l.password + "\n"))
}

func (l login) data() map[string][]byte {
	return map[string][]byte{"username": []byte(l.username), "password": []byte(l.password)}
}

// scene is one test's namespace, emulator and login, with a source Secret "source" and, once created, a resource
// "payments" whose target is "target".
type scene struct {
	namespace string
	emulator  *jupicotest.Emulator
	url       string
	login     login
}

func newScene() *scene {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "scene-"}}
	Expect(admin.Create(ctx, namespace)).To(Succeed())
	s := &scene{namespace: namespace.Name, login: newLogin()}
	s.emulator, s.url = emulators.take()
	s.emulator.AddAccount(s.login.username, s.login.password, jupicotest.Standard)
	DeferCleanup(func() {
		Expect(admin.DeleteAllOf(ctx, &v1alpha1.JupicoCredential{}, client.InNamespace(s.namespace))).To(Succeed())
	})
	return s
}

func (s *scene) writeSource(data map[string][]byte) *corev1.Secret {
	GinkgoHelper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "source"}}
	err := admin.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	secret.Data = data
	if client.IgnoreNotFound(err) == nil && err != nil {
		Expect(admin.Create(ctx, secret)).To(Succeed())
		return secret
	}
	Expect(err).NotTo(HaveOccurred())
	Expect(admin.Update(ctx, secret)).To(Succeed())
	return secret
}

// resource is a JupicoCredential of the scene, not created yet.
func (s *scene) resource(changes ...func(*v1alpha1.JupicoCredential)) *v1alpha1.JupicoCredential {
	r := &v1alpha1.JupicoCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "payments"},
		Spec: v1alpha1.JupicoCredentialSpec{
			Environment: v1alpha1.EnvironmentSandbox,
			Endpoint:    &v1alpha1.Endpoint{URL: s.url, CABundle: emulators.ca.PEM()},
			Credentials: []v1alpha1.Credential{{
				Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: "source"},
			}},
			Target: v1alpha1.Target{Name: "target"},
		},
	}
	for _, change := range changes {
		change(r)
	}
	return r
}

func (s *scene) create(changes ...func(*v1alpha1.JupicoCredential)) *v1alpha1.JupicoCredential {
	GinkgoHelper()
	r := s.resource(changes...)
	Expect(admin.Create(ctx, r)).To(Succeed())
	return r
}

// ready makes the source and the resource, and waits for the delivery.
func (s *scene) ready(changes ...func(*v1alpha1.JupicoCredential)) {
	GinkgoHelper()
	s.writeSource(s.login.data())
	s.create(changes...)
	s.expectReady("True", "Accepted")
}

func apiKey(r *v1alpha1.JupicoCredential) {
	r.Spec.Credentials[0] = v1alpha1.Credential{
		Name: "main", APIKeySecretRef: &v1alpha1.APIKeySecretReference{Name: "source"},
	}
}

func environment(e v1alpha1.Environment) func(*v1alpha1.JupicoCredential) {
	return func(r *v1alpha1.JupicoCredential) { r.Spec.Environment = e }
}

func orphan(r *v1alpha1.JupicoCredential) {
	r.Spec.Target.CreationPolicy = v1alpha1.CreationPolicyOrphan
}

func (s *scene) get() *v1alpha1.JupicoCredential {
	GinkgoHelper()
	r := &v1alpha1.JupicoCredential{}
	Expect(admin.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "payments"}, r)).To(Succeed())
	return r
}

// edit changes the resource, and nothing but what change says.
func (s *scene) edit(change func(*v1alpha1.JupicoCredential)) {
	GinkgoHelper()
	before := s.get()
	after := before.DeepCopy()
	change(after)
	Expect(admin.Patch(ctx, after, client.MergeFrom(before))).To(Succeed())
}

// forbidOperator takes a right away from the operator until the function is called that it returns, or the spec ends.
func forbidOperator(verb, resource string) (allow func()) {
	GinkgoHelper()
	replace := func(old, other string) {
		GinkgoHelper()
		var role rbacv1.ClusterRole
		Expect(admin.Get(ctx, client.ObjectKey{Name: "manager-role"}, &role)).To(Succeed())
		for _, rule := range role.Rules {
			if i := slices.Index(rule.Verbs, old); i >= 0 && slices.Contains(rule.Resources, resource) {
				rule.Verbs[i] = other
			}
		}
		Expect(admin.Update(ctx, &role)).To(Succeed())
	}
	nothing := "not-" + verb // a rule needs a verb
	replace(verb, nothing)
	Eventually(func() bool {
		group := ""
		if strings.HasPrefix(resource, "jupicocredentials") {
			group = v1alpha1.GroupVersion.Group
		}
		name, sub, _ := strings.Cut(resource, "/")
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: operatorUser, ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: verb, Group: group, Resource: name, Subresource: sub, Namespace: metav1.NamespaceDefault,
			},
		}}
		Expect(admin.Create(ctx, review)).To(Succeed())
		return review.Status.Allowed
	}, soon, "20ms").Should(BeFalse())
	allow = func() {
		GinkgoHelper()
		replace(nothing, verb)
	}
	DeferCleanup(allow)
	return allow
}

// askForCheck asks for a check, and waits until it was made.
func (s *scene) askForCheck() {
	GinkgoHelper()
	value := "request-" + strconv.FormatInt(logins.Add(1), 10)
	s.edit(func(r *v1alpha1.JupicoCredential) {
		metav1.SetMetaDataAnnotation(&r.ObjectMeta, v1alpha1.AnnotationCheckRequestedAt, value)
	})
	Eventually(func() string { return s.get().Status.LastHandledCheckRequest }, soon, "20ms").Should(Equal(value))
}

// poke wakes the resource without asking for anything: the source is touched, its bytes are not.
func (s *scene) poke() {
	GinkgoHelper()
	source := &corev1.Secret{}
	Expect(admin.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "source"}, source)).To(Succeed())
	metav1.SetMetaDataAnnotation(&source.ObjectMeta, "touched", strconv.FormatInt(logins.Add(1), 10))
	Expect(admin.Update(ctx, source)).To(Succeed())
}

// condition describes one as "Status/Reason".
func condition(r *v1alpha1.JupicoCredential, conditionType string) string {
	c := meta.FindStatusCondition(r.Status.Conditions, conditionType)
	if c == nil {
		return "absent"
	}
	return string(c.Status) + "/" + c.Reason
}

func message(r *v1alpha1.JupicoCredential, conditionType string) string {
	c := meta.FindStatusCondition(r.Status.Conditions, conditionType)
	if c == nil {
		return ""
	}
	return c.Message
}

func (s *scene) expectCondition(conditionType, status, reason string) {
	GinkgoHelper()
	Eventually(func() string { return condition(s.get(), conditionType) }, soon, "20ms").
		Should(Equal(status+"/"+reason), func() string { return describe(s.get()) })
}

func (s *scene) expectReady(status, reason string) {
	GinkgoHelper()
	s.expectCondition(v1alpha1.ConditionReady, status, reason)
}

func describe(r *v1alpha1.JupicoCredential) string {
	var b strings.Builder
	for _, c := range r.Status.Conditions {
		fmt.Fprintf(&b, "%s=%s/%s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}

func (s *scene) secret(name string) *corev1.Secret {
	secret := &corev1.Secret{}
	if admin.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, secret) != nil {
		return nil
	}
	return secret
}

func (s *scene) target() *corev1.Secret { return s.secret("target") }

// targetToken is what pods would mount.
func (s *scene) targetToken() string {
	if target := s.target(); target != nil {
		return string(target.Data[v1alpha1.TargetKeyToken])
	}
	return ""
}

func (s *scene) eventReasons() []string {
	GinkgoHelper()
	var events eventsv1.EventList
	Expect(admin.List(ctx, &events, client.InNamespace(s.namespace))).To(Succeed())
	var reasons []string
	for i := range events.Items {
		reasons = append(reasons, events.Items[i].Type+" "+events.Items[i].Reason)
	}
	return reasons
}

// expectRejectedByAPI is about manifests that the schema refuses.
func expectRejectedByAPI(r *v1alpha1.JupicoCredential, sentence gomegatypes.GomegaMatcher) {
	GinkgoHelper()
	err := admin.Create(ctx, r)
	Expect(err).To(HaveOccurred())
	Expect(err.Error()).To(sentence)
}
