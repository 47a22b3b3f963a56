// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// overdueGrace is how late a check may be before it counts as overdue: it waits its turn among others.
const overdueGrace = time.Minute

// lister lists all resources, which are only to be read.
type lister func(context.Context) ([]v1alpha1.JupicoCredential, error)

// listFrom lists what is in the cache, without a copy of each. Without a cache yet, that is an error.
func listFrom(reader client.Reader) lister {
	return func(ctx context.Context) ([]v1alpha1.JupicoCredential, error) {
		var resources v1alpha1.JupicoCredentialList
		err := reader.List(ctx, &resources, client.UnsafeDisableDeepCopy)
		return resources.Items, err
	}
}

// metrics counts checks as they are made, and reads the state of all resources when it is scraped.
type metrics struct {
	list      lister
	clock     clock.PassiveClock
	checks    *prometheus.CounterVec
	durations prometheus.Histogram

	accepted   *prometheus.Desc
	last       *prometheus.Desc
	active     *prometheus.Desc
	ready      *prometheus.Desc
	stale      *prometheus.Desc
	failedOver *prometheus.Desc
	redundant  *prometheus.Desc
	overdue    *prometheus.Desc
}

func newMetrics(list lister, clock clock.PassiveClock) *metrics {
	resource := []string{"namespace", "name"}
	entry := append(slices.Clip(resource), "credential")
	reason := append(slices.Clip(resource), "reason")
	describe := prometheus.NewDesc
	return &metrics{
		list: list, clock: clock,
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jupico_checks_total",
			Help: "Checks of a token, by the environment that it belongs to and by outcome.",
		}, []string{"environment", "outcome"}),
		durations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "jupico_check_duration_seconds",
			Help:    "Time from the request of a check to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 11),
		}),
		accepted: describe("jupico_credential_accepted",
			"1 when the last evidence about what the source holds was an acceptance, 0 when it was a rejection; no sample "+
				"without evidence.", entry, nil),
		last: describe("jupico_credential_last_accepted_timestamp_seconds",
			"When the API last accepted what the source holds, in seconds since 1970.", entry, nil),
		active: describe("jupico_active_credential", "1 for the credential whose token is in the target.", entry, nil),
		ready: describe("jupico_resource_ready",
			"1 when the condition Ready is True, else 0; the reason is the condition's.", reason, nil),
		stale: describe("jupico_credential_stale",
			"1 when the token in the target was accepted too long ago to be vouched for, else 0.", resource, nil),
		failedOver: describe("jupico_credential_failed_over",
			"Of a resource with two credentials: 1 when the token of the second is in the target, else 0.", resource, nil),
		redundant: describe("jupico_credential_redundant",
			"Of a resource with two credentials: 1 when the condition Redundant is True, else 0.", resource, nil),
		overdue: describe("jupico_overdue_resources",
			"Resources, not suspended, whose next check should have begun more than a minute ago.", nil, nil),
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
	for _, description := range []*prometheus.Desc{
		m.accepted, m.last, m.active, m.ready, m.stale, m.failedOver, m.redundant, m.overdue,
	} {
		descriptions <- description
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(samples chan<- prometheus.Metric) {
	m.checks.Collect(samples)
	m.durations.Collect(samples)
	resources, err := m.list(context.Background())
	if err != nil {
		return // and say nothing, rather than that there are no resources
	}
	now := m.clock.Now()
	overdue := 0
	for i := range resources {
		m.collectResource(&resources[i], samples)
		m.collectEntries(&resources[i], samples)
		if isOverdue(&resources[i], overdueGrace, now) {
			overdue++
		}
	}
	samples <- gauge(m.overdue, float64(overdue))
}

func gauge(description *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

// collectResource gathers what alerts are made of: of each resource the same few series, however it is.
func (m *metrics) collectResource(resource *v1alpha1.JupicoCredential, samples chan<- prometheus.Metric) {
	status := &resource.Status
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil {
		samples <- gauge(m.ready, oneIf(ready.Status == metav1.ConditionTrue), resource.Namespace, resource.Name,
			ready.Reason)
	}
	if status.Deployed != nil {
		accepted := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionCredentialAccepted)
		isStale := accepted != nil && (accepted.Reason == v1alpha1.ReasonStale ||
			accepted.Reason == v1alpha1.ReasonDeployedUnverifiable)
		samples <- gauge(m.stale, oneIf(isStale), resource.Namespace, resource.Name)
	}
	if redundant := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionRedundant); redundant != nil {
		samples <- gauge(m.redundant, oneIf(redundant.Status == metav1.ConditionTrue), resource.Namespace, resource.Name)
	}
	if credentials := resource.Spec.Credentials; len(credentials) > 1 {
		isStandby := status.Deployed != nil && status.Deployed.Credential == credentials[1].Name
		samples <- gauge(m.failedOver, oneIf(isStandby), resource.Namespace, resource.Name)
	}
}

// collectEntries gathers what is known of each credential.
func (m *metrics) collectEntries(resource *v1alpha1.JupicoCredential, samples chan<- prometheus.Metric) {
	sample := func(description *prometheus.Desc, credential string, value float64) {
		samples <- gauge(description, value, resource.Namespace, resource.Name, credential)
	}
	if deployed := resource.Status.Deployed; deployed != nil {
		sample(m.active, deployed.Credential, 1)
	}
	for i := range resource.Status.Credentials {
		entry := &resource.Status.Credentials[i]
		switch entry.Verdict {
		case v1alpha1.VerdictAccepted:
			sample(m.accepted, entry.Name, 1)
		case v1alpha1.VerdictRejected:
			sample(m.accepted, entry.Name, 0)
		case v1alpha1.VerdictUnknown:
		}
		if entry.LastAcceptedTime != nil {
			sample(m.last, entry.Name, float64(entry.LastAcceptedTime.Unix()))
		}
	}
}

// isOverdue reports whether a resource should have been looked at longer ago than the grace: for its next check or,
// when it is new, at all.
func isOverdue(resource *v1alpha1.JupicoCredential, grace time.Duration, now time.Time) bool {
	if resource.Spec.Suspend || !resource.DeletionTimestamp.IsZero() {
		return false
	}
	status := &resource.Status
	if len(status.Conditions) == 0 {
		return now.Sub(resource.CreationTimestamp.Time) > grace
	}
	if accepted := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionCredentialAccepted); accepted != nil &&
		accepted.Reason == v1alpha1.ReasonChecking { // whose first check is put off
		return now.Sub(accepted.LastTransitionTime.Time) > grace
	}
	return status.NextCheckTime != nil && now.Sub(status.NextCheckTime.Time) > grace
}
