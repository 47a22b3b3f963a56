// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/hack/process"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

// checkRequest is the annotation that asks for a check now.
const checkRequest = v1alpha1.AnnotationCheckRequestedAt

// step is one step of the demo. They run in order.
type step struct {
	title string
	do    func(context.Context) error
}

func (d *demo) steps() []step {
	return []step{
		{"Start etcd and kube-apiserver", d.startControlPlane},
		{"Install the CRD and the operator's permissions", d.install},
		{"Start the emulator of Jupico's API", d.startEmulator},
		{"Start the operator", d.startOperator},
		{"Apply config/samples: the shared sandbox's login, and a JupicoCredential that refers to it", d.applySamples},
		{"The login is proven, and its token delivered", d.observeReady},
		{"The sandbox is reset: the account is gone", d.observeSandboxReset},
		{"The sandbox has the account again", d.observeRestored},
		{"Somebody deletes the Secret", d.observeSecretBack},
		{"Another resource, for you to play with", d.applyPlayground},
	}
}

func (d *demo) install(ctx context.Context) error {
	output, err := d.kubectlOutput(ctx, "apply", "-k", "config/default")
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	fmt.Printf("   %d objects were created. There is no node here, so the Deployment among them starts no pod:\n"+
		"   the operator runs as a process instead.\n", strings.Count(output, "\n"))
	return d.kubectl(ctx, "wait", "--for=condition=Established", "--timeout=20s",
		"crd/jupicocredentials.credentials.jupico.dev")
}

func (d *demo) startEmulator(ctx context.Context) error {
	var err error
	if d.emulator, err = testbed.StartEmulator(ctx, d.program("jupico-emulator"), d.dir); err != nil {
		return err
	}
	fmt.Printf("   It serves on %s, and knows only the published account.\n", d.emulator.URL)
	fmt.Println("   It accepts only the form of the published API key: with a newline after the login, unlike RFC 7617.")
	return nil
}

func (d *demo) startOperator(context.Context) error {
	kubeconfig, err := d.writeOperatorKubeconfig()
	if err != nil {
		return err
	}
	args := []string{"--kubeconfig=" + kubeconfig, "--allowed-endpoint=" + d.emulator.URL, "--health-probe-bind-address=0"}
	d.operator, err = process.Start("the operator", d.path("operator.log"), nil, d.program("manager"), args...)
	if err != nil {
		return err
	}
	fmt.Printf("   $ bin/manager --kubeconfig=%s \\\n       --allowed-endpoint=%s\n", kubeconfig, d.emulator.URL)
	fmt.Println("   It has the identity of its service account, and so only the rights that config/rbac grants.")
	return nil
}

const overlay = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: default
resources:
- %s
patches:
- target:
    kind: JupicoCredential
  patch: |-
    - op: add
      path: /spec/endpoint
      value: {url: %q, caBundle: %s}
`

// applySamples applies config/samples, patched to use the emulator as the endpoint.
func (d *demo) applySamples(ctx context.Context) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return err
	}
	dir := d.path("samples")
	samples, err := filepath.Rel(dir, filepath.Join(root, "config", "samples"))
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(d.emulator.CAFile)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	content := fmt.Sprintf(overlay, samples, d.emulator.URL, base64.StdEncoding.EncodeToString(ca))
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(content), 0o600); err != nil {
		return err
	}
	fmt.Println("   A patch sets spec.endpoint to the emulator. Without it, the operator would use Jupico's own sandbox.")
	return d.kubectl(ctx, "apply", "-k", dir)
}

const (
	account = `{"username":"shop","password":"first password","forms":["Standard"]}`

	playground = `apiVersion: v1
kind: Secret
metadata:
  name: shop-login
stringData:
  username: shop
  password: first password
---
apiVersion: credentials.jupico.dev/v1alpha1
kind: JupicoCredential
metadata:
  name: shop
spec:
  environment: Sandbox
  endpoint:
    url: %s
    caBundle: %s
  credentials:
  - name: main
    basicAuthSecretRef:
      name: shop-login
  target:
    name: shop-jupico
`
)

// environment has a shell find this demo: the cluster, kubectl with its plugin, and the emulator's admin API.
const environment = `export KUBECONFIG=%s KUBECACHEDIR=%s
export EMULATOR=%s
export PATH=%s:%s:"$PATH"
`

// applyPlayground makes an account, and applies a file that the user can apply again later.
func (d *demo) applyPlayground(ctx context.Context) error {
	if err := d.sendCommand(ctx, "/accounts", account); err != nil {
		return err
	}
	ca, err := os.ReadFile(d.emulator.CAFile)
	if err != nil {
		return err
	}
	content := fmt.Sprintf(playground, d.emulator.URL, base64.StdEncoding.EncodeToString(ca))
	if err := os.WriteFile(d.path("shop.yaml"), []byte(content), 0o600); err != nil {
		return err
	}
	content = fmt.Sprintf(environment, d.kubeconfig, d.path("kubectl-cache"), d.emulator.AdminURL, d.assets, d.programs)
	if err := os.WriteFile(d.path("demo.env"), []byte(content), 0o600); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "apply", "-f", d.path("shop.yaml")); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=20s", "jcred/shop"); err != nil {
		return err
	}
	return d.kubectl(ctx, "get", "jcred")
}

// sendCommand sends a command to the emulator's admin API, with a body if it needs one.
func (d *demo) sendCommand(ctx context.Context, command, body string) error {
	if body == "" {
		fmt.Printf("   $ curl -X POST %s%s\n", d.emulator.AdminURL, command)
	} else {
		fmt.Printf("   $ curl -d '%s' %s%s\n", body, d.emulator.AdminURL, command)
	}
	return d.emulator.Command(ctx, command, body)
}
