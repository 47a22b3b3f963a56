// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// metrics counts checks as they are made, and reads the state of all resources when it is scraped.
type metrics struct {
	reader    client.Reader
	checks    *prometheus.CounterVec
	durations prometheus.Histogram
	accepted  *prometheus.Desc
	last      *prometheus.Desc
}

func newMetrics(reader client.Reader) *metrics {
	labels := []string{"namespace", "name", "credential"}
	return &metrics{
		reader: reader,
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jupico_checks_total",
			Help: "Checks of a token, by the environment that it belongs to and by outcome.",
		}, []string{"environment", "outcome"}),
		durations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "jupico_check_duration_seconds",
			Help:    "Time from the request of a check to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 11),
		}),
		accepted: prometheus.NewDesc("jupico_credential_accepted",
			"1 when the last evidence about what the source holds was an acceptance, 0 when it was a rejection; no sample "+
				"without evidence.", labels, nil),
		last: prometheus.NewDesc("jupico_credential_last_accepted_timestamp_seconds",
			"When the API last accepted what the source holds, in seconds since 1970.", labels, nil),
	}
}

func (m *metrics) checked(resource *v1alpha1.JupicoCredential, result outcome.Result) {
	m.checks.WithLabelValues(string(resource.Spec.Environment), string(result.Outcome)).Inc()
	if result.Duration > 0 {
		m.durations.Observe(result.Duration.Seconds())
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(descriptions chan<- *prometheus.Desc) {
	m.checks.Describe(descriptions)
	m.durations.Describe(descriptions)
	descriptions <- m.accepted
	descriptions <- m.last
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(samples chan<- prometheus.Metric) {
	m.checks.Collect(samples)
	m.durations.Collect(samples)
	var resources v1alpha1.JupicoCredentialList
	// Read only, and so without a copy of each. Without a cache yet, there is nothing to tell.
	if err := m.reader.List(context.Background(), &resources, client.UnsafeDisableDeepCopy); err != nil {
		return
	}
	for i := range resources.Items {
		collect(&resources.Items[i], m, samples)
	}
}

func collect(resource *v1alpha1.JupicoCredential, m *metrics, samples chan<- prometheus.Metric) {
	for i := range resource.Status.Credentials {
		entry := &resource.Status.Credentials[i]
		sample := func(description *prometheus.Desc, value float64) {
			samples <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value,
				resource.Namespace, resource.Name, entry.Name)
		}
		switch entry.Verdict {
		case v1alpha1.VerdictAccepted:
			sample(m.accepted, 1)
		case v1alpha1.VerdictRejected:
			sample(m.accepted, 0)
		case v1alpha1.VerdictUnknown:
		}
		if entry.LastAcceptedTime != nil {
			sample(m.last, float64(entry.LastAcceptedTime.Unix()))
		}
	}
}
