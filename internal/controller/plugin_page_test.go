// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/docs/console"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

const (
	pluginPage = "docs/reference/plugin.md"
	// manifestOfPage is the resource that the page renders.
	manifestOfPage = `apiVersion: credentials.jupico.dev/v1alpha1
kind: JupicoCredential
metadata: {name: payments, namespace: shop}
spec:
  environment: Sandbox
  credentials:
  - name: main
    basicAuthSecretRef: {name: jupico-login}
  target:
    name: payments-jupico
    template:
      data:
        jupico.env: "JUPICO_AUTHORIZATION={{ .Authorization }}\n"
`
)

// shop is the scene of the page: a namespace, which the page calls shop, with one resource that is ready, one whose source is missing, and a pod
// that reads the token from its environment.
func shop() *scene {
	GinkgoHelper()
	setClockBack(0) // the page shows ages, and other tests have moved the clock ahead
	s := newScene()
	DeferCleanup(func() {
		Expect(admin.DeleteAllOf(ctx, &v1alpha1.JupicoCredential{}, client.InNamespace(s.namespace))).To(Succeed())
	})
	s.writeLogin("jupico-login", s.login)
	s.newLoginIn("jupico-login-2")
	for name, source := range map[string]string{"payments": "jupico-login", "refunds": "refunds-login"} {
		s.create(func(r *v1alpha1.JupicoCredential) {
			r.Name, r.Spec.Target.Name = name, name+"-jupico"
			r.Spec.Credentials[0].BasicAuthSecretRef.Name = source
		})
	}
	s.expectReady("True", "Accepted")
	refunds := &v1alpha1.JupicoCredential{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "refunds"}}
	Eventually(func() string {
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(refunds), refunds)).To(Succeed())
		return condition(refunds, v1alpha1.ConditionReady)
	}, soon, "20ms").Should(Equal("False/SourceNotFound"))
	return s
}

var _ = Describe("The page about the plugin", func() {
	It("says what its commands print", func() {
		p, s := buildPlugin(), shop()
		pod := s.runningPod("checkout", readsSecret("payments-jupico"))
		directory := filepath.Dir(p.path)
		for name, content := range map[string]string{"ca.crt": string(emulators.ca.PEM()), "payments.yaml": manifestOfPage} {
			Expect(os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600)).To(Succeed())
		}
		programs, err := testbed.ControlPlane("../..")
		Expect(err).NotTo(HaveOccurred())
		// The emulator stands for the sandbox, so the page says nothing of an endpoint.
		const environment, url = "--environment Sandbox", "https://sandbox-platform.jupico.com"
		endpoint, err := yaml.Marshal(map[string]any{"endpoint": s.resource().Spec.Endpoint})
		Expect(err).NotTo(HaveOccurred())
		hidden := strings.NewReplacer("  "+strings.ReplaceAll(string(endpoint), "\n  ", "\n    "), "", s.url, url, s.namespace, "shop")
		Expect(console.CheckPage("../../"+pluginPage, func(line string) (string, error) {
			switch line {
			case "# You restart checkout.":
				s.stop(pod)
				return "", nil
			case "# You revoke the old login at Jupico.":
				s.emulator.Revoke(s.login.username)
				return "", nil
			}
			line = strings.ReplaceAll(line, environment, "--endpoint "+s.url+" --ca-file ca.crt")
			line = strings.ReplaceAll(line, "-n shop", "-n "+s.namespace)
			command := exec.CommandContext(ctx, "bash", "-c", line)
			command.Dir = directory
			command.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig,
				fmt.Sprintf("PATH=%s:%s:%s", directory, programs, os.Getenv("PATH")))
			output, err := command.CombinedOutput()
			expectNoSecret(string(output))
			return hidden.Replace(string(output)), err
		})).To(Succeed())
	})
})
