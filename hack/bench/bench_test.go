// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestCallsAreCountedByVerbAndResource(t *testing.T) {
	exposition := `# TYPE apiserver_request_total counter
apiserver_request_total{code="200",resource="secrets",subresource="",verb="GET"} 3
apiserver_request_total{code="404",resource="secrets",subresource="",verb="GET"} 1
apiserver_request_total{code="200",resource="jupicocredentials",subresource="status",verb="PATCH"} 1.2e+01
apiserver_request_total_other{code="200",resource="secrets",subresource="",verb="GET"} 9
`
	got := calls{}
	err := forEachSample([]byte(exposition), "apiserver_request_total", func(labels map[string]string, value float64) {
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

func TestABucketIsExceededOnlyWhereNoTimesOfTheCountsAllowForThem(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(1_000_000 + int64(ms)) }
	for name, row := range map[string]struct {
		count float64 // a second after the burst
		over  float64
	}{
		"as many as were added":                 {110, 0},
		"as many as the times of counts permit": {113, 0},
		"more than that":                        {115, 2},
	} {
		c := bucketCheck{qps: 10, burst: 100}
		c.add(0, at(0), at(0))
		c.add(100, at(0), at(100))
		c.add(row.count, at(1200), at(1300))
		if c.over != row.over {
			t.Errorf("%s: %v are too many, want %v", name, c.over, row.over)
		}
	}
	idle := bucketCheck{qps: 10, burst: 100}
	idle.add(0, at(0), at(0))
	idle.add(0, at(10_000), at(10_000))
	idle.add(105, at(10_000), at(10_000))
	if idle.over != 5 {
		t.Errorf("after a pause, %v are too many, want 5", idle.over)
	}
}

func TestTheLoopOfChecksPatchesWhatAnUnchangedCheckChanges(t *testing.T) {
	before := usualStatus(&corev1.Secret{}, &corev1.Secret{}, "https://jupico.test")
	now := before.LastCheckTime.Add(time.Hour)
	resource := checkedResource{
		resourceVersion: "7", interval: time.Minute, credentials: slices.Clone(before.Credentials),
	}
	patch, err := resource.statusPatch(now)
	if err != nil {
		t.Fatal(err)
	}

	after := before.DeepCopy()
	checked, next := metav1.NewTime(now), metav1.NewTime(now.Add(time.Minute))
	after.LastCheckTime, after.NextCheckTime = &checked, &next
	after.Deployed.LastAcceptedTime = &checked
	record := &after.Credentials[0].CheckRecord
	record.LastCheckTime, record.NextCheckTime, record.LastAcceptedTime = &checked, &next, &checked
	object := func(version string, status any) []byte {
		content, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": version}, "status": status,
		})
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	want, err := jsonpatch.CreateMergePatch(object("6", before), object("7", after))
	if err != nil || !jsonpatch.Equal(patch, want) {
		t.Errorf("got %s, want %s (%v)", patch, want, err)
	}
}
