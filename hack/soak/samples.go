// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	eventsv1 "k8s.io/api/events/v1"

	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

const (
	samplePeriod = 10 * time.Second
	// warmUp is how long after its start the operator's memory grows by what it learns: it has checked all resources
	// once.
	warmUp = time.Minute
	// leastSamples make a slope.
	leastSamples = 6
)

// sample is what the operator used at one time.
type sample struct {
	at          time.Time
	heap        float64 // MiB that are in use after a garbage collection
	goroutines  float64
	connections float64
}

// quantity is one of those that must not grow. With 2,000 resources there are 240,000 checks an hour. The bounds are
// what one goroutine or connection in 1,600 checks, or 70 bytes in each, would make. The heap does grow a little, as
// the operator remembers the tokens of former passwords for two days. And client-go remembers each event for 6 to 12
// minutes, to count it if it comes again.
type quantity struct {
	name     string
	unit     string
	bound    float64 // how much more there may be after an hour
	perEvent float64 // how much more there may be for each event
	of       func(sample) float64
}

var quantities = []quantity{
	{"heap", "MiB", 16, 2. / 1024, func(s sample) float64 { return s.heap }},
	{"goroutines", "", 150, 0, func(s sample) float64 { return s.goroutines }},
	{"connections", "", 150, 0, func(s sample) float64 { return s.connections }},
}

// eventMemory is how long client-go remembers an event at most.
const eventMemory = 12 * time.Minute

// sample takes samples until the context ends.
func (k *soak) sample(ctx context.Context) {
	for pause(ctx, samplePeriod) == nil {
		k.mu.Lock()
		o, isCalm := k.operator, time.Now().After(k.calmAfter)
		k.mu.Unlock()
		if o == nil || time.Since(o.began) < warmUp || !isCalm {
			continue
		}
		s, err := o.sample(ctx)
		k.mu.Lock()
		// What began during the sample may have spoilt it.
		if err == nil && o == k.operator && time.Now().After(k.calmAfter) {
			k.samples = append(k.samples, s)
			k.logf("heap %.2f MiB, %.0f goroutines, %.0f connections", s.heap, s.goroutines, s.connections)
		}
		k.mu.Unlock()
	}
}

func (k *soak) countSamples() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.samples)
}

var (
	heapAlloc      = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)
	goroutineTotal = regexp.MustCompile(`^goroutine profile: total (\d+)\n`)
)

func (o *operator) sample(ctx context.Context) (s sample, err error) {
	s.at = time.Now()
	s.heap = math.MaxFloat64
	for range 3 { // the least of several, because work goes on meanwhile
		bytes, err := o.profile(ctx, "heap?gc=1&debug=1", heapAlloc)
		if err != nil {
			return s, err
		}
		s.heap = min(s.heap, bytes/(1<<20))
	}
	if s.goroutines, err = o.profile(ctx, "goroutine?debug=1", goroutineTotal); err != nil {
		return s, err
	}
	s.connections, err = o.countConnections()
	return s, err
}

// profile returns a number from one of the operator's profiles.
func (o *operator) profile(ctx context.Context, name string, number *regexp.Regexp) (float64, error) {
	profile, err := testbed.Get(ctx, o.profiles+"/debug/pprof/"+name)
	if err != nil {
		return 0, err
	}
	match := number.FindSubmatch(profile)
	if match == nil {
		return 0, errors.New("the profile lacks what is looked for: " + name)
	}
	return strconv.ParseFloat(string(match[1]), 64)
}

func (o *operator) countConnections() (n float64, err error) {
	directory := fmt.Sprintf("/proc/%d/fd", o.ID())
	descriptors, err := os.ReadDir(directory)
	if err != nil {
		return 0, err
	}
	for _, descriptor := range descriptors {
		// One that was closed meanwhile is none.
		if target, _ := os.Readlink(directory + "/" + descriptor.Name()); strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n, nil
}

// judge prints how the quantities developed, and fails if one grew beyond its bound.
func (k *soak) judge(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(k.happened)) {
		fmt.Printf("%5d times: %s\n", k.happened[name], name)
	}
	if len(k.samples) < leastSamples {
		return fmt.Errorf("there are %d undisturbed samples, which are too few: let it run longer", len(k.samples))
	}
	first, last := k.samples[0], k.samples[len(k.samples)-1]
	fmt.Printf("%d samples in %.0f s, from %.0f s after the last start of the operator:\n", len(k.samples),
		last.at.Sub(first.at).Seconds(), first.at.Sub(k.operator.began).Seconds())
	events, err := k.countEvents(ctx, first.at, last.at)
	if err != nil {
		return err
	}
	fmt.Printf("%d events in that time\n", events)
	var errs []error
	for _, q := range quantities {
		slope, deviation := fit(k.samples, q.of)
		q.bound += q.perEvent * float64(events) / last.at.Sub(first.at).Hours()
		fmt.Printf("%-12s from %.1f to %.1f %s, slope %+.1f ± %.1f per hour, bound %.0f\n", q.name, q.of(first), q.of(last),
			q.unit, slope, deviation, q.bound)
		if grew(slope, deviation, q.bound) {
			errs = append(errs, fmt.Errorf("the %s grew by %.1f per hour, more than %.0f", q.name, slope, q.bound))
		}
	}
	return errors.Join(errs...)
}

// countEvents counts those that the operator recorded between two times and may still remember at the second one.
func (k *soak) countEvents(ctx context.Context, from, to time.Time) (n int, err error) {
	if atMost := to.Add(-eventMemory); from.Before(atMost) {
		from = atMost
	}
	var events eventsv1.EventList
	if err := k.admin.List(ctx, &events); err != nil {
		return 0, err
	}
	for i := range events.Items {
		if at := events.Items[i].EventTime.Time; at.After(from) && at.Before(to) {
			n++
		}
	}
	return n, nil
}

// grew reports whether a slope is beyond a bound. Only what chance does not explain counts: two standard deviations.
func grew(slope, deviation, bound float64) bool { return slope-2*deviation > bound }

// fit returns the slope of the line of least squares through the samples, per hour, and its standard deviation.
func fit(samples []sample, of func(sample) float64) (slope, deviation float64) {
	n := float64(len(samples))
	hours := func(s sample) float64 { return s.at.Sub(samples[0].at).Hours() }
	var meanX, meanY, squaresX, products, residuals float64
	for _, s := range samples {
		meanX += hours(s) / n
		meanY += of(s) / n
	}
	for _, s := range samples {
		squaresX += (hours(s) - meanX) * (hours(s) - meanX)
		products += (hours(s) - meanX) * (of(s) - meanY)
	}
	slope = products / squaresX
	for _, s := range samples {
		residual := of(s) - meanY - slope*(hours(s)-meanX)
		residuals += residual * residual
	}
	return slope, math.Sqrt(residuals / (n - 2) / squaresX)
}
