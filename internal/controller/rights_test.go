// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

const (
	installedNamespace = "jupico-operator-system"
	// namespacedUser is the service account of the manifests.
	namespacedUser = "system:serviceaccount:" + installedNamespace + ":jupico-operator-controller-manager"
)

// auditedCall is a call of the operator's, as the API server saw it.
type auditedCall struct {
	Verb      string
	User      struct{ Username string }
	ObjectRef struct{ Namespace, APIGroup, Resource, Subresource string }
	// ResponseStatus has the HTTP status of the answer.
	ResponseStatus struct{ Code int }
}

func (c *auditedCall) resource() string {
	if c.ObjectRef.Subresource != "" {
		return c.ObjectRef.Resource + "/" + c.ObjectRef.Subresource
	}
	return c.ObjectRef.Resource
}

// right is the call as a rule would allow it.
func (c *auditedCall) right() string {
	return right(c.ObjectRef.APIGroup, c.resource(), c.Verb)
}

func right(group, resource, verb string) string {
	return cmp.Or(group, "core") + " " + resource + " " + verb
}

// audited returns the calls of both operators about resources; discovery is open to everybody.
func audited() []auditedCall {
	GinkgoHelper()
	file, err := os.Open(auditLog)
	Expect(err).NotTo(HaveOccurred())
	defer file.Close()
	var calls []auditedCall
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var call auditedCall
		Expect(json.Unmarshal(lines.Bytes(), &call)).To(Succeed())
		if call.ObjectRef.Resource != "" {
			calls = append(calls, call)
		}
	}
	Expect(lines.Err()).NotTo(HaveOccurred())
	return calls
}

// rightsUsed are those that a user's calls in a namespace asked for, granted or not. No namespace means all.
func rightsUsed(user, namespace string) []string {
	GinkgoHelper()
	var used []string
	for _, call := range audited() {
		if call.User.Username == user && (namespace == "" || call.ObjectRef.Namespace == namespace) {
			used = append(used, call.right())
		}
	}
	slices.Sort(used)
	return slices.Compact(used)
}

func rightsGranted(rules []rbacv1.PolicyRule) []string {
	var granted []string
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					granted = append(granted, right(group, resource, verb))
				}
			}
		}
	}
	slices.Sort(granted)
	return granted
}

// expectRightsAreUsed compares what all specs together used with what config/rbac/role.yaml grants.
func expectRightsAreUsed() {
	GinkgoHelper()
	suite, _ := GinkgoConfiguration()
	if len(suite.FocusStrings)+len(suite.SkipStrings)+len(suite.FocusFiles)+len(suite.SkipFiles) > 0 ||
		suite.LabelFilter != "" {
		return // some of the specs are not all of them
	}
	var role rbacv1.ClusterRole
	Expect(admin.Get(ctx, client.ObjectKey{Name: "manager-role"}, &role)).To(Succeed())
	used := rightsUsed(operatorUser, "")
	for _, each := range used {
		// A watch that streams the initial list takes the place of list, where the API server offers that.
		if watched, isWatch := strings.CutSuffix(each, " watch"); isWatch {
			used = append(used, watched+" list")
		}
	}
	slices.Sort(used)
	Expect(slices.Compact(used)).To(Equal(rightsGranted(role.Rules)),
		"the operator must be granted what it uses, and nothing that it does not")
}

// kustomized returns what kustomize makes of a directory of config.
func kustomized(directory string) []*unstructured.Unstructured {
	GinkgoHelper()
	program := cmp.Or(os.Getenv("KUSTOMIZE"), filepath.Join("..", "..", "bin", "kustomize"))
	var problems bytes.Buffer
	command := exec.CommandContext(ctx, program, "build", filepath.Join("..", "..", "config", directory))
	command.Stderr = &problems
	output, err := command.Output()
	Expect(err).NotTo(HaveOccurred(), problems.String())
	var objects []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(output), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			Fail(err.Error())
		}
		objects = append(objects, object)
	}
}

var _ = Describe("The namespaced installation", Serial, Ordered, func() {
	shop := &scene{namespace: "shop"}

	BeforeAll(func() {
		for _, object := range kustomized("overlays/namespaced") {
			Expect(object.GetKind()).NotTo(HavePrefix("Cluster"), "it grants nothing beyond its namespaces")
			if object.GetNamespace() == shop.namespace && object.GetKind() == "Role" {
				namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shop.namespace}}
				Expect(admin.Create(ctx, namespace)).To(Succeed())
			}
			Expect(admin.Create(ctx, object)).To(Succeed())
		}
		operator.stop()
		DeferCleanup(func() { operator.start() })
		namespaced := &runningOperator{config: userConfig(namespacedUser), namespaces: []string{shop.namespace}, elect: installedNamespace}
		namespaced.start()
		DeferCleanup(func() { namespaced.stop() })
	})

	It("works in its namespace, and asks for nothing of any other", func() {
		elsewhere := newScene()
		elsewhere.writeSource(elsewhere.login.data())
		elsewhere.create()

		shop.login = newLogin()
		shop.emulator, shop.url = emulators.take()
		shop.emulator.AddAccount(shop.login.username, shop.login.password, 1)
		DeferCleanup(func() {
			Expect(admin.DeleteAllOf(ctx, &v1alpha1.JupicoCredential{}, client.InNamespace(shop.namespace))).To(Succeed())
		})
		shop.ready()
		Expect(shop.targetToken()).To(Equal(shop.login.token()))

		for _, call := range audited() {
			if call.User.Username == namespacedUser {
				Expect(call.ObjectRef.Namespace).To(BeElementOf(shop.namespace, installedNamespace), "%+v", call)
			}
		}
		Expect(rightsUsed(namespacedUser, shop.namespace)).To(ContainElement("core secrets create"))
		Expect(elsewhere.emulator.Requests()).To(BeZero())
	})

	It("leads with the rights of its lease, and no more", func() {
		role := rbacv1.Role{ObjectMeta: metav1.ObjectMeta{
			Namespace: installedNamespace, Name: "jupico-operator-leader-election-role",
		}}
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(&role), &role)).To(Succeed())
		Expect(rightsUsed(namespacedUser, installedNamespace)).To(Equal(rightsGranted(role.Rules)))
	})

	It("can see nothing of other namespaces", func() {
		eyes, err := client.New(userConfig(namespacedUser), client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())
		for _, list := range []client.ObjectList{
			&corev1.SecretList{}, &corev1.ConfigMapList{}, &v1alpha1.JupicoCredentialList{}, &corev1.NamespaceList{},
		} {
			for _, namespace := range []string{"", "default", "kube-system", installedNamespace} {
				err := eyes.List(ctx, list, client.InNamespace(namespace))
				Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%T in %q: %v", list, namespace, err)
			}
		}
		Expect(eyes.List(ctx, &corev1.SecretList{}, client.InNamespace(shop.namespace))).To(Succeed())
	})
})
