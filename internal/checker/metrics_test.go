// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// gather scrapes the metrics.
func (f *fixture) gather() []*dto.MetricFamily {
	f.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(f.checker); err != nil {
		f.t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	return families
}

// sample returns a metric's value for the fixture's endpoint.
func (f *fixture) sample(name string) (float64, bool) {
	f.t.Helper()
	for _, family := range f.gather() {
		for _, metric := range family.GetMetric() {
			label := metric.GetLabel()[0]
			if family.GetName() == name && "https://"+label.GetValue() == f.at.URL && label.GetName() == "endpoint" {
				return metric.GetGauge().GetValue() + metric.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

func (f *fixture) gauge(name string) float64 {
	f.t.Helper()
	value, ok := f.sample(name)
	if !ok {
		f.t.Errorf("there is no %s", name)
	}
	return value
}

func TestMetricsSayWhatTheCheckerDoes(t *testing.T) {
	f := start(t)
	f.use(Options{QPS: 1, Burst: 2, Workers: 16})
	f.ask(check.Request{})
	for range 3 {
		f.ask(check.Request{})
	}
	for _, token := range someTokens(t, 2) {
		f.ask(check.Request{Token: token})
	}
	for name, want := range map[string]float64{
		"jupico_check_waits_total":       2,
		"jupico_shared_checks_total":     3,
		"jupico_checks_waiting":          2,
		"jupico_endpoint_breaker_open":   0,
		"jupico_endpoint_authenticates":  1,
		"jupico_endpoint_mass_rejection": 0,
	} {
		if got := f.gauge(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(f.gather()).Lint()
	if err != nil || len(problems) != 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}

func TestAMetricTellsWhetherTheEndpointAuthenticates(t *testing.T) {
	f := start(t)
	want := func(sentence string, want float64, wantSample bool) {
		t.Helper()
		if got, ok := f.sample("jupico_endpoint_authenticates"); got != want || ok != wantSample {
			t.Errorf("%s: %v, %t", sentence, got, ok)
		}
	}
	f.Inject(jupicotest.Fault{Status: 503, Times: 1})
	f.check(f.at)
	want("before the control said anything", 0, false)
	f.AuthenticateNobody(true)
	f.check(f.at)
	want("when it failed", 0, true)
	f.AuthenticateNobody(false)
	f.check(f.at)
	want("when it passed", 1, true)
	f.advance(day)
	f.AuthenticateNobody(true)
	f.check(f.at)
	want("when it fails later", 0, true)

	// Of two endpoints with one URL, the worse counts.
	f.AuthenticateNobody(false)
	wantResult(t, f.check(endpoint.Endpoint{URL: f.at.URL, CA: f.at.CA + "\n"}), outcome.Accepted, "HTTP 200")
	want("when it passes with other authorities", 0, true)
	f.advance(2*time.Hour + time.Second)
	if _, ok := f.sample("jupico_endpoint_authenticates"); ok {
		t.Error("an endpoint that is forgotten has a sample")
	}
}

func TestTheBreakerOfAnEndpointThatNobodyUsesIsNotOpen(t *testing.T) {
	f := start(t)
	f.Inject(jupicotest.Fault{Status: 429, RetryAfter: "60"})
	f.check(f.at)
	if got := f.gauge("jupico_endpoint_breaker_open"); got != 1 {
		t.Errorf("in the pause, the gauge is %v", got)
	}
	f.advance(2*time.Hour + time.Second)
	if got := f.gauge("jupico_endpoint_breaker_open"); got != 0 {
		t.Errorf("two hours later, the gauge is %v", got)
	}
}

func TestAnEndpointThatNobodyUsesHidesNoOtherInMetrics(t *testing.T) {
	f := start(t)
	f.AuthenticateNobody(true)
	f.check(f.at)
	f.advance(2*time.Hour + time.Second)
	f.AuthenticateNobody(false)
	f.check(endpoint.Endpoint{URL: f.at.URL, CA: f.at.CA + "\n"})
	for range 20 { // whichever comes first
		if got := f.gauge("jupico_endpoint_authenticates"); got != 1 {
			t.Fatalf("the gauge is %v", got)
		}
	}
}

func TestNothingThatIsPrintedHoldsAToken(t *testing.T) {
	f := start(t)
	tokens := f.accepted(3)
	var last check.Answer
	for _, token := range tokens {
		last = f.reject(token, 2)
	}
	printed := fmt.Sprint(f.gather())
	request := check.Request{Endpoint: f.at, Token: tokens[0].Token}
	at, _ := f.checker.find(f.at)
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		printed += fmt.Sprintf(verb, request) + fmt.Sprintf(verb, last) + fmt.Sprintf(verb, f.checker)
	}
	digest := tokens[0].Token.Digest(f.checker.key[:], at.site.label)
	inDecimals := strings.Trim(fmt.Sprintf("%d", digest[:5]), "[]")
	for what, secret := range map[string]string{
		"the token": tokens[0].Token.Reveal(), "a digest": fmt.Sprintf("%x", digest[:4]), "a digest in decimals": inDecimals,
	} {
		if strings.Contains(printed, secret) {
			t.Errorf("%s is in what was printed", what)
		}
	}
}
