// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package promtool pins the version of Prometheus and promtool, and tests the alerts with the latter.
package promtool

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// installedRules returns the rules of the manifest, in the format that Prometheus reads.
func installedRules(t *testing.T) []byte {
	t.Helper()
	var resource struct {
		Spec any `json:"spec"`
	}
	manifest := read(t, "../../config/components/prometheus-rule/prometheus_rule.yaml")
	if err := yaml.Unmarshal(manifest, &resource); err != nil {
		t.Fatal(err)
	}
	rules, err := yaml.Marshal(resource.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestAlertsFireWhenTheyShouldAndOnlyThen(t *testing.T) {
	directory := t.TempDir()
	for name, content := range map[string][]byte{"rules.yaml": installedRules(t), "alerts.yaml": read(t, "alerts.yaml")} {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program, err := filepath.Abs(cmp.Or(os.Getenv("PROMTOOL"), "../../bin/promtool"))
	if err != nil {
		t.Fatal(err)
	}
	for _, arguments := range [][]string{
		{"check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"},
		{"test", "rules", "alerts.yaml"},
	} {
		command := exec.CommandContext(t.Context(), program, arguments...)
		command.Dir = directory
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, output)
		}
	}
}

var (
	usedLabel = regexp.MustCompile(`\$labels\.(\w+)`)
	keptLabel = regexp.MustCompile(`^(?:max|min) by \(([\w, ]+)\)`)
)

func TestEveryAlertHasAScenarioAndSaysWhatToDo(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string            `json:"alert"`
				Expr        string            `json:"expr"`
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.Unmarshal(installedRules(t), &rules); err != nil {
		t.Fatal(err)
	}
	scenarios, runbooks := string(read(t, "alerts.yaml")), string(read(t, "../../docs/runbooks.md"))
	found := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			found++
			if !strings.Contains(scenarios, `ALERTS{alertname="`+rule.Alert+`", alertstate="firing"`) {
				t.Errorf("%s fires in no scenario of alerts.yaml", rule.Alert)
			}
			if severity := rule.Labels["severity"]; severity != "critical" && severity != "warning" {
				t.Errorf("%s has the severity %q", rule.Alert, severity)
			}
			_, anchor, _ := strings.Cut(rule.Annotations["runbook_url"], "/docs/runbooks.md#")
			if anchor != strings.ToLower(rule.Alert) || !strings.Contains(runbooks, "\n## "+rule.Alert+"\n") {
				t.Errorf("%s has the runbook %q, or docs/runbooks.md has no such section", rule.Alert, anchor)
			}
			kept := ""
			if match := keptLabel.FindStringSubmatch(rule.Expr); match != nil {
				kept = match[1]
			}
			for _, name := range []string{"summary", "description"} {
				text := rule.Annotations[name]
				if len(text) < 20 || !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") {
					t.Errorf("%s has the %s %q", rule.Alert, name, text)
				}
				for _, used := range usedLabel.FindAllStringSubmatch(text, -1) {
					if !strings.Contains(kept, used[1]) {
						t.Errorf("the %s of %s uses the label %s, but the alert has only %q", name, rule.Alert, used[1], kept)
					}
				}
			}
		}
	}
	if found < 9 {
		t.Errorf("found only %d alerts", found)
	}
}
