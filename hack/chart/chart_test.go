// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart pins Helm, and holds the chart to what kustomize makes.
package chart

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

const (
	directory = "../../dist/chart"
	namespace = "jupico-operator-system"
	manager   = "Deployment jupico-operator-system/jupico-operator-controller-manager"
)

type values = map[string]any

// object is a Kubernetes object, by its fields.
type object = map[string]any

// helm renders the chart, as "helm template jupico-operator dist/chart -n jupico-operator-system" does.
func helm(t *testing.T, v values) (map[string]object, error) {
	t.Helper()
	files, err := render(load(t, directory), "jupico-operator", v)
	if err != nil {
		return nil, err
	}
	return objectsOf(t, files), nil
}

// load loads a chart from a directory or an archive.
func load(t *testing.T, path string) *chart.Chart {
	t.Helper()
	loaded, err := loader.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// render returns the text that each template makes.
func render(c *chart.Chart, release string, v values) (map[string]string, error) {
	options := common.ReleaseOptions{Name: release, Namespace: namespace, IsInstall: true, Revision: 1}
	all, err := util.ToRenderValues(c, v, options, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// objectsOf are those in the text that templates made.
func objectsOf(t *testing.T, files map[string]string) map[string]object {
	t.Helper()
	var documents []string
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") {
			documents = append(documents, text)
		}
	}
	return objects(t, strings.Join(documents, "\n---\n"))
}

func mustHelm(t *testing.T, v values) map[string]object {
	t.Helper()
	made, err := helm(t, v)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func kustomize(t *testing.T, path string) map[string]object {
	t.Helper()
	program, err := filepath.Abs(cmp.Or(os.Getenv("KUSTOMIZE"), "../../bin/kustomize"))
	if err != nil {
		t.Fatal(err)
	}
	var problems bytes.Buffer
	command := exec.CommandContext(t.Context(), program, "build", path)
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &problems)
	}
	made := objects(t, string(output))
	// Helm makes the namespace of a release, when it is asked to.
	delete(made, "Namespace /"+namespace)
	return made
}

// objects are those of a stream of YAML documents, by kind, namespace and name.
func objects(t *testing.T, stream string) map[string]object {
	t.Helper()
	found := map[string]object{}
	for document := range strings.SplitSeq("\n"+stream, "\n---\n") {
		var o object
		if err := yaml.UnmarshalStrict([]byte(document), &o); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		if len(o) == 0 {
			continue
		}
		metadata, _ := o["metadata"].(object)
		in, _ := metadata["namespace"].(string)
		key := o["kind"].(string) + " " + in + "/" + metadata["name"].(string)
		if _, exists := found[key]; exists {
			t.Errorf("%s occurs twice", key)
		}
		found[key] = o
	}
	return found
}

// withoutTool leaves out what says which of the two tools made an object.
func withoutTool(o object) object {
	metadata := maps.Clone(o["metadata"].(object))
	for kind, names := range map[string][]string{
		"labels":      {"app.kubernetes.io/managed-by", "app.kubernetes.io/name", "helm.sh/chart"},
		"annotations": {"helm.sh/resource-policy"},
	} {
		entries, _ := metadata[kind].(object)
		entries = maps.Clone(entries)
		for _, name := range names {
			delete(entries, name)
		}
		metadata[kind] = entries
		if len(entries) == 0 {
			delete(metadata, kind)
		}
	}
	o = maps.Clone(o)
	o["metadata"] = metadata
	return o
}

func compare(t *testing.T, helm, kustomize map[string]object) {
	t.Helper()
	if len(kustomize) == 0 {
		t.Fatal("kustomize made nothing")
	}
	for _, key := range slices.Sorted(maps.Keys(helm)) {
		if _, exists := kustomize[key]; !exists {
			t.Errorf("only the chart has %s", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(kustomize)) {
		made, exists := helm[key]
		if !exists {
			t.Errorf("the chart lacks %s", key)
			continue
		}
		got, want := withoutTool(made), withoutTool(kustomize[key])
		if !reflect.DeepEqual(got, want) {
			gotText, _ := yaml.Marshal(got)
			wantText, _ := yaml.Marshal(want)
			t.Errorf("%s: the chart makes\n%s\nand kustomize\n%s", key, gotText, wantText)
		}
	}
}

func TestTheChartMakesWhatKustomizeMakes(t *testing.T) {
	enabled := values{"enabled": true}
	for _, tc := range []struct {
		sentence string
		values   values
		path     string
	}{
		{"with its defaults", values{}, "../../config/default"},
		{"without the CRDs", values{"crds": values{"install": false}}, "../../config/operator"},
		{"with everything", values{
			"networkPolicy": enabled, "serviceMonitor": enabled, "prometheusRule": enabled, "grafanaDashboard": enabled,
		}, "testdata/everything"},
		{"for chosen namespaces", values{
			"namespaces": []any{"shop"}, "metrics": values{"enabled": false}, "crds": values{"install": false},
			"aggregatedRoles": false,
		}, "../../config/overlays/namespaced"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			compare(t, mustHelm(t, tc.values), kustomize(t, tc.path))
		})
	}
}

func TestTheChartHasNothingToComplainOf(t *testing.T) {
	for _, v := range []values{{}, parse(t, everyPart)} {
		result := lint.RunAll(directory, v, namespace)
		for _, message := range result.Messages {
			if !strings.Contains(message.Error(), "icon is recommended") {
				t.Error(message)
			}
		}
		if len(result.Messages) == 0 {
			t.Error("not even the missing icon was noticed: was anything looked at?")
		}
	}
}

func TestTheCRDsStayWhenTheChartIsUninstalled(t *testing.T) {
	found := 0
	for key, o := range mustHelm(t, values{}) {
		if !strings.HasPrefix(key, "CustomResourceDefinition ") {
			continue
		}
		found++
		annotations, _ := o["metadata"].(object)["annotations"].(object)
		if annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s has the annotations %v", key, annotations)
		}
	}
	if found != 1 {
		t.Errorf("found %d CRDs", found)
	}
}

// at returns what lies at a path of fields, and of indices where a field holds a list.
func at(t *testing.T, from any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			fields, _ := from.(object)
			from = fields[step]
		case int:
			items, _ := from.([]any)
			if step >= len(items) {
				return nil
			}
			from = items[step]
		}
	}
	return from
}

func TestTheRuntimesMemoryLimitIsNineTenthsOfTheContainers(t *testing.T) {
	container := at(t, mustHelm(t, values{})[manager], "spec", "template", "spec", "containers", 0)
	limit, _ := at(t, container, "resources", "limits", "memory").(string)
	mebibytes, err := strconv.Atoi(strings.TrimSuffix(limit, "Mi"))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%dMiB", mebibytes*9/10)
	if got := at(t, container, "env", 0, "value"); got != want {
		t.Errorf("GOMEMLIMIT is %v beside a limit of %s, want %s", got, limit, want)
	}
	page, err := os.ReadFile("../../docs/reference/flags.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "`GOMEMLIMIT="+want+"`") {
		t.Errorf("docs/reference/flags.md does not give %s for GOMEMLIMIT", want)
	}
}

func TestTheChartIsOfTheVersionThatKustomizeInstalls(t *testing.T) {
	var kustomization struct {
		Images []struct {
			NewTag string `json:"newTag"`
		} `json:"images"`
	}
	text, err := os.ReadFile("../../config/manager/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &kustomization); err != nil {
		t.Fatal(err)
	}
	metadata := load(t, directory).Metadata
	tag := kustomization.Images[0].NewTag
	if metadata.AppVersion != tag || "v"+metadata.Version != tag {
		t.Errorf("the chart is %s of %s, and kustomize installs %s", metadata.Version, metadata.AppVersion, tag)
	}
}
