// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/client-go/kubernetes"

	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

// calls counts requests to the API server by verb and resource, such as "get secrets".
type calls map[string]float64

// countedResources are those that the operator uses. The API server's own requests are for others, except that it reads
// some ConfigMaps now and then.
var countedResources = []string{"secrets", "configmaps", "jupicocredentials", "events"}

// sampleLine matches the name, the labels and the value of a metric, and label matches one of the labels.
var (
	sampleLine = regexp.MustCompile(`^(\w+)\{(.*)\} (\S+)$`)
	label      = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// forEachSample calls do for each sample of a metric in the Prometheus text format.
func forEachSample(exposition []byte, name string, do func(labels map[string]string, value float64)) error {
	lines := bufio.NewScanner(bytes.NewReader(exposition))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), name+"{") {
			continue
		}
		match := sampleLine.FindStringSubmatch(lines.Text())
		if match == nil {
			continue
		}
		value, err := strconv.ParseFloat(match[3], 64)
		if err != nil {
			return err
		}
		labels := map[string]string{}
		for _, pair := range label.FindAllStringSubmatch(match[2], -1) {
			labels[pair[1]] = pair[2]
		}
		do(labels, value)
	}
	return lines.Err()
}

// getRaw returns what the API server answers to the administrator's GET of a path.
func (b *bench) getRaw(ctx context.Context, path string) ([]byte, error) {
	clients, err := kubernetes.NewForConfig(b.config)
	if err != nil {
		return nil, err
	}
	return clients.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
}

// countCalls asks the API server which requests it has served. A watch counts when it ends.
func (b *bench) countCalls(ctx context.Context) (calls, error) {
	exposition, err := b.getRaw(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	counted := calls{}
	err = forEachSample(exposition, "apiserver_request_total", func(labels map[string]string, value float64) {
		if !slices.Contains(countedResources, labels["resource"]) {
			return
		}
		resource := labels["resource"]
		if labels["subresource"] != "" {
			resource += "/" + labels["subresource"]
		}
		counted[strings.ToLower(labels["verb"])+" "+resource] += value
	})
	return counted, err
}

// patchBytes asks the API server how many bytes all patches of resources had.
func (b *bench) patchBytes(ctx context.Context) (bytes float64, err error) {
	exposition, err := b.getRaw(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	err = forEachSample(exposition, "apiserver_request_body_size_bytes_sum",
		func(labels map[string]string, value float64) {
			if labels["resource"] == resources.Resource && labels["verb"] == "patch" {
				bytes += value
			}
		})
	return bytes, err
}

// printSizes prints how large the objects of a fleet are in JSON.
func (b *bench) printSizes(ctx context.Context, f *fleet) error {
	var sizes []any
	for _, path := range []string{
		"/apis/credentials.jupico.dev/v1alpha1/namespaces/" + f.namespace + "/jupicocredentials/" + resourceName(0),
		"/api/v1/namespaces/" + f.namespace + "/secrets/" + sourceName(0),
		"/api/v1/namespaces/" + f.namespace + "/secrets/" + targetName(0),
	} {
		object, err := b.getRaw(ctx, path)
		if err != nil {
			return err
		}
		sizes = append(sizes, len(object))
	}
	b.logf("A resource has %d bytes of JSON, its source %d, its target %d", sizes...)
	return nil
}

// since returns the calls that were made after an earlier count.
func (c calls) since(before calls) calls {
	made := calls{}
	for call, count := range c {
		if count > before[call] {
			made[call] = count - before[call]
		}
	}
	return made
}

func (c calls) reads() float64 {
	return c.sum(func(verb string) bool { return verb == "get" || verb == "list" })
}

func (c calls) writes() float64 {
	return c.sum(func(verb string) bool { return verb != "get" && verb != "list" && verb != "watch" })
}

func (c calls) sum(isCounted func(verb string) bool) float64 {
	total := 0.0
	for call, count := range c {
		if verb, _, _ := strings.Cut(call, " "); isCounted(verb) {
			total += count
		}
	}
	return total
}

// perItem formats the calls divided by n.
func (c calls) perItem(n float64) string {
	var parts []string
	for _, call := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, strconv.FormatFloat(c[call]/n, 'f', 3, 64)+" "+call)
	}
	return strings.Join(parts, ", ")
}

// countRequests asks the emulator how many requests it has received.
func (b *bench) countRequests(ctx context.Context) (float64, error) {
	body, err := testbed.Get(ctx, b.emulator.AdminURL+"/requests")
	if err != nil {
		return 0, err
	}
	var counts struct {
		Total float64 `json:"total"`
	}
	return counts.Total, json.Unmarshal(body, &counts)
}

// countWork asks the operator how many checks and reconciles it has made.
func (b *bench) countWork(ctx context.Context) (checks, reconciles float64, err error) {
	exposition, err := testbed.Get(ctx, b.operator.metrics+"/metrics")
	if err != nil {
		return 0, 0, err
	}
	sum := func(name string) (total float64) {
		err = errors.Join(err, forEachSample(exposition, name, func(_ map[string]string, value float64) { total += value }))
		return total
	}
	checks, reconciles = sum("jupico_checks_total"), sum("controller_runtime_reconcile_total")
	return checks, reconciles, err
}
