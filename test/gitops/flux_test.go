// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gitops tests that Flux understands a JupicoCredential: its own source-controller and kustomize-controller
// apply one from a Git repository on this machine.
package gitops

import (
	"encoding/json"
	"fmt"
	"net/http/cgi" //nolint:gosec // the only client is on this machine
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/test/machine"
)

// flux is its controllers, with a Git repository that they follow.
type flux struct {
	*machine.Machine
	clone string // of the repository
}

func startFlux(t *testing.T) *flux {
	t.Helper()
	programs := os.Getenv("FLUX")
	if programs == "" {
		t.Skip("FLUX must name the directory of source-controller and kustomize-controller: run make test-gitops")
	}
	crds := []string{filepath.Join(machine.Root, "dist/crds.yaml")}
	for _, controller := range []string{"source-controller", "kustomize-controller"} {
		crds = append(crds, filepath.Join(moduleDirectory(t, "github.com/fluxcd/"+controller), "config/crd/bases"))
	}
	f := &flux{machine.New(t, crds...), filepath.Join(t.TempDir(), "clone")}
	f.Kubectl(t, "", "create", "namespace", "flux-system")
	f.Kubectl(t, "", "create", "namespace", "shop")
	f.Kubectl(t, gitRepository(f.serveRepository(t)), "apply", "-f", "-")

	storage := machine.FreeAddress(t)
	for controller, flags := range map[string][]string{
		"source-controller":    {"--storage-path=" + t.TempDir(), "--storage-addr=" + storage, "--storage-adv-addr=" + storage},
		"kustomize-controller": {"--requeue-dependency=1s"},
	} {
		machine.Start(t, controller, []string{"KUBECONFIG=" + f.Kubeconfig, "RUNTIME_NAMESPACE=flux-system"},
			filepath.Join(programs, controller),
			append(flags, "--metrics-addr=127.0.0.1:0", "--health-addr="+machine.FreeAddress(t))...)
	}
	f.StartOperator(t, "--allowed-endpoint="+f.Emulator.URL, "--metrics-bind-address=0")
	return f
}

// moduleDirectory returns where the files of a module are. It downloads them if they have gone since Flux was built.
func moduleDirectory(t *testing.T, module string) string {
	t.Helper()
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	download.Dir = filepath.Join(machine.Root, "hack/flux")
	output, err := download.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(output, &downloaded); err != nil {
		t.Fatal(err)
	}
	return downloaded.Dir
}

func gitRepository(url string) string {
	return `apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: platform, namespace: flux-system}
spec:
  url: ` + url + `
  ref: {branch: main}
  interval: 1s
`
}

// serveRepository makes a repository, and returns its URL.
func (f *flux) serveRepository(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	bare := filepath.Join(directory, "platform.git")
	git(t, directory, "init", "--bare", "--initial-branch=main", bare)
	git(t, directory, "clone", bare, f.clone)
	server := httptest.NewServer(&cgi.Handler{
		Path: filepath.Join(git(t, directory, "--exec-path"), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + directory, "GIT_HTTP_EXPORT_ALL=1"},
	})
	t.Cleanup(server.Close)
	return server.URL + "/platform.git"
}

// git runs git without the configuration of whoever tests.
func git(t *testing.T, directory string, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", arguments...)
	command.Dir = directory
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=", "GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return strings.TrimSpace(string(output))
}

// push puts a file into the repository.
func (f *flux) push(t *testing.T, path, content string) {
	t.Helper()
	path = filepath.Join(f.clone, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	machine.Write(t, path, []byte(content))
	git(t, f.clone, "add", ".")
	git(t, f.clone, "commit", "--message=Change "+filepath.Base(path))
	git(t, f.clone, "push", "--quiet", "origin", "HEAD:main")
}

// example returns the example of the page about GitOps, with names and paths that begin with a prefix. Without
// healthCheckExprs, only the conditions speak.
func example(t *testing.T, prefix string, withExpressions bool) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(machine.Root, "config/flux/example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		var kustomization struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`

			Spec map[string]any `json:"spec"`
		}
		if err := yaml.UnmarshalStrict([]byte(document), &kustomization); err != nil {
			t.Fatal(err)
		}
		kustomization.Name = prefix + kustomization.Name
		spec := kustomization.Spec
		spec["path"] = "./" + prefix + strings.TrimPrefix(fmt.Sprint(spec["path"]), "./")
		if dependencies, has := spec["dependsOn"].([]any); has {
			spec["dependsOn"] = []any{map[string]any{"name": prefix + fmt.Sprint(dependencies[0].(map[string]any)["name"])}}
		}
		if !withExpressions {
			delete(spec, "healthCheckExprs")
		}
		text, err := yaml.Marshal(kustomization)
		if err != nil {
			t.Fatal(err)
		}
		changed = append(changed, string(text))
	}
	return strings.Join(changed, "---\n")
}

// ready returns the status, reason and message of the condition Ready.
func (f *flux) ready(t *testing.T, kustomization string) string {
	t.Helper()
	text := f.Kubectl(t, "", "get", "kustomization/"+kustomization, "-n=flux-system", "-o=json")
	var object struct {
		metav1.ObjectMeta `json:"metadata"`

		Status struct{ Conditions []metav1.Condition }
	}
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	for _, condition := range object.Status.Conditions {
		if condition.Type == "Ready" {
			return fmt.Sprintf("%s/%s: %s", condition.Status, condition.Reason, condition.Message)
		}
	}
	return ""
}

// credential returns the manifests of a JupicoCredential and of its login.
func (f *flux) credential(name, password string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: %[1]s-login, namespace: shop}
type: kubernetes.io/basic-auth
stringData: {username: %[1]s, password: %[2]s}
---
apiVersion: credentials.jupico.dev/v1alpha1
kind: JupicoCredential
metadata: {name: %[1]s, namespace: shop}
spec:
  environment: Sandbox
  endpoint: {url: "%[3]s"}
  credentials:
  - name: main
    basicAuthSecretRef: {name: %[1]s-login}
  target: {name: %[1]s-jupico}
`, name, password, f.Emulator.URL)
}

const application = `apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: shop}
`

func TestFluxWaitsUntilACredentialIsProvenAndFailsAtOnceWhenItIsStalled(t *testing.T) {
	f := startFlux(t)
	t.Run("with the expressions of the example", func(t *testing.T) { f.follow(t, "told-", true) })
	t.Run("with the conditions alone", func(t *testing.T) { f.follow(t, "plain-", false) })
}

// follow has Flux apply the example, while the API is down at first, and then a login is wrong.
func (f *flux) follow(t *testing.T, prefix string, withExpressions bool) {
	g := gomega.NewWithT(t)
	credentials, app, good, bad := prefix+"jupico-credentials", prefix+"app", prefix+"good", prefix+"bad"
	for _, user := range []string{good, bad} {
		f.Command(t, "/accounts", fmt.Sprintf(`{"username":%q,"password":"right","forms":["Standard"]}`, user))
	}
	readiness := func() string { return f.ready(t, credentials) }
	hasApplication := func() bool {
		_, err := f.TryKubectl(t, "", "get", "configmap", "-n=shop", app)
		return err == nil
	}

	f.Command(t, "/fault", `{"status":503}`)
	f.push(t, prefix+"shop/app.yaml", fmt.Sprintf(application, app))
	f.push(t, prefix+"credentials/good.yaml", f.credential(good, "right"))
	f.Kubectl(t, example(t, prefix, withExpressions), "apply", "-f", "-")
	g.Eventually(func() string {
		output, _ := f.TryKubectl(t, "", "get", "jcred", good, "-n=shop", "--no-headers")
		return output
	}, machine.Soon).Should(gomega.ContainSubstring("Unavailable"))
	// Flux looks every 5 seconds.
	g.Consistently(readiness, "6s").Should(gomega.HavePrefix("Unknown/Progressing"))
	g.Expect(hasApplication()).To(gomega.BeFalse(), "the application came before its credential")

	f.Command(t, "/fault", `{}`)
	begin := time.Now()
	g.Eventually(readiness, machine.Soon).Should(gomega.HavePrefix("True/ReconciliationSucceeded"))
	g.Eventually(hasApplication, machine.Soon).Should(gomega.BeTrue())
	t.Logf("From the end of an outage to a ready Kustomization and the next one applied: %.1f s", time.Since(begin).Seconds())

	begin = time.Now()
	f.push(t, prefix+"credentials/bad.yaml", f.credential(bad, "wrong"))
	g.Eventually(readiness, machine.Soon).Should(gomega.And(gomega.HavePrefix("False/HealthCheckFailed"),
		gomega.ContainSubstring("JupicoCredential/shop/"+bad+" status: 'Failed'"))) // the timeout is 5 minutes
	t.Logf("From the push of a wrong password to a failed Kustomization: %.1f s", time.Since(begin).Seconds())

	begin = time.Now()
	f.push(t, prefix+"credentials/bad.yaml", f.credential(bad, "right"))
	g.Eventually(readiness, machine.Soon).Should(gomega.HavePrefix("True/ReconciliationSucceeded"))
	t.Logf("From the push of the right password to a ready Kustomization: %.1f s", time.Since(begin).Seconds())
	generations := f.Kubectl(t, "", "get", "jcred", good, bad, "-n=shop", "-o=jsonpath={.items[*].metadata.generation}")
	g.Expect(generations).To(gomega.Equal("1 1"), "Flux saw drift")
}
