// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/jupico-operator/jupico-operator/hack/process"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

const (
	root = "../.."
	// soon is long enough for a machine that is busy with other things. Usually it takes seconds.
	soon = 2 * time.Minute
)

// world is the programs that run.
type world struct {
	kubectlPath        string
	kubeconfig         string // the administrator's
	operatorKubeconfig string
	emulator           testbed.Emulator
	away               string // URL that nobody serves
	prometheusURL      string
}

// timeRule is a rule of the CRD, without which a status can hold a time that cannot be decoded.
var timeRule = regexp.MustCompile(`(?m)^ +x-kubernetes-validations:\n +- message: this must be a time.*\n +rule:.*\n`)

func newWorld(t *testing.T) *world {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	programs, err := testbed.ControlPlane(root)
	if err != nil {
		t.Fatal(err)
	}
	crd, err := os.ReadFile(filepath.Join(root, "config/crd/bases/credentials.jupico.dev_jupicocredentials.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	write(t, filepath.Join(directory, "crd.yaml"), timeRule.ReplaceAll(crd, nil))
	existing := false // never use somebody's cluster, whatever the environment says
	controlPlane := &envtest.Environment{
		UseExistingCluster: &existing, BinaryAssetsDirectory: programs, ControlPlaneStartTimeout: soon,
		CRDDirectoryPaths: []string{directory}, ErrorIfCRDPathMissing: true,
	}
	config, err := controlPlane.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = controlPlane.Stop() }) // an API server that had to be killed is an error to it

	w := &world{
		kubectlPath:        filepath.Join(programs, "kubectl"),
		kubeconfig:         filepath.Join(directory, "kubeconfig"),
		operatorKubeconfig: filepath.Join(directory, "operator.kubeconfig"),
	}
	write(t, w.kubeconfig, controlPlane.KubeConfig)
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	const user = "operator"
	if err := testbed.GrantOperatorRole(t.Context(), admin, root, user); err != nil {
		t.Fatal(err)
	}
	if err := testbed.WriteKubeconfig(controlPlane, user, w.operatorKubeconfig); err != nil {
		t.Fatal(err)
	}
	w.emulator, err = testbed.StartEmulator(t.Context(), filepath.Join(root, "bin", "jupico-emulator"), directory)
	stopAtTheEnd(t, w.emulator.Process)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// startOperator starts the operator, and a Prometheus that scrapes it every second.
func (w *world) startOperator(t *testing.T, flags ...string) {
	t.Helper()
	operator, prometheus, directory := freeAddress(t), freeAddress(t), t.TempDir()
	w.start(t, "the operator", []string{"SSL_CERT_FILE=" + w.emulator.CAFile}, filepath.Join(root, "bin", "manager"),
		append([]string{
			"--kubeconfig=" + w.operatorKubeconfig, "--health-probe-bind-address=0",
			"--metrics-bind-address=" + operator, "--metrics-secure=false",
		}, flags...)...)

	config := filepath.Join(directory, "prometheus.yaml")
	write(t, config, []byte(`global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: jupico-operator
  honor_labels: true
  static_configs:
  - targets: ["`+operator+`"]
`))
	w.start(t, "Prometheus", nil, os.Getenv("PROMETHEUS"),
		"--config.file="+config, "--storage.tsdb.path="+directory, "--web.listen-address="+prometheus)
	w.prometheusURL = "http://" + prometheus
	gomega.NewWithT(t).Eventually(testbed.Get, soon).WithArguments(t.Context(), w.prometheusURL+"/-/ready").
		ShouldNot(gomega.BeEmpty())
}

// start starts a program that runs until the end of the test. If the test failed, it then shows the end of the log.
func (w *world) start(t *testing.T, name string, environment []string, path string, arguments ...string) {
	t.Helper()
	p, err := process.Start(name, filepath.Join(t.TempDir(), "log"), environment, path, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	stopAtTheEnd(t, p)
}

func stopAtTheEnd(t *testing.T, p *process.Process) {
	t.Helper()
	t.Cleanup(func() {
		if err := p.Failure(); err != nil {
			t.Error(err)
		}
		if p != nil && t.Failed() {
			t.Logf("The end of the log of %s:\n%s", p.Name, p.Tail(20))
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := testbed.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func (w *world) kubectl(t *testing.T, stdin string, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), w.kubectlPath, append([]string{"--kubeconfig=" + w.kubeconfig}, arguments...)...)
	command.Stdin = strings.NewReader(stdin)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// ask returns the data of an answer of Prometheus's API.
func ask[data any](t *testing.T, w *world, path string, parameters url.Values) data {
	t.Helper()
	body, err := testbed.Get(t.Context(), w.prometheusURL+"/api/v1/"+path+"?"+parameters.Encode())
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Data data }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return answer.Data
}

// series is one of a result.
type series struct {
	Metric map[string]string
	Value  [2]any // the time, and the value as a string
}

// query returns the values of a query, by the legend of the series. NaN is no value.
func (w *world) query(t *testing.T, expression, legend string) map[string]float64 {
	t.Helper()
	found := map[string]float64{}
	for _, s := range ask[struct{ Result []series }](t, w, "query", url.Values{"query": {expression}}).Result {
		name := legendLabel.ReplaceAllStringFunc(legend, func(match string) string { return s.Metric[strings.Trim(match, "{}")] })
		value, err := strconv.ParseFloat(fmt.Sprint(s.Value[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		if !math.IsNaN(value) {
			found[name] = value
		}
	}
	return found
}

var legendLabel = regexp.MustCompile(`{{\w+}}`)
