// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/test/machine"
)

// serviceMonitor has the settings that the test knows. A file with more fails to be read.
type serviceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Path            string         `json:"path"`
			Port            string         `json:"port"`
			HonorLabels     bool           `json:"honorLabels"`
			Scheme          string         `json:"scheme"`
			BearerTokenFile string         `json:"bearerTokenFile"`
			TLSConfig       map[string]any `json:"tlsConfig"`
		} `json:"endpoints"`
	} `json:"spec"`
}

func readComponent(t *testing.T, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(machine.Root, "config", "components", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(content, into); err != nil {
		t.Fatal(err)
	}
}

// serviceAccountToken is where a pod has its token.
const serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // a path

// scrapeConfiguration is what the Prometheus Operator makes of the ServiceMonitor. The operator runs at an address, and the
// token of Prometheus is in a file.
func (w *world) scrapeConfiguration(t *testing.T, address, token string) map[string]any {
	t.Helper()
	var monitor serviceMonitor
	readComponent(t, "service-monitor/service_monitor.yaml", &monitor)
	if len(monitor.Spec.Endpoints) != 1 || monitor.Spec.Endpoints[0].BearerTokenFile != serviceAccountToken {
		t.Fatalf("it must have one endpoint, with the token of a pod: %+v", monitor.Spec.Endpoints)
	}
	endpoint := monitor.Spec.Endpoints[0]
	ports := w.Kubectl(t, "", "get", "service", "-n="+monitor.Namespace, "-o=jsonpath={.items[*].spec.ports[*].name}",
		"-l="+metav1.FormatLabelSelector(&monitor.Spec.Selector))
	if ports != endpoint.Port {
		t.Fatalf("the Services that are selected have the ports %q, want one port %q", ports, endpoint.Port)
	}
	tls := map[string]any{"insecure_skip_verify": endpoint.TLSConfig["insecureSkipVerify"]}
	if len(endpoint.TLSConfig) != 1 {
		t.Fatalf("the test does not know all of %v", endpoint.TLSConfig)
	}
	return map[string]any{
		"job_name": monitor.Name, "honor_labels": endpoint.HonorLabels,
		"scheme": endpoint.Scheme, "metrics_path": endpoint.Path, "tls_config": tls,
		"authorization":  map[string]any{"type": "Bearer", "credentials_file": token},
		"static_configs": []any{map[string]any{"targets": []string{address}}},
	}
}

// rulesWithoutPatience writes the rules into a file, with a second in place of each for.
func rulesWithoutPatience(t *testing.T) string {
	t.Helper()
	var rule struct {
		Spec struct {
			Groups []struct {
				Name  string           `json:"name"`
				Rules []map[string]any `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
	}
	readComponent(t, "prometheus-rule/prometheus_rule.yaml", &rule)
	for _, group := range rule.Spec.Groups {
		for _, alert := range group.Rules {
			if _, waits := alert["for"]; waits {
				alert["for"] = "1s"
			}
		}
	}
	content, err := yaml.Marshal(rule.Spec)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	machine.Write(t, path, content)
	return path
}

// firing returns the summaries of the alerts that fire, by their names.
func (w *world) firing(t *testing.T) map[string]string {
	t.Helper()
	type answer struct {
		Alerts []struct {
			State               string
			Labels, Annotations map[string]string
		}
	}
	summaries := map[string]string{}
	for _, alert := range ask[answer](t, w, "alerts", url.Values{}).Alerts {
		if alert.State == "firing" {
			summaries[alert.Labels["alertname"]] = alert.Annotations["summary"]
		}
	}
	return summaries
}

func TestPrometheusScrapesAsTheServiceMonitorSaysAndFiresAnAlert(t *testing.T) {
	if os.Getenv("PROMETHEUS") == "" {
		t.Skip("PROMETHEUS must name the program: run make test-dashboard")
	}
	w := &world{Machine: machine.New(t)}
	g := gomega.NewWithT(t)
	w.Kubectl(t, "", "apply", "-f", filepath.Join(machine.Root, "dist/install.yaml"))
	// As a pod, the operator would be the service account that has this role.
	w.Kubectl(t, "", "create", "clusterrolebinding", "operator-metrics-auth", "--user="+machine.Operator,
		"--clusterrole=jupico-operator-metrics-auth-role")
	token := w.letPrometheusIn(t)
	w.Kubectl(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"+
		fmt.Sprintf(secret, "login", "user", "good")+
		fmt.Sprintf(resource, "payments", w.Emulator.URL, "  - {name: main, basicAuthSecretRef: {name: login}}\n", "payments"),
		"apply", "-f", "-")
	w.Command(t, "/accounts", `{"username":"user","password":"good","forms":["Standard"]}`)

	address := machine.FreeAddress(t)
	w.StartOperator(t, "--allowed-endpoint="+w.Emulator.URL, "--metrics-bind-address="+address)
	w.Kubectl(t, "", "wait", "jcred/payments", "-n=shop", "--for=condition=Ready", "--timeout="+machine.Soon.String())
	w.startPrometheus(t, w.scrapeConfiguration(t, address, token), rulesWithoutPatience(t))
	g.Eventually(func() map[string]float64 {
		return w.query(t, "jupico_resource_ready", "{{namespace}}/{{name}}: {{reason}}")
	}, machine.Soon).Should(gomega.Equal(map[string]float64{"shop/payments: Accepted": 1}))
	g.Eventually(func() map[string]string { return w.firing(t) }, machine.Soon).Should(gomega.BeEmpty())

	begin := time.Now()
	w.Kubectl(t, fmt.Sprintf(secret, "login", "user", "wrong"), "apply", "-f", "-")
	g.Eventually(func() map[string]string { return w.firing(t) }, machine.Soon).Should(gomega.Equal(map[string]string{
		"JupicoSourceNotFollowed": "An edit for shop/payments has not arrived for 15 minutes.",
	}))
	t.Logf("From a wrong password to an alert that fires: %.1f s (with for: 1s, and a scrape each second)",
		time.Since(begin).Seconds())
	w.Kubectl(t, fmt.Sprintf(secret, "login", "user", "good"), "apply", "-f", "-")
	g.Eventually(func() map[string]string { return w.firing(t) }, machine.Soon).Should(gomega.BeEmpty())
}

// letPrometheusIn does what the page about monitoring says, and returns the path of a file with the token of
// Prometheus.
func (w *world) letPrometheusIn(t *testing.T) string {
	t.Helper()
	w.Kubectl(t, "", "create", "namespace", "monitoring")
	w.Kubectl(t, "", "create", "serviceaccount", "prometheus-k8s", "-n=monitoring")
	w.Kubectl(t, "", "create", "clusterrolebinding", "prometheus-reads-jupico-operator",
		"--clusterrole=jupico-operator-metrics-reader", "--serviceaccount=monitoring:prometheus-k8s")
	path := filepath.Join(t.TempDir(), "token")
	machine.Write(t, path, []byte(strings.TrimSpace(w.Kubectl(t, "", "create", "token", "prometheus-k8s", "-n=monitoring"))))
	return path
}
