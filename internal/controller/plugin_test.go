// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// plugin is the real program, with the rights of the administrator.
type plugin struct{ path, kubeconfig string }

func buildPlugin() *plugin {
	GinkgoHelper()
	directory := GinkgoT().TempDir()
	p := &plugin{filepath.Join(directory, "kubectl-jupico"), filepath.Join(directory, "kubeconfig")}
	build := exec.CommandContext(ctx, "go", "build", "-o", p.path, "../../cmd/kubectl-jupico")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := build.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(output))
	Expect(clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"test": {
			Server: administrator.Host, CertificateAuthorityData: administrator.CAData,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"test": {
			ClientCertificateData: administrator.CertData, ClientKeyData: administrator.KeyData,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test"}},
		CurrentContext: "test",
	}, p.kubeconfig)).To(Succeed())
	return p
}

// run returns what the program printed, and its exit code. No secret is ever among it.
func (p *plugin) run(args ...string) (output string, code int) {
	GinkgoHelper()
	var printed bytes.Buffer
	command := exec.CommandContext(ctx, p.path, append(args, "--kubeconfig="+p.kubeconfig)...)
	command.Stdout, command.Stderr = &printed, &printed
	err := command.Run()
	if exit, isExit := errors.AsType[*exec.ExitError](err); isExit {
		code = exit.ExitCode()
	} else {
		Expect(err).NotTo(HaveOccurred())
	}
	expectNoSecret(printed.String())
	return printed.String(), code
}

// apiProxy returns the URL of an API server that does something before each request.
func apiProxy(before func(*http.Request)) string {
	GinkgoHelper()
	apiServer, err := url.Parse(administrator.Host)
	Expect(err).NotTo(HaveOccurred())
	proxy := httputil.NewSingleHostReverseProxy(apiServer)
	proxy.Transport, err = rest.TransportFor(administrator)
	Expect(err).NotTo(HaveOccurred())
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		defer GinkgoRecover()
		before(request)
		proxy.ServeHTTP(w, request)
	}))
	DeferCleanup(front.Close)
	return front.URL
}

// hangAfterPatch returns the URL of an API server that answers nothing any more after the first patch.
func hangAfterPatch() string {
	GinkgoHelper()
	var isPatched atomic.Bool
	return apiProxy(func(request *http.Request) {
		if isPatched.Load() {
			<-request.Context().Done()
		}
		isPatched.CompareAndSwap(false, request.Method == http.MethodPatch)
	})
}

func expectNoSecret(printed string) {
	GinkgoHelper()
	secretsMu.Lock()
	defer secretsMu.Unlock()
	for _, secret := range secrets {
		Expect(printed).NotTo(ContainSubstring(secret))
	}
}

var _ = Describe("The plugin of kubectl", Ordered, func() {
	var p *plugin
	BeforeAll(func() { p = buildPlugin() })

	It("shows a fleet, with those first that need somebody", func() {
		s := newScene()
		s.ready()
		s.create(func(r *v1alpha1.JupicoCredential) {
			r.Name, r.Spec.Target.Name = "waiting", "other"
			r.Spec.Credentials[0].BasicAuthSecretRef.Name = "missing"
		})
		Eventually(func() string {
			output, code := p.run("status", "-n", s.namespace)
			Expect(code).To(Equal(0))
			return output
		}, soon).Should(MatchRegexp(`(?s)NAMESPACE +NAME +READY +REASON.*waiting +False +SourceNotFound.*payments +True +Accepted`))
		output, _ := p.run("status", "-A")
		Expect(output).To(ContainSubstring(s.namespace))
		output, code := p.run("status", "-n", "nowhere")
		Expect(output).To(Equal("No JupicoCredentials found.\n"))
		Expect(code).To(Equal(0))
	})

	It("shows one in detail, from its source to the pods that have to be restarted", func() {
		s := newScene()
		s.ready()
		pod := s.runningPod("reader", readsSecret("target"))
		output, code := p.run("status", "payments", "-n", s.namespace)
		Expect(code).To(Equal(0))
		for _, says := range []string{
			`/payments: Ready is True \(Accepted\) since`, `main +source +Accepted +Accepted`,
			`Secret target holds the token of credential "main", with the keys authorization, token, url\.`,
			`pod/reader: 1 of 1 pods still have the old token: restart them\.`,
		} {
			Expect(output).To(MatchRegexp(says))
		}
		s.stop(pod)
		output, _ = p.run("status", "payments", "-n", s.namespace)
		Expect(output).To(ContainSubstring("No pod refers to Secret target."))
	})

	It("has a credential checked, and says by its exit code what came of it", func() {
		s := newScene()
		s.ready()
		output, code := p.run("check", "payments", "-n", s.namespace)
		Expect(code).To(Equal(0), output)
		Expect(output).To(MatchRegexp(`(?s)Asking for a check .*Ready +True +Accepted`))

		s.emulator.Inject(jupicotest.Fault{Status: 503})
		output, code = p.run("check", "payments", "-n", s.namespace)
		Expect(code).To(Equal(3), output)
		Expect(output).To(MatchRegexp(`EndpointAvailable +False +Unavailable`))
		s.emulator.Clear()

		By("waiting for the confirmation of a rejection")
		s.emulator.Revoke(s.login.username)
		output, code = p.run("check", "payments", "-n", s.namespace)
		Expect(code).To(Equal(2), output)
		Expect(output).To(MatchRegexp(`Ready +False +Revoked`))

		By("refusing what cannot be checked")
		s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Suspend = true })
		output, code = p.run("check", "payments", "-n", s.namespace)
		Expect(code).To(Equal(1))
		Expect(output).To(ContainSubstring("payments is suspended"))
		output, code = p.run("check", "nothing", "-n", s.namespace)
		Expect(code).To(Equal(1))
		Expect(output).To(ContainSubstring(`"nothing" not found`))
	})

	It("tells a check that nobody makes from a request that takes too long", func() {
		s := newScene()
		s.ready()
		output, code := p.run("check", "payments", "-n", s.namespace, "--request-timeout=1s", "--server="+hangAfterPatch())
		Expect(code).To(Equal(1), output)
		Expect(output).To(MatchRegexp("deadline exceeded|Client[.]Timeout exceeded"))

		operator.stop()
		DeferCleanup(operator.start)
		output, code = p.run("check", "payments", "-n", s.namespace, "--timeout=2s")
		Expect(code).To(Equal(1), output)
		Expect(output).To(ContainSubstring("the check was not made within 2s: does the operator run"))
	})

	It("explains a reason as the docs do", func() {
		output, code := p.run("explain", "candidaterejected")
		Expect(code).To(Equal(0))
		Expect(output).To(Equal("CandidateRejected\n  Ready: True\n" +
			"  What it means: The source was edited to something that the API rejects. The target keeps the good token.\n" +
			"  What to do: Correct the source.\n"))
		output, _ = p.run("explain")
		Expect(output).To(ContainSubstring("Unreachable\n"))
		output, code = p.run("explain", "Nothing")
		Expect(code).To(Equal(1))
		Expect(output).To(ContainSubstring(`there is no reason "Nothing"`))
	})
})
