// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"

	"github.com/jupico-operator/jupico-operator/test/machine"
)

type dashboard struct {
	Templating struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
		}
	}
	Panels []panel
}

type panel struct {
	Type, Title, Description string
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct{ Expr, LegendFormat string }
}

// withoutData says why a panel shows nothing here.
var withoutData = map[string]string{
	"Leader": "leader election needs the namespace of a pod; test/e2e sees its metric",
}

func TestTheDashboardShowsWhatIsTrueOfAFleetInTrouble(t *testing.T) {
	if os.Getenv("PROMETHEUS") == "" {
		t.Skip("PROMETHEUS must name the program: run make test-dashboard")
	}
	w, unserved := &world{Machine: machine.New(t, crdWithoutTimeRule(t))}, "https://"+machine.FreeAddress(t)
	w.makeFleet(t, unserved)
	board := w.readDashboard(t)
	eventually := func(t *testing.T, got func() map[string]float64) gomega.AsyncAssertion {
		t.Helper()
		return gomega.NewWithT(t).Eventually(got, machine.Soon)
	}

	t.Run("every panel is explained, and has data", func(t *testing.T) {
		for _, p := range board.Panels {
			if p.Type == "row" {
				continue
			}
			unit := p.FieldConfig.Defaults.Unit
			if !strings.HasSuffix(p.Description, ".") || unit == "" || len(p.Targets) == 0 {
				t.Errorf("%q has the description %q, the unit %q and the queries %v", p.Title, p.Description, unit, p.Targets)
			}
			for _, target := range p.Targets {
				run := func() map[string]float64 { return w.query(t, target.Expr, target.LegendFormat) }
				if _, is := withoutData[p.Title]; is {
					run() // Prometheus understands it
					continue
				}
				eventually(t, run).ShouldNot(gomega.BeEmpty(), "%s: %s", p.Title, target.Expr)
			}
		}
	})

	states, notReady := map[string]float64{}, map[string]float64{}
	for name, state := range w.states(t) {
		states[state]++
		if reason, is := strings.CutPrefix(state, "Not ready: "); is {
			notReady["shop/"+name+": "+reason] = 0
		}
	}
	emulator, away := strings.TrimPrefix(w.Emulator.URL, "https://"), strings.TrimPrefix(unserved, "https://")
	for title, want := range map[string]map[string]float64{
		"Resources":              {"": float64(len(w.states(t)))},
		"Not ready":              {"": float64(len(notReady))},
		"Overdue":                {"": 0},
		"Namespaces not watched": {"": 0},
		"By state and reason":    states,
		"Those not ready":        notReady,
		"In need of attention": {
			"Credentials rejected": 3, "Stale": 0, "Failed over": 1, "Not redundant": 1, "Cannot be decoded": 1,
		},
		"Endpoints in trouble": {
			emulator + ": paused": 0, emulator + ": mass rejection": 0, emulator + ": accepts anything": 0,
			away + ": paused": 1, away + ": mass rejection": 0,
		},
	} {
		t.Run(title+" is what kubectl and the emulator say", func(t *testing.T) {
			eventually(t, func() map[string]float64 { return w.show(t, board, title) }).Should(gomega.Equal(want))
		})
	}
	t.Run("the checks that are counted are those that the emulator answered", func(t *testing.T) {
		gomega.NewWithT(t).Eventually(func() float64 {
			return w.query(t, `sum(jupico_checks_total{outcome!="Unreachable"})`, "")[""] - w.checks(t)
		}, machine.Soon).Should(gomega.BeZero())
		outcomes := slices.Sorted(maps.Keys(w.show(t, board, "Checks by outcome")))
		if want := []string{"Sandbox: Accepted", "Sandbox: Rejected", "Sandbox: Unreachable"}; !slices.Equal(outcomes, want) {
			t.Errorf("the outcomes are %q, want %q", outcomes, want)
		}
	})
}

// timeRule is a rule of the CRD, without which a status can hold a time that cannot be decoded.
var timeRule = regexp.MustCompile(`(?m)^ +x-kubernetes-validations:\n +- message: this must be a time.*\n +rule:.*\n`)

// crdWithoutTimeRule returns the path of the CRD without that rule.
func crdWithoutTimeRule(t *testing.T) string {
	t.Helper()
	crd, err := os.ReadFile(filepath.Join(machine.Root, "config/crd/bases/credentials.jupico.dev_jupicocredentials.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "crd.yaml")
	machine.Write(t, path, timeRule.ReplaceAll(crd, nil))
	return path
}

// show returns what a panel shows. In a table, that is a line for each resource.
func (w *world) show(t *testing.T, board dashboard, title string) map[string]float64 {
	t.Helper()
	shown := map[string]float64{}
	for _, p := range board.Panels {
		if p.Title != title {
			continue
		}
		for _, target := range p.Targets {
			legend := target.LegendFormat
			if p.Type == "table" {
				legend = "{{namespace}}/{{name}}: {{reason}}"
			}
			maps.Copy(shown, w.query(t, target.Expr, legend))
		}
	}
	return shown
}

var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// readDashboard returns the dashboard as Grafana has it when all is selected in its variables.
func (w *world) readDashboard(t *testing.T) dashboard {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(machine.Root, "config/components/grafana-dashboard/jupico-operator.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board dashboard
	if err := json.Unmarshal(content, &board); err != nil {
		t.Fatal(err)
	}
	values := []string{"$__rate_interval", "5m"}
	for _, variable := range board.Templating.List {
		if variable.Type != "query" {
			continue
		}
		var query struct{ Query string }
		if err := json.Unmarshal(variable.Query, &query); err != nil {
			t.Fatal(err)
		}
		match := labelValues.FindStringSubmatch(strings.NewReplacer(values...).Replace(query.Query))
		if match == nil {
			t.Fatalf("the variable %s has the query %q", variable.Name, query.Query)
		}
		var found []string
		gomega.NewWithT(t).Eventually(func() []string {
			found = ask[[]string](t, w, "label/"+match[2]+"/values", url.Values{"match[]": {match[1]}})
			return found
		}, machine.Soon).ShouldNot(gomega.BeEmpty(), query.Query)
		values = append(values, "$"+variable.Name, strings.Join(found, "|"))
	}
	for _, p := range board.Panels {
		for i := range p.Targets {
			p.Targets[i].Expr = strings.NewReplacer(values...).Replace(p.Targets[i].Expr)
			if strings.Contains(p.Targets[i].Expr, "$") {
				t.Errorf("%s uses a variable that there is not: %s", p.Title, p.Targets[i].Expr)
			}
		}
	}
	return board
}
