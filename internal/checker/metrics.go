// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import "github.com/prometheus/client_golang/prometheus"

var labels = []string{"endpoint"}

// The gauges. What they say is read when metrics are scraped.
var (
	waitingGauge = prometheus.NewDesc("jupico_checks_waiting",
		"Tokens that wait for a slot at the endpoint.", labels, nil)
	breakerOpenGauge = prometheus.NewDesc("jupico_endpoint_breaker_open",
		"1 while the endpoint fails or asked for a pause, and is only asked now and then, else 0.", labels, nil)
	authenticatesGauge = prometheus.NewDesc("jupico_endpoint_authenticates",
		"1 when the endpoint refused a random token, 0 when it accepted one; no sample before either.", labels, nil)
	massRejectionGauge = prometheus.NewDesc("jupico_endpoint_mass_rejection",
		"1 while most tokens of the endpoint were rejected together, else 0.", labels, nil)
)

func newCounter(name, help string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// Describe implements prometheus.Collector.
func (c *Checker) Describe(descriptions chan<- *prometheus.Desc) {
	c.waits.Describe(descriptions)
	c.shared.Describe(descriptions)
	for _, gauge := range []*prometheus.Desc{waitingGauge, breakerOpenGauge, authenticatesGauge, massRejectionGauge} {
		descriptions <- gauge
	}
}

// Collect implements prometheus.Collector.
func (c *Checker) Collect(samples chan<- prometheus.Metric) {
	c.waits.Collect(samples)
	c.shared.Collect(samples)
	for s, value := range c.measure() {
		samples <- prometheus.MustNewConstMetric(s.gauge, prometheus.GaugeValue, value, s.endpoint)
	}
}

type sample struct {
	gauge    *prometheus.Desc
	endpoint string
}

// measure returns the values of the gauges. Endpoints that differ only in their authorities are one in metrics, which
// show the worst of them. One that nobody uses any more is no longer bad.
func (c *Checker) measure() map[sample]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.options.Clock.Now()
	values := map[sample]float64{}
	for _, s := range c.sites {
		s.mu.Lock()
		s.forget(now)
		values[sample{waitingGauge, s.label}] = float64(s.bucket.waiting(now))
		breaker, mass := sample{breakerOpenGauge, s.label}, sample{massRejectionGauge, s.label}
		authenticates := sample{authenticatesGauge, s.label}
		values[breaker], values[mass] = 0, 0
		for _, e := range s.endpoints {
			if now.After(e.tokens.inUseUntil) {
				continue
			}
			values[breaker] = bit(s.pause.isOn())
			values[mass] = max(values[mass], bit(e.tokens.mass.isOn(now)))
			if _, isKnown := values[authenticates]; e.control.isFailed || !isKnown && !e.control.refusedAt.IsZero() {
				values[authenticates] = bit(!e.control.isFailed)
			}
		}
		s.mu.Unlock()
	}
	return values
}

func bit(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
