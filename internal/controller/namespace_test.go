// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// grant gives a user a Role in a namespace, of the rights that the operator is installed with but without one resource.
func grant(user, namespace, withhold string) {
	GinkgoHelper()
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	meta := metav1.ObjectMeta{Namespace: namespace, GenerateName: "operator-"}
	role := &rbacv1.Role{ObjectMeta: meta}
	var all rbacv1.ClusterRole
	Expect(admin.Get(ctx, keyOf("", "manager-role"), &all)).To(Succeed())
	for _, rule := range all.Rules {
		if rule.Resources[0] != withhold {
			role.Rules = append(role.Rules, rule)
		}
	}
	Expect(admin.Create(ctx, role)).To(Succeed())
	Expect(admin.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
	})).To(Succeed())
}

// stranger starts an operator that has what rights it is granted in namespaces, and stops it at the end.
func stranger(user string, namespaces ...string) *runningOperator {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	Expect(listener.Close()).To(Succeed())
	o := &runningOperator{
		config: userConfig(user), namespaces: namespaces, probes: listener.Addr().String(), lacksRights: true,
	}
	operator.stop()
	o.start()
	DeferCleanup(func() {
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			o.stop()
		}()
		Eventually(stopped, soon).Should(BeClosed(), "the process ends when it is told to")
		operator.start()
	})
	return o
}

// probe returns the status and the body of an answer.
func (o *runningOperator) probe(path string) (int, string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.probes+path, nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	body, err := io.ReadAll(response.Body)
	Expect(errors.Join(err, response.Body.Close())).To(Succeed())
	return response.StatusCode, string(body)
}

// retried is how long a test waits for what the operator tries again with backoff.
const retried = 90 * time.Second

var _ = Describe("A namespace in which the operator has not all rights", Serial, func() {
	DescribeTable("keeps no other one waiting, is told of, and is served once the rights are there",
		func(withheld string) {
			served, gone := newScene(), newScene()
			user := "stranger-" + gone.namespace
			grant(user, served.namespace, "")
			if withheld != "" {
				grant(user, gone.namespace, withheld)
			}
			served.writeSource(served.login.data())
			served.create()
			gone.writeSource(gone.login.data())
			gone.create()
			o := stranger(user, gone.namespace, served.namespace)

			served.expectReady("True", "Accepted")
			isWatched := func() []float64 { return o.samples("jupico_namespace_watched", gone.namespace) }
			Eventually(isWatched, soon).Should(HaveExactElements(BeZero()))
			for _, name := range []string{"jupico_namespace_watched", "jupico_resource_ready"} {
				isServed := func() []float64 { return o.samples(name, served.namespace) }
				Eventually(isServed, soon).Should(HaveExactElements(BeEquivalentTo(1)), name)
			}
			status, body := o.probe("/readyz?verbose")
			Expect(status).To(Equal(http.StatusOK), "what is served must not be replaced or left for what is not")
			Expect(body).To(ContainSubstring("[+]namespace-" + served.namespace + " ok\n"))
			Expect(body).To(MatchRegexp(`\[-]namespace-%s failed: \w+ cannot be watched \(the operator is not allowed to`,
				gone.namespace))
			status, _ = o.probe("/healthz")
			Expect(status).To(Equal(http.StatusOK))
			Expect(logs.String()).To(MatchRegexp(`Could not watch, tries again until it can.*%s`, gone.namespace))
			Expect(gone.emulator.Requests()).To(BeZero())

			grant(user, gone.namespace, "")
			Eventually(func() string { return condition(gone.get(), v1alpha1.ConditionReady) }, retried, "100ms").
				Should(Equal("True/Accepted"))
			Eventually(isWatched, soon).Should(HaveExactElements(BeEquivalentTo(1)))
			_, body = o.probe("/readyz?verbose")
			Expect(body).To(ContainSubstring("[+]namespace-" + gone.namespace + " ok\n"))
		},
		Entry("but none", ""),
		Entry("but those for JupicoCredentials", "jupicocredentials"),
		Entry("but those for Secrets", "secrets"),
		Entry("but those for ConfigMaps", "configmaps"),
	)

	DescribeTable("lets the process end, and is no reason to call it ready when there is no other",
		func(namespaces ...string) {
			o := stranger("stranger-anywhere", namespaces...)
			Eventually(func() string { _, body := o.probe("/readyz"); return body }, soon).
				Should(ContainSubstring("jupicocredentials cannot be watched"))
			status, _ := o.probe("/readyz")
			Expect(status).To(Equal(http.StatusInternalServerError))
			Expect(o.samples("jupico_overdue_resources")).To(BeEmpty())
		},
		Entry("one that does not exist, named twice", "nowhere", "nowhere"),
		Entry("all"),
	)
})

var _ = Describe("A replica that stands by", Serial, func() {
	It("has seen all resources, and works on none until it leads", func() {
		s := newScene()
		operator.stop()
		DeferCleanup(func() { operator.start() })
		leader := &runningOperator{config: administrator, elect: metav1.NamespaceDefault}
		leader.start()
		DeferCleanup(func() { leader.stop() })
		s.ready()
		other := &runningOperator{config: administrator, elect: metav1.NamespaceDefault}
		other.start()
		DeferCleanup(func() { other.stop() })
		Expect(other.samples("jupico_resource_ready", s.namespace)).To(HaveExactElements(BeEquivalentTo(1)))
		s.askForCheck()
		Expect(other.samples("jupico_checks_total")).To(BeEmpty())
		leader.stop()
		s.askForCheck()
		Expect(other.samples("jupico_checks_total")).NotTo(BeEmpty())
	})
})

// patchStatus writes what only a client without a schema of its own would.
func (s *scene) patchStatus(status string) error {
	resource := &v1alpha1.JupicoCredential{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "payments"}}
	untyped := &metav1.PartialObjectMetadata{ObjectMeta: resource.ObjectMeta}
	untyped.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	return admin.Status().Patch(ctx, untyped, client.RawPatch(types.MergePatchType, []byte(`{"status":`+status+`}`)))
}

var _ = Describe("A time in a status that cannot be decoded", Serial, func() {
	DescribeTable("is refused by the schema, wherever it stands",
		func(time string) {
			s := newScene()
			s.writeSource(s.login.data())
			s.create(func(r *v1alpha1.JupicoCredential) { r.Spec.Suspend = true })
			for _, status := range []string{
				`{"lastCheckTime":%q}`, `{"nextCheckTime":%q}`, `{"target":{"name":"target","updatedTime":%q}}`,
				`{"credentials":[{"name":"main","lastCheckTime":%q}]}`, `{"credentials":[{"name":"main","nextCheckTime":%q}]}`,
				`{"credentials":[{"name":"main","lastAcceptedTime":%q}]}`,
				`{"credentials":[{"name":"main","lastRejected":{"reason":"Rejected","time":%q}}]}`,
				`{"deployed":{"credential":"main","endpoint":"https://a.example","lastAcceptedTime":%q}}`,
				`{"conditions":[{"type":"Other","status":"True","reason":"A","message":"","lastTransitionTime":%q}]}`,
			} {
				Expect(s.patchStatus(fmt.Sprintf(status, "2026-01-01T00:00:00Z"))).To(Succeed())
				Expect(s.patchStatus(fmt.Sprintf(status, "2026-01-01T00:00:00.5+01:00"))).To(Succeed())
				err := s.patchStatus(fmt.Sprintf(status, time))
				Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%s: %v", status, err)
			}
		},
		Entry("a small t and z", "2026-01-01t00:00:00z"),
		Entry("a small z", "2026-01-01T00:00:00z"),
		Entry("a leap second", "2026-12-31T23:59:60Z"),
		Entry("a letter before the fraction", "2026-01-01T00:00:00x5Z"),
		Entry("an offset that no place has", "2026-01-01T00:00:00+99:99"),
		Entry("something after its end", "2026-01-01T00:00:00Zt"),
	)

	It("that was written before the schema refused it leaves out that resource alone, by name", func() {
		laxSchema()
		broken, other := newScene(), newScene()
		broken.ready()
		other.ready()
		leftOut := func() []float64 {
			return operator.samples("jupico_resource_undecodable", broken.namespace, "payments")
		}
		breakIt := func() {
			Eventually(broken.patchStatus, soon).WithArguments(`{"lastCheckTime":"2026-01-01t00:00:00z"}`).Should(Succeed())
			Eventually(leftOut, soon).Should(HaveExactElements(BeEquivalentTo(1)))
		}
		breakIt()
		Expect(logs.String()).To(MatchRegexp(`Left out a resource that cannot be decoded.*%s.*parsing time`, broken.namespace))
		other.askForCheck()

		operator.stop()
		operator.start()
		Eventually(leftOut, soon).Should(HaveExactElements(BeEquivalentTo(1)))
		other.askForCheck()

		Expect(broken.patchStatus(`{"lastCheckTime":"2026-01-01T00:00:00Z"}`)).To(Succeed())
		broken.askForCheck()
		Expect(leftOut()).To(BeEmpty())

		breakIt()
		Expect(admin.DeleteAllOf(ctx, &v1alpha1.JupicoCredential{}, client.InNamespace(broken.namespace))).To(Succeed())
		Eventually(leftOut, soon).Should(BeEmpty())
		other.askForCheck()
	})
})

// laxSchema takes the rules for times out of the schema of a status until the spec ends.
func laxSchema() {
	GinkgoHelper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	Expect(admin.Get(ctx, keyOf("", "jupicocredentials."+v1alpha1.GroupVersion.Group), crd)).To(Succeed())
	replaceVersions := func(versions any) {
		GinkgoHelper()
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"versions": versions}})
		Expect(err).NotTo(HaveOccurred())
		Expect(admin.Patch(ctx, crd.DeepCopy(), client.RawPatch(types.MergePatchType, patch))).To(Succeed())
	}
	strict, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	Expect(err).NotTo(HaveOccurred())
	text, err := json.Marshal(strict)
	Expect(err).NotTo(HaveOccurred())
	replaceVersions(json.RawMessage(regexp.MustCompile(`,"x-kubernetes-validations":\[{"message":"this must be a time[^]]*]`).
		ReplaceAll(text, nil)))
	DeferCleanup(replaceVersions, strict)
}

func TestALostRightIsToldOfUntilItIsBack(t *testing.T) {
	t.Parallel()
	n := watched(noCache)
	n.watches, n.log = map[string]watchState{}, logr.Discard()
	answer := func() (int, string) {
		recorder := httptest.NewRecorder()
		serveReadyz(recorder, true, []*namespace{n})
		return recorder.Code, recorder.Body.String()
	}
	for _, step := range []struct {
		problem error
		code    int
		body    string
	}{
		{errors.New("no"), http.StatusInternalServerError, "[-]namespace-shop failed: secrets cannot be watched (the API " +
			"server could not be asked; see the operator's log), the operator tries again\n"},
		{nil, http.StatusOK, "[+]namespace-shop ok\n"},
		{errors.New("no"), http.StatusOK, "[-]namespace-shop failed: secrets cannot be watched (the API " +
			"server could not be asked; see the operator's log), the operator tries again\n"},
		{nil, http.StatusOK, "[+]namespace-shop ok\n"},
	} {
		n.report("configmaps")(nil)
		n.report("secrets")(step.problem)
		if code, body := answer(); code != step.code || body != step.body {
			t.Errorf("after %v the answer is %d %q, want %d %q", step.problem, code, body, step.code, step.body)
		}
	}
}
