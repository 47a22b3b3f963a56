// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func at(t time.Time) *metav1.Time { return &metav1.Time{Time: t} }

// seen is a resource shop/payments with the credentials first and, maybe, second, and Ready as "status/reason".
func seen(ready string, changes ...func(*v1alpha1.JupicoCredential)) v1alpha1.JupicoCredential {
	r := v1alpha1.JupicoCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments", CreationTimestamp: *at(noon.Add(-time.Hour))},
		Spec:       v1alpha1.JupicoCredentialSpec{Credentials: []v1alpha1.Credential{{Name: "first"}}},
	}
	holds(v1alpha1.ConditionReady, ready)(&r)
	for _, change := range changes {
		change(&r)
	}
	return r
}

func holds(conditionType, state string) func(*v1alpha1.JupicoCredential) {
	return func(r *v1alpha1.JupicoCredential) {
		status, reason, _ := strings.Cut(state, "/")
		meta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{
			Type: conditionType, Status: metav1.ConditionStatus(status), Reason: reason,
		})
	}
}

func deployed(credential string) func(*v1alpha1.JupicoCredential) {
	return func(r *v1alpha1.JupicoCredential) {
		r.Status.Deployed = &v1alpha1.DeployedStatus{Credential: credential}
	}
}

func judged(verdicts ...v1alpha1.Verdict) func(*v1alpha1.JupicoCredential) {
	return func(r *v1alpha1.JupicoCredential) {
		for i, verdict := range verdicts {
			entry := v1alpha1.CredentialStatus{Name: []string{"first", "second"}[i]}
			entry.Verdict = verdict
			r.Status.Credentials = append(r.Status.Credentials, entry)
		}
	}
}

func withSecond(r *v1alpha1.JupicoCredential) {
	r.Spec.Credentials = append(r.Spec.Credentials, v1alpha1.Credential{Name: "second"})
}

func suspended(r *v1alpha1.JupicoCredential) { r.Spec.Suspend = true }

func due(t time.Time) func(*v1alpha1.JupicoCredential) {
	return func(r *v1alpha1.JupicoCredential) { r.Status.NextCheckTime = at(t) }
}

func created(t time.Time) func(*v1alpha1.JupicoCredential) {
	return func(r *v1alpha1.JupicoCredential) { r.Status.Conditions, r.CreationTimestamp = nil, *at(t) }
}

func deleted(r *v1alpha1.JupicoCredential) { r.DeletionTimestamp = at(noon) }

// fakeCache lists its resources, and answers every other read with an error.
type fakeCache struct {
	resources []v1alpha1.JupicoCredential
	listErr   error
	getErr    error
}

func (c *fakeCache) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if c.listErr != nil {
		return c.listErr
	}
	list.(*v1alpha1.JupicoCredentialList).Items = c.resources
	return nil
}

func (c *fakeCache) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return c.getErr
}

func cacheOf(resources ...v1alpha1.JupicoCredential) *fakeCache {
	return &fakeCache{resources: resources}
}

var noCache = &fakeCache{listErr: errors.New("the cache is not started, or stopping")}

// watched is a namespace without any problem.
func watched(resources client.Reader) *namespace {
	return &namespace{name: "shop", resources: resources, isSynced: func() bool { return true }}
}

// scrape returns what a scrape at noon shows of resources, as "name labels value" without the prefix jupico_, sorted.
func scrape(t *testing.T, cache client.Reader) []string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newMetrics(clocktesting.NewFakePassiveClock(noon), watched(cache)))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, family := range families {
		for _, metric := range family.Metric {
			if metric.Gauge == nil {
				continue
			}
			words := []string{strings.TrimPrefix(family.GetName(), "jupico_")}
			for _, label := range metric.Label {
				if name := label.GetName(); name != "namespace" && name != "name" {
					words = append(words, label.GetValue())
				}
			}
			lines = append(lines, fmt.Sprintf("%s %v", strings.Join(words, " "), metric.Gauge.GetValue()))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestAScrapeTellsWhatIsKnownOfAResource(t *testing.T) {
	t.Parallel()
	accepted, rejected, unknown := v1alpha1.VerdictAccepted, v1alpha1.VerdictRejected, v1alpha1.VerdictUnknown
	stale := holds(v1alpha1.ConditionCredentialAccepted, "Unknown/Stale")
	redundant := holds(v1alpha1.ConditionRedundant, "True/BothAccepted")
	single := holds(v1alpha1.ConditionRedundant, "False/Rejected")
	unknowable := holds(v1alpha1.ConditionRedundant, "Unknown/Unreachable")
	unverifiable := holds(v1alpha1.ConditionCredentialAccepted, "Unknown/DeployedUnverifiable")
	for _, row := range []struct {
		sentence string
		resource v1alpha1.JupicoCredential
		want     []string
	}{
		{"nobody looked at it yet", seen("", created(noon)), nil},
		{"the first check is under way", seen("Unknown/Checking", judged(unknown)),
			[]string{"resource_ready Checking 0"}},
		{"never accepted", seen("False/Rejected", judged(rejected)),
			[]string{"credential_accepted first 0", "resource_ready Rejected 0"}},
		{"all is good", seen("True/Accepted", deployed("first"), judged(accepted)),
			[]string{"active_credential first 1", "credential_accepted first 1", "credential_stale 0",
				"resource_ready Accepted 1"}},
		{"stale", seen("True/Stale", deployed("first"), judged(accepted), stale),
			[]string{"active_credential first 1", "credential_accepted first 1", "credential_stale 1",
				"resource_ready Stale 1"}},
		{"stale, and not known any more", seen("False/CandidateRejected", deployed("first"), judged(rejected), unverifiable),
			[]string{"active_credential first 1", "credential_accepted first 0", "credential_stale 1",
				"resource_ready CandidateRejected 0"}},
		{"both are good", seen("True/Accepted", withSecond, redundant, deployed("first"), judged(accepted, accepted)),
			[]string{"active_credential first 1", "credential_accepted first 1", "credential_accepted second 1",
				"credential_failed_over 0", "credential_redundant 1", "credential_stale 0", "resource_ready Accepted 1"}},
		{"the second stands in", seen("True/FailedOver", withSecond, single, deployed("second"), judged(rejected, accepted)),
			[]string{"active_credential second 1", "credential_accepted first 0", "credential_accepted second 1",
				"credential_failed_over 1", "credential_redundant 0", "credential_stale 0", "resource_ready FailedOver 1"}},
		{"the second has no evidence", seen("True/Accepted", withSecond, unknowable, deployed("first"), judged(accepted, unknown)),
			[]string{"active_credential first 1", "credential_accepted first 1", "credential_failed_over 0",
				"credential_redundant 0", "credential_stale 0", "resource_ready Accepted 1"}},
		{"the second was added just now", seen("True/Accepted", withSecond, deployed("first"), judged(accepted)),
			[]string{"active_credential first 1", "credential_accepted first 1", "credential_failed_over 0",
				"credential_stale 0", "resource_ready Accepted 1"}},
		{"the active one left the spec", seen("True/Checking", withSecond, deployed("gone"), judged(unknown, unknown)),
			[]string{"active_credential gone 1", "credential_failed_over 0", "credential_stale 0",
				"resource_ready Checking 1"}},
		{"being deleted, but held by a finalizer of others", seen("True/Accepted", withSecond, redundant, deployed("first"),
			judged(accepted, accepted), stale, deleted, due(noon.Add(-time.Hour))), nil},
		{"two, and none was ever accepted", seen("False/Rejected", withSecond, judged(rejected, rejected)),
			[]string{"credential_accepted first 0", "credential_accepted second 0", "credential_failed_over 0",
				"resource_ready Rejected 0"}},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			want := append(slices.Clone(row.want), "namespace_watched 1", "overdue_resources 0")
			slices.Sort(want)
			if got := scrape(t, cacheOf(row.resource)); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestAScrapeWithoutACacheSaysNothing(t *testing.T) {
	t.Parallel()
	if got := scrape(t, noCache); !slices.Equal(got, []string{"namespace_watched 1"}) {
		t.Errorf("got %q", got)
	}
}

func TestAScrapeCountsWhatIsOverdue(t *testing.T) {
	t.Parallel()
	good := func(changes ...func(*v1alpha1.JupicoCredential)) v1alpha1.JupicoCredential {
		return seen("True/Accepted", changes...)
	}
	for _, row := range []struct {
		sentence string
		resource v1alpha1.JupicoCredential
		overdue  bool
	}{
		{"the next check is to come", good(due(noon.Add(time.Minute))), false},
		{"the next check waits its turn", good(due(noon.Add(-time.Minute))), false},
		{"the next check is overdue", good(due(noon.Add(-time.Minute - time.Second))), true},
		{"no check is planned", seen("False/SourceNotFound"), false},
		{"suspended", seen("True/Suspended", suspended, due(noon.Add(-time.Hour))), false},
		{"being deleted", good(deleted, due(noon.Add(-time.Hour))), false},
		{"new", good(created(noon.Add(-time.Minute))), false},
		{"new, and not looked at for long", good(created(noon.Add(-time.Minute - time.Second))), true},
		{"new, not looked at for long, and suspended", good(created(noon.Add(-time.Hour)), suspended), false},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			other := good(due(noon.Add(time.Minute)))
			other.Name = "other"
			got := scrape(t, cacheOf(other, row.resource))
			if want := fmt.Sprintf("overdue_resources %v", oneIf(row.overdue)); !slices.Contains(got, want) {
				t.Errorf("got\n%s\nwant %s", strings.Join(got, "\n"), want)
			}
		})
	}
}

// fromChecker are the metrics of the package checker.
var fromChecker = []string{
	"jupico_check_waits_total", "jupico_checks_waiting", "jupico_shared_checks_total",
	"jupico_endpoint_authenticates", "jupico_endpoint_breaker_open", "jupico_endpoint_mass_rejection",
}

func TestAlertsAndDocsSpeakOfMetricsThatExist(t *testing.T) {
	t.Parallel()
	descriptions := make(chan *prometheus.Desc, 100)
	newMetrics(clocktesting.NewFakePassiveClock(noon)).Describe(descriptions)
	close(descriptions)
	names := append(slices.Clone(fromChecker), "jupico_build_info") // of the program
	for description := range descriptions {
		names = append(names, regexp.MustCompile(`jupico_\w+`).FindString(description.String()))
	}
	slices.Sort(names)
	mentioned := func(path string) []string {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`\bjupico_\w+`).FindAllString(string(content), -1)
		slices.Sort(found)
		return slices.Compact(found)
	}
	if got := mentioned("../../docs/reference/metrics.md"); !slices.Equal(got, names) {
		t.Errorf("metrics.md speaks of\n%q, and there are\n%q", got, names)
	}
	for _, path := range []string{
		"../../config/components/prometheus-rule/prometheus_rule.yaml", "../../docs/runbooks.md",
	} {
		for _, name := range mentioned(path) {
			if !slices.Contains(names, name) {
				t.Errorf("%s speaks of %s", path, name)
			}
		}
	}
}
