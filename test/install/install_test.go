// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install installs the manifests on a real kube-apiserver in a cluster that has nothing else.
package install

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

const namespace = "jupico-operator-system"

// cluster is a control plane, with the kubectl and the kubeconfig to use it.
type cluster struct {
	kubectl    string
	kubeconfig string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	programs, err := testbed.ControlPlane("../..")
	if err != nil {
		t.Fatal(err)
	}
	environment := &envtest.Environment{BinaryAssetsDirectory: programs}
	if _, err := environment.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{kubectl: filepath.Join(programs, "kubectl"), kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := os.WriteFile(c.kubeconfig, environment.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// run runs a program in the repository's root, and returns its output. The error is nil if the exit code is 0.
func run(t *testing.T, stdin, program string, arguments ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Dir = filepath.Join("..", "..")
	command.Stdin = strings.NewReader(stdin)
	output, err := command.CombinedOutput()
	return string(output), err
}

// try runs kubectl with the given standard input.
func (c *cluster) try(t *testing.T, stdin string, arguments ...string) (string, error) {
	t.Helper()
	return run(t, stdin, c.kubectl, append([]string{"--kubeconfig=" + c.kubeconfig}, arguments...)...)
}

// must runs kubectl, which must succeed.
func (c *cluster) must(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := c.try(t, "", arguments...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return output
}

func (c *cluster) mustApply(t *testing.T, manifest string) {
	t.Helper()
	if output, err := c.try(t, manifest, "apply", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

// kustomized returns the output of kustomize for a directory.
func kustomized(t *testing.T, directory string) string {
	t.Helper()
	program, err := filepath.Abs(cmp.Or(os.Getenv("KUSTOMIZE"), filepath.Join("..", "..", "bin", "kustomize")))
	if err != nil {
		t.Fatal(err)
	}
	output, err := run(t, "", program, "build", directory)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return output
}

// firstResource returns the manifest of the README's first resource.
func firstResource(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile("(?s)\n## A first resource\n.*?```yaml\n(.*?)```").FindSubmatch(readme)
	if match == nil {
		t.Fatal("README.md has no first resource")
	}
	return string(match[1])
}

func TestABareClusterAcceptsTheManifestsAndKeepsItsResourcesWhenTheyAreRemoved(t *testing.T) {
	c := newCluster(t)
	applied := c.must(t, "apply", "-f", "dist/install.yaml")
	if strings.Contains(applied, "Warning") {
		t.Errorf("the API server warns:\n%s", applied)
	}
	generations := func() string {
		return c.must(t, "get", "-f", "dist/operator.yaml", "-o", "jsonpath={range .items[*]}{.kind} {.metadata.generation}{\"\\n\"}{end}")
	}
	before := generations()
	c.must(t, "apply", "-f", "dist/install.yaml")
	if after := generations(); after != before || !strings.Contains(before, "Deployment 1\n") {
		t.Errorf("applying it a second time changed something. Before:\n%s\nAfter:\n%s", before, after)
	}

	c.must(t, "wait", "--for=condition=Established", "--timeout=30s", "crd/jupicocredentials.credentials.jupico.dev")
	c.must(t, "create", "namespace", "shop")
	c.mustApply(t, firstResource(t))
	if got := c.must(t, "get", "jcred", "-n", "shop", "-o", "name"); got != "jupicocredential.credentials.jupico.dev/payments\n" {
		t.Errorf("the README's first resource is %q", got)
	}

	c.mustApply(t, kustomized(t, "config/overlays/namespaced"))
	c.must(t, "apply", "-n", namespace, "-f", "config/components/network-policy/network_policy.yaml")

	c.must(t, "delete", "--wait=false", "-f", "dist/operator.yaml")
	c.must(t, "get", "jcred/payments", "secret/jupico-login", "-n", "shop")
	c.must(t, "get", "crd/jupicocredentials.credentials.jupico.dev")
	if output, err := c.try(t, "", "get", "clusterrole/jupico-operator-manager-role"); err == nil {
		t.Errorf("after the removal, the operator's rights are still there:\n%s", output)
	}
}

func TestThePodsMeetTheRestrictedStandard(t *testing.T) {
	c := newCluster(t)
	c.must(t, "apply", "-f", "dist/install.yaml")
	var deployment struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	text := c.must(t, "get", "deployment", "-n", namespace, "jupico-operator-controller-manager", "-o", "yaml")
	if err := yaml.Unmarshal([]byte(text), &deployment); err != nil {
		t.Fatal(err)
	}
	create := func(change func(*corev1.PodSpec)) (string, error) {
		pod := corev1.Pod{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{Name: "manager", Namespace: namespace},
			Spec:       *deployment.Spec.Template.Spec.DeepCopy(),
		}
		change(&pod.Spec)
		manifest, err := yaml.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		return c.try(t, string(manifest), "create", "--dry-run=server", "-f", "-")
	}
	if output, err := create(func(*corev1.PodSpec) {}); err != nil {
		t.Errorf("the namespace refuses the operator's pod: %s", output)
	}
	output, err := create(func(spec *corev1.PodSpec) { spec.SecurityContext.RunAsNonRoot = nil })
	if err == nil || !strings.Contains(output, "violates PodSecurity") {
		t.Errorf("the namespace accepts a pod that may be root, so it restricts nothing: %v\n%s", err, output)
	}
}

// freeAddress returns an address on this machine with a free port.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// startManager runs the operator with the rights that dist/install.yaml gives it, and returns the URL of its metrics.
func (c *cluster) startManager(t *testing.T) (metrics string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "manager")
	t.Setenv("CGO_ENABLED", "0") // as make build does, so that nothing is compiled twice
	if output, err := run(t, "", "go", "build", "-o", program, "./cmd"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	address := freeAddress(t)
	command := exec.CommandContext(t.Context(), program, "--kubeconfig="+c.as(t, "jupico-operator-controller-manager"),
		"--metrics-bind-address="+address, "--health-probe-bind-address=0")
	var logs bytes.Buffer
	command.Stdout, command.Stderr = &logs, &logs
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Log(logs.String())
		}
	})
	return "https://" + address + "/metrics"
}

// token returns a token for a service account in the operator's namespace.
func (c *cluster) token(t *testing.T, account string) string {
	t.Helper()
	return strings.TrimSpace(c.must(t, "create", "token", "-n", namespace, account))
}

// as returns the path of a kubeconfig with a service account's token.
func (c *cluster) as(t *testing.T, account string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: c.token(t, account)}
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOnlyClientsThatMayReadMetricsGetThem(t *testing.T) {
	c := newCluster(t)
	c.must(t, "apply", "-f", "dist/install.yaml")
	c.must(t, "create", "serviceaccount", "-n", namespace, "stranger")
	c.must(t, "create", "serviceaccount", "-n", namespace, "scraper")
	c.must(t, "create", "clusterrolebinding", "scraper", "--clusterrole=jupico-operator-metrics-reader",
		"--serviceaccount="+namespace+":scraper")
	url := c.startManager(t)

	scraper := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	get := func(token string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := scraper.Do(request)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	gomega.NewWithT(t).Eventually(func() int { status, _ := get(""); return status }, "30s", "50ms").
		Should(gomega.Equal(http.StatusUnauthorized), "without a token")
	if status, body := get(c.token(t, "stranger")); status != http.StatusForbidden {
		t.Errorf("with a stranger's token: %d %s", status, body)
	}
	token := c.token(t, "scraper")
	// A scrape does not wait until the resources are known.
	gomega.NewWithT(t).Eventually(func() string { _, body := get(token); return body }, "30s", "50ms").
		Should(gomega.ContainSubstring("\njupico_overdue_resources 0\n"), "with a scraper's token")
}

func TestTheOptionalComponentsAreComplete(t *testing.T) {
	everything := kustomized(t, "hack/chart/testdata/everything")
	for _, kind := range []string{"NetworkPolicy", "ServiceMonitor", "PrometheusRule", "PodDisruptionBudget"} {
		if count := bytes.Count([]byte(everything), []byte("\nkind: "+kind+"\n")); count != 1 {
			t.Errorf("there are %d objects of the kind %s, want 1", count, kind)
		}
	}
	bare, err := os.ReadFile("../../dist/install.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(bare, []byte("monitoring.coreos.com")) {
		t.Error("dist/install.yaml needs CRDs that a bare cluster does not have")
	}
}
