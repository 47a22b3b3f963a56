// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/check"
)

// overdueGrace is how late a check may be before it counts as overdue. Checks wait for their turn.
const overdueGrace = time.Minute

// list lists all resources in the cache, which are only to be read. Before the cache starts, that is an error.
func list(ctx context.Context, cache client.Reader) ([]v1alpha1.JupicoCredential, error) {
	var resources v1alpha1.JupicoCredentialList
	err := cache.List(ctx, &resources, client.UnsafeDisableDeepCopy)
	return resources.Items, err
}

// The gauges are read from the resources when the metrics are scraped.
var (
	ofResource   = []string{"namespace", "name"}
	ofCredential = []string{"namespace", "name", "credential"}

	acceptedGauge = prometheus.NewDesc("jupico_credential_accepted",
		"1 when the last evidence about what the source holds was an acceptance, 0 when it was a rejection; no sample "+
			"without evidence.", ofCredential, nil)
	lastAcceptedGauge = prometheus.NewDesc("jupico_credential_last_accepted_timestamp_seconds",
		"When the API last accepted what the source holds, in seconds since 1970.", ofCredential, nil)
	activeGauge = prometheus.NewDesc("jupico_active_credential",
		"1 for the credential whose token is in the target.", ofCredential, nil)
	readyGauge = prometheus.NewDesc("jupico_resource_ready",
		"1 when the condition Ready is True, else 0; the reason is the condition's.",
		[]string{"namespace", "name", "reason"}, nil)
	staleGauge = prometheus.NewDesc("jupico_credential_stale",
		"1 when the token in the target was accepted too long ago to be vouched for, else 0.", ofResource, nil)
	failedOverGauge = prometheus.NewDesc("jupico_credential_failed_over",
		"Of a resource with two credentials: 1 when the token of the second is in the target, else 0.", ofResource, nil)
	redundantGauge = prometheus.NewDesc("jupico_credential_redundant",
		"Of a resource with two credentials: 1 when the condition Redundant is True, else 0.", ofResource, nil)
	overdueGauge = prometheus.NewDesc("jupico_overdue_resources",
		"Resources, not suspended, whose next check should have begun more than a minute ago.", nil, nil)
	watchedGauge = prometheus.NewDesc("jupico_namespace_watched",
		"1 while the operator sees what changes in a namespace, 0 while it cannot, for want of rights there; without "+
			"a namespace: in all.", []string{"namespace"}, nil)
	undecodableGauge = prometheus.NewDesc("jupico_resource_undecodable",
		"1 for a resource that is left out, since what is stored of it cannot be decoded.", ofResource, nil)
)

// metrics counts checks as they are made, and reads the state of all resources when it is scraped.
type metrics struct {
	namespaces []*namespace
	clock      clock.PassiveClock
	checks     *prometheus.CounterVec
	durations  prometheus.Histogram
}

func newMetrics(clock clock.PassiveClock, namespaces ...*namespace) *metrics {
	return &metrics{
		namespaces: namespaces, clock: clock,
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jupico_checks_total",
			Help: "Checks of a token, by the environment that it belongs to and by outcome.",
		}, []string{"environment", "outcome"}),
		durations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "jupico_check_duration_seconds",
			Help:    "Time from the request of a check to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 11),
		}),
	}
}

// count counts the checks of a round that were made for the resource itself.
func (m *metrics) count(resource *v1alpha1.JupicoCredential, answers []check.Answer) {
	for _, answer := range answers {
		if answer.Shared {
			continue
		}
		m.checks.WithLabelValues(string(resource.Spec.Environment), string(answer.Outcome)).Inc()
		if answer.Duration > 0 {
			m.durations.Observe(answer.Duration.Seconds())
		}
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(descriptions chan<- *prometheus.Desc) {
	m.checks.Describe(descriptions)
	m.durations.Describe(descriptions)
	for _, gauge := range []*prometheus.Desc{
		acceptedGauge, lastAcceptedGauge, activeGauge, readyGauge, staleGauge, failedOverGauge, redundantGauge, overdueGauge,
		watchedGauge, undecodableGauge,
	} {
		descriptions <- gauge
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(samples chan<- prometheus.Metric) {
	m.checks.Collect(samples)
	m.durations.Collect(samples)
	overdue, isKnown := 0.0, false
	for _, n := range m.namespaces {
		samples <- gauge(watchedGauge, oneIf(n.problem() == ""), n.name)
		for _, name := range n.leftOut() {
			samples <- gauge(undecodableGauge, 1, name.Namespace, name.Name)
		}
		resources, err := list(context.Background(), n.resources)
		if err != nil {
			continue // no samples, rather than those of no resources
		}
		isKnown = true
		overdue += m.collect(resources, samples)
	}
	if isKnown {
		samples <- gauge(overdueGauge, overdue)
	}
}

// collect gives the samples of resources, and returns how many are overdue. Nobody is to act on one that is deleted.
func (m *metrics) collect(resources []v1alpha1.JupicoCredential, samples chan<- prometheus.Metric) float64 {
	now := m.clock.Now()
	overdue := 0.0
	for i := range resources {
		resource := &resources[i]
		if !resource.DeletionTimestamp.IsZero() {
			continue
		}
		overdue += oneIf(isOverdue(resource, overdueGrace, now))
		collect(resource, func(description *prometheus.Desc, value float64, label ...string) {
			samples <- gauge(description, value, append([]string{resource.Namespace, resource.Name}, label...)...)
		})
	}
	return overdue
}

func gauge(description *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
}

// collect gives the samples of a resource. The label is the one beside namespace and name.
func collect(
	resource *v1alpha1.JupicoCredential, sample func(gauge *prometheus.Desc, value float64, label ...string),
) {
	status := &resource.Status
	deployed := status.Deployed
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil {
		sample(readyGauge, oneIf(ready.Status == metav1.ConditionTrue), ready.Reason)
	}
	if redundant := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionRedundant); redundant != nil {
		sample(redundantGauge, oneIf(redundant.Status == metav1.ConditionTrue))
	}
	if credentials := resource.Spec.Credentials; len(credentials) > 1 {
		sample(failedOverGauge, oneIf(deployed != nil && deployed.Credential == credentials[1].Name))
	}
	if deployed != nil {
		accepted := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionCredentialAccepted)
		sample(staleGauge, oneIf(accepted != nil && (accepted.Reason == v1alpha1.ReasonStale ||
			accepted.Reason == v1alpha1.ReasonDeployedUnverifiable)))
		sample(activeGauge, 1, deployed.Credential)
	}
	for i := range status.Credentials {
		entry := &status.Credentials[i]
		if entry.Verdict == v1alpha1.VerdictAccepted || entry.Verdict == v1alpha1.VerdictRejected {
			sample(acceptedGauge, oneIf(entry.Verdict == v1alpha1.VerdictAccepted), entry.Name)
		}
		if entry.LastAcceptedTime != nil {
			sample(lastAcceptedGauge, float64(entry.LastAcceptedTime.Unix()), entry.Name)
		}
	}
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

// isOverdue reports whether a resource's next check, or its first, should have begun longer ago than the grace.
func isOverdue(resource *v1alpha1.JupicoCredential, grace time.Duration, now time.Time) bool {
	dueAt := resource.Status.NextCheckTime
	accepted := meta.FindStatusCondition(resource.Status.Conditions, v1alpha1.ConditionCredentialAccepted)
	switch {
	case resource.Spec.Suspend, !resource.DeletionTimestamp.IsZero():
		return false
	case len(resource.Status.Conditions) == 0: // there was no round yet
		dueAt = &resource.CreationTimestamp
	case accepted != nil && accepted.Reason == v1alpha1.ReasonChecking: // its first check was deferred
		dueAt = &accepted.LastTransitionTime
	}
	return dueAt != nil && now.Sub(dueAt.Time) > grace
}
