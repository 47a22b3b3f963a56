// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	chart      = "dist/chart"
	firstChart = "hack/chart/testdata/chart-399a1a0.tgz"
)

// The API server complains of fields that it does not know, so that laterValues, which the first chart did not have, show
// that each of them is in its place.
const (
	firstValues = "--set=replicas=3,extraEnv[0].name=NO_PROXY,extraEnv[0].value=.example"
	laterValues = `
commonLabels: {team: payments}
podLabels: {tier: backend}
image: {digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
imagePullSecrets: [{name: registry}]
strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1}}
trustedCA: {configMapName: company-ca}
logLevel: debug
env: [{name: HTTPS_PROXY, value: "http://proxy.example.com:3128"}]
envFrom: [{configMapRef: {name: more, optional: true}}]
volumes: [{name: scratch, emptyDir: {}}]
volumeMounts: [{name: scratch, mountPath: /scratch}]
securityContext: {runAsGroup: 65532}
podSecurityContext: {fsGroup: 65532}
livenessProbe: {failureThreshold: 5}
readinessProbe: {timeoutSeconds: 2}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule}]
hostAliases: [{ip: 192.0.2.1, hostnames: [jupico.example.com]}]
metrics: {tlsSecretName: certificate}
networkPolicy: {enabled: true}
grafanaDashboard: {enabled: true, annotations: {grafana_folder: Payments}}
extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: more, namespace: "{{ .Release.Namespace }}"}}]
`
)

// helm runs Helm, which must succeed.
func (c *cluster) helm(t *testing.T, stdin string, arguments ...string) string {
	t.Helper()
	program, err := filepath.Abs(cmp.Or(os.Getenv("HELM"), filepath.Join("..", "..", "bin", "helm")))
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range []string{"HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"} {
		t.Setenv(variable, t.TempDir()) // and not the user's settings
	}
	arguments = append(arguments, "--kubeconfig="+c.kubeconfig, "--namespace="+namespace)
	output, err := run(t, stdin, program, arguments...)
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return output
}

// release returns the kinds, names and UIDs of the objects of the release.
func (c *cluster) release(t *testing.T) []string {
	t.Helper()
	manifest := c.helm(t, "", "get", "manifest", "jupico-operator")
	output, err := c.try(t, manifest, "get", "--filename=-",
		`--output=jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid}{"\n"}{end}`)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return strings.Split(strings.TrimSpace(output), "\n")
}

func TestAnUpgradeFromTheFirstChartKeepsEverything(t *testing.T) {
	c := newCluster(t)
	c.helm(t, "", "install", "jupico-operator", firstChart, "--create-namespace", firstValues)
	c.must(t, "wait", "--for=condition=Established", "--timeout=30s", "crd/jupicocredentials.credentials.jupico.dev")
	c.must(t, "create", "namespace", "shop")
	c.mustApply(t, firstResource(t))
	before := c.release(t)
	shop := []string{"get", "jcred/payments", "secret/jupico-login", "-n", "shop", "-o", "yaml"}
	resource := c.must(t, shop...)

	for _, upgrade := range [][]string{
		{},
		{"--reuse-values"}, // and so the defaults of the first chart
		{"--reset-then-reuse-values", "--values=-"},
	} {
		t.Run(strings.Join(append([]string{"helm upgrade"}, upgrade...), " "), func(t *testing.T) {
			c.helm(t, "", "rollback", "jupico-operator", "1")
			c.helm(t, laterValues, append([]string{"upgrade", "jupico-operator", chart}, upgrade...)...)
			after := strings.Join(c.release(t), "\n")
			for _, object := range before {
				if !strings.Contains(after, object) {
					t.Errorf("%s is not among\n%s", object, after)
				}
			}
			if got := c.must(t, shop...); got != resource {
				t.Errorf("the resource was\n%s\nand is\n%s", resource, got)
			}
			settings := c.must(t, "get", "deployment/jupico-operator-controller-manager", "-n", namespace,
				"-o", `jsonpath={.spec.replicas} {..env[?(@.name=="NO_PROXY")].value}`)
			if settings != "3 .example" {
				t.Errorf("of the settings, there is left: %s", settings)
			}
		})
	}

	c.helm(t, "", "uninstall", "jupico-operator")
	if got := c.must(t, shop...); got != resource {
		t.Errorf("the resource was\n%s\nand after the uninstallation it is\n%s", resource, got)
	}
}
