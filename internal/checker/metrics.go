// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what is done, and reads the state of all endpoints when it is scraped.
type metrics struct {
	waits         *prometheus.CounterVec
	shared        *prometheus.CounterVec
	waiting       *prometheus.Desc
	breakerOpen   *prometheus.Desc
	authenticates *prometheus.Desc
	massRejection *prometheus.Desc
}

func newMetrics() *metrics {
	labels := []string{"endpoint"}
	gauge := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, labels, nil) }
	return &metrics{
		waits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jupico_check_waits_total",
			Help: "How often a check was put off, mostly for want of a slot at the endpoint.",
		}, labels),
		shared: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jupico_shared_checks_total",
			Help: "Checks that were answered without a request of their own.",
		}, labels),
		waiting: gauge("jupico_checks_waiting",
			"Tokens that wait for a slot at the endpoint."),
		breakerOpen: gauge("jupico_endpoint_breaker_open",
			"1 while the endpoint fails again and again, and is only asked now and then, else 0."),
		authenticates: gauge("jupico_endpoint_authenticates",
			"1 when the endpoint refused a random token, 0 when it accepted one; no sample before either."),
		massRejection: gauge("jupico_endpoint_mass_rejection",
			"1 while most tokens of the endpoint were rejected together, else 0."),
	}
}

func (m *metrics) answered(label string, answer Answer) {
	switch {
	case !answer.RetryAt.IsZero():
		m.waits.WithLabelValues(label).Inc()
	case answer.Shared:
		m.shared.WithLabelValues(label).Inc()
	}
}

// Describe implements prometheus.Collector.
func (c *Checker) Describe(descriptions chan<- *prometheus.Desc) {
	m := c.metrics
	m.waits.Describe(descriptions)
	m.shared.Describe(descriptions)
	for _, gauge := range []*prometheus.Desc{m.waiting, m.breakerOpen, m.authenticates, m.massRejection} {
		descriptions <- gauge
	}
}

// Collect implements prometheus.Collector. Endpoints that differ in TLS settings alone are one in metrics: the worst of
// them counts.
func (c *Checker) Collect(samples chan<- prometheus.Metric) {
	m := c.metrics
	m.waits.Collect(samples)
	m.shared.Collect(samples)
	states := map[string]*state{}
	for _, at := range c.known() {
		if states[at.label] == nil {
			states[at.label] = &state{}
		}
		states[at.label].add(at)
	}
	for label, s := range states {
		sample := func(gauge *prometheus.Desc, value int) {
			samples <- prometheus.MustNewConstMetric(gauge, prometheus.GaugeValue, float64(value), label)
		}
		sample(m.waiting, s.waiting)
		sample(m.breakerOpen, bit(s.isOpen))
		sample(m.massRejection, bit(s.isMass))
		if s.isPassed || s.isFailed {
			sample(m.authenticates, bit(!s.isFailed))
		}
	}
}

func (c *Checker) known() []*endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetUnused(c.options.Clock.Now())
	return slices.Collect(maps.Values(c.endpoints))
}

// state is what metrics say of the endpoints at one base URL.
type state struct {
	waiting                            int
	isOpen, isMass, isPassed, isFailed bool
}

func (s *state) add(at *endpoint) {
	at.mu.Lock()
	defer at.mu.Unlock()
	now := at.clock.Now()
	s.waiting += at.bucket.waiting(now)
	s.isOpen = s.isOpen || at.breaker.isOpen()
	s.isMass = s.isMass || at.tokens.mass.stands(now)
	s.isPassed = s.isPassed || !at.control.passedAt.IsZero()
	s.isFailed = s.isFailed || at.control.isFailed
}

func bit(is bool) int {
	if is {
		return 1
	}
	return 0
}
