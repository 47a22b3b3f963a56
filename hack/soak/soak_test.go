// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"testing"
	"time"
)

// samplesOf makes a sample every ten seconds.
func samplesOf(n int, heap func(i int) float64) []sample {
	var samples []sample
	for i := range n {
		samples = append(samples, sample{at: time.Unix(int64(10*i), 0), heap: heap(i)})
	}
	return samples
}

func TestALineIsFoundWithItsSlopePerHour(t *testing.T) {
	heap := func(s sample) float64 { return s.heap }
	slope, deviation := fit(samplesOf(60, func(i int) float64 { return 20 + 0.1*float64(i) }), heap)
	if math.Abs(slope-36) > 1e-6 || deviation > 1e-6 {
		t.Errorf("0.1 MiB every 10 s are %v ± %v MiB an hour", slope, deviation)
	}
	noise := func(i int) float64 { return float64(i*7919%11-5) / 5 }
	slope, deviation = fit(samplesOf(60, func(i int) float64 { return 20 + noise(i) }), heap)
	if grew(slope, deviation, 1) || deviation < 0.1 {
		t.Errorf("what goes up and down grows by %v ± %v MiB an hour", slope, deviation)
	}
	slope, deviation = fit(samplesOf(60, func(i int) float64 { return 20 + 0.1*float64(i) + noise(i) }), heap)
	if !grew(slope, deviation, 16) {
		t.Errorf("what also goes up and down grows by %v ± %v MiB an hour", slope, deviation)
	}
}
