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
)

// calls counts requests to the API server: "get secrets" and so on.
type calls map[string]float64

// countedResources are those that the operator works with. The API server's own requests are about others, but for
// ConfigMaps, of which it reads some now and then.
var countedResources = []string{"secrets", "configmaps", "jupicocredentials", "events"}

// sample is a line of an exposition: its labels, and its value.
var (
	sample = regexp.MustCompile(`^(\w+)\{(.*)\} (\S+)$`)
	label  = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// samples calls back with each sample of a metric.
func samples(exposition []byte, name string, each func(labels map[string]string, value float64)) error {
	lines := bufio.NewScanner(bytes.NewReader(exposition))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), name+"{") {
			continue
		}
		match := sample.FindStringSubmatch(lines.Text())
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
		each(labels, value)
	}
	return lines.Err()
}

// countCalls asks the API server which requests it has served. A watch counts when it ends.
func (b *bench) countCalls(ctx context.Context) (calls, error) {
	clients, err := kubernetes.NewForConfig(b.config)
	if err != nil {
		return nil, err
	}
	exposition, err := clients.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	counted := calls{}
	err = samples(exposition, "apiserver_request_total", func(labels map[string]string, value float64) {
		if !slices.Contains(countedResources, labels["resource"]) {
			return
		}
		what := labels["resource"]
		if labels["subresource"] != "" {
			what += "/" + labels["subresource"]
		}
		counted[strings.ToLower(labels["verb"])+" "+what] += value
	})
	return counted, err
}

// describeSizes says how large the objects of a fleet are, in the JSON that the API server serves.
func (b *bench) describeSizes(ctx context.Context, f *fleet) error {
	clients, err := kubernetes.NewForConfig(b.config)
	if err != nil {
		return err
	}
	var sizes []any
	for _, path := range []string{
		"/apis/credentials.jupico.dev/v1alpha1/namespaces/" + f.namespace + "/jupicocredentials/" + resourceName(0),
		"/api/v1/namespaces/" + f.namespace + "/secrets/" + sourceName(0),
		"/api/v1/namespaces/" + f.namespace + "/secrets/" + targetName(0),
	} {
		object, err := clients.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
		if err != nil {
			return err
		}
		sizes = append(sizes, len(object))
	}
	b.say("A resource is %d bytes of JSON, its source %d, its target %d", sizes...)
	return nil
}

// since are the calls that came after others.
func (c calls) since(before calls) calls {
	after := calls{}
	for what, count := range c {
		if count > before[what] {
			after[what] = count - before[what]
		}
	}
	return after
}

func (c calls) reads() float64 {
	return c.sum(func(verb string) bool { return verb == "get" || verb == "list" })
}

func (c calls) writes() float64 {
	return c.sum(func(verb string) bool { return verb != "get" && verb != "list" && verb != "watch" })
}

func (c calls) sum(isCounted func(verb string) bool) float64 {
	total := 0.0
	for what, count := range c {
		if verb, _, _ := strings.Cut(what, " "); isCounted(verb) {
			total += count
		}
	}
	return total
}

// perItem describes the calls for one of n.
func (c calls) perItem(n float64) string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, strconv.FormatFloat(c[what]/n, 'f', 3, 64)+" "+what)
	}
	return strings.Join(parts, ", ")
}

// countRequests asks the emulator how many requests it was sent.
func (b *bench) countRequests(ctx context.Context) (float64, error) {
	body, err := get(ctx, b.adminURL+"/requests")
	if err != nil {
		return 0, err
	}
	var counts struct {
		Total float64 `json:"total"`
	}
	return counts.Total, json.Unmarshal(body, &counts)
}

// countWork asks the operator how many checks and how many reconciles it made.
func (b *bench) countWork(ctx context.Context) (checks, reconciles float64, err error) {
	exposition, err := get(ctx, b.operator.metrics+"/metrics")
	if err != nil {
		return 0, 0, err
	}
	sum := func(name string) (total float64) {
		err = errors.Join(err, samples(exposition, name, func(_ map[string]string, value float64) { total += value }))
		return total
	}
	checks, reconciles = sum("jupico_checks_total"), sum("controller_runtime_reconcile_total")
	return checks, reconciles, err
}
