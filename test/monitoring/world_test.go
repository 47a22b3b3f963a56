// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/hack/testbed"
	"github.com/jupico-operator/jupico-operator/test/machine"
)

// world is the programs that run.
type world struct {
	*machine.Machine
	prometheusURL string
}

// startPrometheus starts a Prometheus that does everything every second.
func (w *world) startPrometheus(t *testing.T, scrape map[string]any, ruleFiles ...string) {
	t.Helper()
	address, directory := machine.FreeAddress(t), t.TempDir()
	config, err := yaml.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
		"scrape_configs": []any{scrape},
		"rule_files":     ruleFiles,
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "prometheus.yaml")
	machine.Write(t, path, config)
	machine.Start(t, "Prometheus", nil, os.Getenv("PROMETHEUS"),
		"--config.file="+path, "--storage.tsdb.path="+directory, "--web.listen-address="+address)
	w.prometheusURL = "http://" + address
	gomega.NewWithT(t).Eventually(testbed.Get, machine.Soon).WithArguments(t.Context(), w.prometheusURL+"/-/ready").
		ShouldNot(gomega.BeEmpty())
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
