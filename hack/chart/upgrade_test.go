// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"reflect"
	"slices"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common/util"
)

// firstChart is the chart as it was before its values were completed: dist/chart of commit 399a1a0.
const firstChart = "testdata/chart-399a1a0.tgz"

// everyPart makes every object that the first chart could make, with all values that it knew.
const everyPart = `
image: {repository: r.example/a, tag: v9, pullPolicy: Always}
imagePullSecrets: [{name: registry}]
replicas: 3
resources: {requests: {cpu: 20m}, limits: {memory: 512Mi}}
goMemLimit: 460MiB
goGC: 75
goMaxProcs: 2
namespaces: [shop, billing]
allowedEndpoints: ["https://a.example"]
extraArgs: [--check-qps=40]
extraEnv: [{name: HTTPS_PROXY, value: "http://p:1"}]
metrics: {enabled: true, tlsSecretName: certificate}
serviceMonitor: {enabled: true, labels: {release: a}}
prometheusRule: {enabled: true, labels: {release: a}}
grafanaDashboard: {enabled: true, labels: {team: a}}
networkPolicy: {enabled: true}
serviceAccount: {annotations: {a: b}}
podAnnotations: {a: b}
priorityClassName: high
nodeSelector: {a: b}
tolerations: [{key: a}]
affinity: {nodeAffinity: {}}
`

var installations = map[string]string{
	"defaults":               "{}",
	"every part":             everyPart,
	"for chosen namespaces":  "{namespaces: [shop], crds: {install: false}, aggregatedRoles: false, metrics: {enabled: false}}",
	"for one pod":            "{replicas: 1, podDisruptionBudget: {enabled: false}}",
	"without a memory limit": "{resources: {limits: null}, goMemLimit: 'off'}",
}

// renderOrFail renders a chart for a release of the name that the documentation uses.
func renderOrFail(t *testing.T, path string, defaults, v values) map[string]object {
	t.Helper()
	c := load(t, path)
	if defaults != nil {
		c.Values = defaults
	}
	files, err := render(c, "jupico-operator", v)
	if err != nil {
		t.Fatal(err)
	}
	return objectsOf(t, files)
}

// TestAnUpgradeKeepsEverything compares the objects before and after an upgrade with the same values. What a release may
// change is what it installs: the image, rights, the CRD, alerts. It must not remove an object, change what the API server
// never lets change, or lose a setting.
func TestAnUpgradeKeepsEverything(t *testing.T) {
	unchangeable := [][]any{{"spec", "selector"}, {"roleRef"}, {"subjects"}, {"spec", "scope"}, {"spec", "names"}}
	for name, text := range installations {
		t.Run(name, func(t *testing.T) {
			before, after := renderOrFail(t, firstChart, nil, parse(t, text)), mustHelm(t, parse(t, text))
			for key, old := range before {
				now, isThere := after[key]
				if !isThere {
					t.Errorf("%s disappears", key)
					continue
				}
				for _, path := range unchangeable {
					if got, want := at(t, now, path...), at(t, old, path...); !reflect.DeepEqual(got, want) {
						t.Errorf("%s changes %v from %v to %v", key, path, want, got)
					}
				}
				for _, kind := range []string{"labels", "annotations"} {
					entries, _ := at(t, old, "metadata", kind).(object)
					for entry := range entries {
						if at(t, now, "metadata", kind, entry) == nil {
							t.Errorf("%s loses %s of its %s", key, entry, kind)
						}
					}
				}
			}
		})
	}
}

// TestTheOldValuesAreStillKnown is about settings: TestEveryValueArrives says that they still do something.
func TestTheOldValuesAreStillKnown(t *testing.T) {
	now := leaves("", load(t, directory).Values)
	for value := range leaves("", load(t, firstChart).Values) {
		if _, isKnown := now[value]; !isKnown {
			t.Errorf("%s is gone", value)
		}
	}
}

// withoutNulls leaves out fields that are null, which the API server does too.
func withoutNulls(o object) object {
	rest := object{}
	for name, field := range o {
		if inner, isObject := field.(object); isObject {
			field = withoutNulls(inner)
		}
		if items, isList := field.([]any); isList {
			items = slices.Clone(items)
			for i, item := range items {
				if inner, isObject := item.(object); isObject {
					items[i] = withoutNulls(inner)
				}
			}
			field = items
		}
		if field != nil {
			rest[name] = field
		}
	}
	return rest
}

// TestAnUpgradeThatReusesValuesIsOneWithTheSameSettings: with --reuse-values, Helm takes all values of the older chart,
// its defaults too, in place of the defaults of this one.
func TestAnUpgradeThatReusesValuesIsOneWithTheSameSettings(t *testing.T) {
	for name, text := range installations {
		t.Run(name, func(t *testing.T) {
			reused, err := util.CoalesceValues(load(t, firstChart), parse(t, text))
			if err != nil {
				t.Fatal(err)
			}
			got, want := renderOrFail(t, directory, reused, parse(t, text)), mustHelm(t, parse(t, text))
			if len(got) != len(want) {
				t.Errorf("got %d objects, want %d", len(got), len(want))
			}
			for key := range want {
				if !reflect.DeepEqual(withoutNulls(got[key]), withoutNulls(want[key])) {
					t.Errorf("%s is\n%v\nwant\n%v", key, got[key], want[key])
				}
			}
		})
	}
}
