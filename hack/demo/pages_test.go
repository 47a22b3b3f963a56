// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/jupico-operator/jupico-operator/docs/console"
)

func TestTheCommandsOfThePagesWork(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS must name the directory of etcd, kube-apiserver and kubectl: run make controlplane")
	}
	t.Chdir("../..")
	d := startDemo(t)
	t.Run("the tutorial shows what they print", d.typeTutorial)
	t.Run("the guides work", d.typeGuides)
}

// startDemo takes the demo to where the tutorial begins.
func startDemo(t *testing.T) *demo {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	programs := t.TempDir()
	for program, source := range map[string]string{
		"manager": "./cmd", "jupico-emulator": "./cmd/jupico-emulator", "kubectl-jupico": "./cmd/kubectl-jupico",
	} {
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", programs+"/"+program, source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	t.Setenv("TMPDIR", os.TempDir()) // newDemo sets another one
	d, err := newDemo(programs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	for _, step := range d.steps() {
		if err := step.do(t.Context()); err != nil {
			d.explain(t.Context())
			t.Fatalf("%s: %v", step.title, err)
		}
	}
	return d
}

func blocks(t *testing.T, page string) []console.Block {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return console.Blocks(string(content))
}

// runScript runs a script in the demo's directory, and returns what it prints.
func (d *demo) runScript(t *testing.T, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", script)
	shell.Dir = d.dir
	output, err := shell.CombinedOutput()
	if err != nil {
		d.explain(t.Context())
		t.Fatalf("%v\n%s", err, output)
	}
	return string(output)
}

const tutorial = "docs/tutorial.md"

// directory is that of a demo, as the tutorial shows it.
var directory = regexp.MustCompile(`/tmp/jupico-demo-[0-9]+`)

// typeTutorial types all commands of the tutorial into one shell, and compares what they print.
func (d *demo) typeTutorial(t *testing.T) {
	const end = "\x1e\n"
	var script strings.Builder
	shown := ""
	for _, block := range blocks(t, tutorial) {
		if block.Language != "console" {
			continue
		}
		for _, command := range block.Commands() {
			shown = cmp.Or(shown, directory.FindString(command.Typed))
			script.WriteString(strings.ReplaceAll(command.Typed, shown, d.dir) + "printf '\\036\\n'\n")
		}
	}
	outputs := strings.Split(d.runScript(t, script.String()), end)
	if len(outputs) < 10 {
		t.Fatalf("there are only %d outputs", len(outputs))
	}
	err := console.CheckPage(tutorial, func(string) (string, error) {
		output := strings.ReplaceAll(outputs[0], d.dir, shown)
		outputs = outputs[1:]
		return output, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// guides are commands of pages, in an order in which they work after the tutorial.
var guides = []struct {
	page   string
	begin  string // of the block
	before string // makes what the page takes for granted
	prints string // a part of what is printed
}{
	{"docs/how-to/several-namespaces.md", "kubectl apply -f dist/crds.yaml", "",
		"clusterrole.rbac.authorization.k8s.io/jupicocredential-viewer-role created"},
	{"docs/how-to/several-namespaces.md", "kubectl create namespace shop", "",
		"role.rbac.authorization.k8s.io/jupico-operator-manager-role created"},
	{"docs/how-to/several-namespaces.md", "kubectl create namespace billing", `
cd config/overlays/namespaced
cp kustomization.yaml before.yaml
cp -r shop billing
sed -i 's/^namespace: shop$/namespace: billing/' billing/kustomization.yaml
sed -i 's/^- shop$/- shop\n- billing/; s/--namespaces=shop$/--namespaces=shop,billing/' kustomization.yaml
cd -
`, "deployment.apps/jupico-operator-controller-manager configured"},
	{"docs/how-to/several-namespaces.md", "kubectl apply -k",
		"mv config/overlays/namespaced/before.yaml config/overlays/namespaced/kustomization.yaml",
		`rolebinding.rbac.authorization.k8s.io "jupico-operator-manager-rolebinding" deleted from billing namespace`},

	{"docs/how-to/sources.md", "kubectl create secret generic jupico-login", `
echo 'third password' >password.txt
curl -d '{"username":"my-user","password":"third password","forms":["Standard"]}' $EMULATOR/accounts
`, "secret/jupico-login created"},
	{"docs/how-to/private-ca-or-proxy.md", "kubectl create configmap company-ca", "cp emulator-ca.crt ca.crt",
		"configmap/company-ca created"},
	{"docs/how-to/private-ca-or-proxy.md", "kubectl -n jupico-operator-system set env", "",
		"deployment.apps/jupico-operator-controller-manager env updated"},
	{"docs/how-to/monitoring.md", "kubectl create clusterrolebinding", "kubectl create namespace monitoring",
		"namespace/monitoring labeled"},
	{"docs/how-to/gitops.md", "kubectl wait", `
kubectl apply -f - <<EOF
apiVersion: credentials.jupico.dev/v1alpha1
kind: JupicoCredential
metadata: {name: payments, namespace: shop}
spec:
  environment: Sandbox
  endpoint:
    url: $(kubectl get jcred shop -o jsonpath='{.spec.endpoint.url}')
    caConfigMapRef: {name: company-ca}
  credentials:
  - name: main
    basicAuthSecretRef: {name: jupico-login}
  target: {name: payments-jupico}
EOF
`, "jupicocredential.credentials.jupico.dev/payments condition met"},
	{"docs/how-to/pods.md", "kubectl rollout restart", "kubectl create deployment checkout --image=app -n shop",
		"deployment.apps/checkout restarted"},

	{"docs/how-to/uninstall.md", "kubectl patch secret payments-jupico -n shop", "", "secret/payments-jupico patched"},
	{"docs/how-to/uninstall.md", "kubectl get jcred -A", "", "jupicocredential.credentials.jupico.dev/shop patched"},
	{"docs/how-to/uninstall.md", "kubectl get secrets -A", `
kubectl get jcred -A --no-headers -o custom-columns=:metadata.namespace,:metadata.name,:metadata.generation |
  while read -r namespace name generation; do
    kubectl wait -n "$namespace" "jcred/$name" --for=jsonpath='{.status.observedGeneration}'="$generation" </dev/null
  done
`, "NAMESPACE NAME OWNER\ndefault payments-jupico <none>\ndefault shop-jupico <none>\nshop payments-jupico <none>"},
	{"docs/how-to/uninstall.md", "kubectl delete -f dist/crds.yaml", "",
		`"jupicocredentials.credentials.jupico.dev" deleted`},
}

func (d *demo) typeGuides(t *testing.T) {
	for _, directory := range []string{"config", "dist"} { // guides change the files that they are about
		if err := os.CopyFS(filepath.Join(d.dir, directory), os.DirFS(directory)); err != nil {
			t.Fatal(err)
		}
	}
	for _, guide := range guides {
		var typed string
		for _, block := range blocks(t, guide.page) {
			if strings.HasPrefix(block.Text, guide.begin) {
				typed = block.Text
			}
		}
		if typed == "" {
			t.Fatalf("no block of %s begins with %s", guide.page, guide.begin)
		}
		output := d.runScript(t, "source ./demo.env; set -e\n"+guide.before+"\n"+typed)
		if !strings.Contains(console.Normal(output), guide.prints) {
			t.Errorf("%s: %sprints\n%s\nand not %s", guide.page, typed, output, guide.prints)
		}
	}
}
