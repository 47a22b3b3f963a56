// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"time"
)

func TestCallsAreCountedByVerbAndResource(t *testing.T) {
	exposition := `# TYPE apiserver_request_total counter
apiserver_request_total{code="200",resource="secrets",subresource="",verb="GET"} 3
apiserver_request_total{code="404",resource="secrets",subresource="",verb="GET"} 1
apiserver_request_total{code="200",resource="jupicocredentials",subresource="status",verb="PATCH"} 1.2e+01
apiserver_request_total_other{code="200",resource="secrets",subresource="",verb="GET"} 9
`
	got := calls{}
	err := samples([]byte(exposition), "apiserver_request_total", func(labels map[string]string, value float64) {
		got[labels["verb"]+" "+labels["resource"]+"/"+labels["subresource"]] += value
	})
	want := calls{"GET secrets/": 4, "PATCH jupicocredentials/status": 12}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v and %v, want %v", got, err, want)
	}
}

func TestReadsAndWritesAreToldApart(t *testing.T) {
	used := calls{"get secrets": 5, "list secrets": 1, "watch secrets": 7, "patch x": 2, "post y": 3}.
		since(calls{"get secrets": 2, "patch x": 2})
	if used.reads() != 4 || used.writes() != 3 {
		t.Errorf("%v: %v reads, %v writes", used, used.reads(), used.writes())
	}
}

func TestARowIsJudgedByItsTarget(t *testing.T) {
	for _, tc := range []struct {
		name, better string
		value        float64
		pass         bool
	}{
		{"sync_ratio_1000", higher, 0.9, true},
		{"sync_ratio_1000", higher, 0.89, false},
		{"calls_per_create", lower, 3.1, true},
		{"calls_per_create", lower, 3.11, false},
		{"reads_per_check", lower, 0, true},
		{"reads_per_check", lower, 0.001, false},
	} {
		b := &bench{}
		b.add(tc.name, tc.value, "", tc.better)
		if got := b.report.passes(); got != tc.pass {
			t.Errorf("%s of %v passes: %t", tc.name, tc.value, got)
		}
	}
	b := &bench{}
	b.add("of no target", 1, "", lower)
	if b.report.Rows[0].Pass != nil || !b.report.passes() {
		t.Error("a row without a target is judged")
	}
}

func TestAPercentileIsOneOfTheValues(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	if median(values) != 3 || percentile(values, 0.99) != 5 || percentile([]float64{7}, 0.99) != 7 {
		t.Errorf("the median is %v, the 99th percentile %v", median(values), percentile(values, 0.99))
	}
}

func TestAPlotIsAPictureOfTheMedians(t *testing.T) {
	var s series
	s.add(point{size: 10_000, rate: 90})
	s.add(point{size: 1_000, rate: 1})
	s.add(point{size: 1_000, rate: 300})
	s.add(point{size: 1_000, rate: 100})
	if got := s.median(1_000, rate); got != 100 {
		t.Errorf("the median of 1, 300 and 100 is %v", got)
	}
	picture := s.draw("Rate", rate)
	if n := strings.Count(picture, "<circle"); n != 2 {
		t.Errorf("it has %d points", n)
	}
	decoder := xml.NewDecoder(strings.NewReader(picture))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestARateIsTooHighWhereNoTimesOfTheCountsAllowForIt(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(1_000_000 + int64(ms)) }
	for name, row := range map[string]struct {
		later float64 // the count of what came after the burst, a second later
		over  float64
	}{
		"as many as were filled in":           {110, 0},
		"as many as the answers' times allow": {113, 0},
		"more than that":                      {115, 2},
	} {
		w := rateWatch{qps: 10, burst: 100}
		w.look(0, at(0), at(0))
		w.look(100, at(0), at(100))
		w.look(row.later, at(1200), at(1300))
		if w.over != row.over {
			t.Errorf("%s: %v are too many, want %v", name, w.over, row.over)
		}
	}
	idle := rateWatch{qps: 10, burst: 100}
	idle.look(0, at(0), at(0))
	idle.look(0, at(10_000), at(10_000))
	idle.look(105, at(10_000), at(10_000))
	if idle.over != 5 {
		t.Errorf("after a rest, %v are too many, want 5", idle.over)
	}
}
