// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// oneResource is a cache of one resource, and a transport that takes patches of its status as the API server does.
type oneResource struct {
	client.Client
	b        *testing.B
	resource *v1alpha1.JupicoCredential
}

func (o *oneResource) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	*into.(*v1alpha1.JupicoCredential) = *o.resource
	return nil
}

func (o *oneResource) RoundTrip(request *http.Request) (*http.Response, error) {
	patch, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	patched := o.resource.DeepCopy()
	if err := json.Unmarshal(patch, patched); err != nil {
		return nil, err
	}
	o.resource = patched
	answer, err := json.Marshal(&metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
		ObjectMeta: patched.ObjectMeta,
	})
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(answer)),
	}, err
}

// BenchmarkUnchangedReconcile is a check of which nothing new comes: a request over TLS to the emulator, and a patch.
func BenchmarkUnchangedReconcile(b *testing.B) {
	ca, err := jupicotest.NewCA()
	if err != nil {
		b.Fatal(err)
	}
	emulator := jupicotest.New()
	server := jupicotest.NewServer(emulator, ca)
	b.Cleanup(server.Close)
	emulator.AddAccount("user", "password", jupicotest.Standard)
	allowed, err := jupico.NewAllowList(server.URL)
	if err != nil {
		b.Fatal(err)
	}
	clock := clocktesting.NewFakePassiveClock(time.Now().Truncate(time.Second))
	one := &oneResource{b: b, resource: &v1alpha1.JupicoCredential{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "payments", UID: "resource", Generation: 1, ResourceVersion: "1",
		},
		Spec: v1alpha1.JupicoCredentialSpec{
			Environment: v1alpha1.EnvironmentSandbox,
			Endpoint:    &v1alpha1.Endpoint{URL: server.URL, CABundle: ca.PEM()},
			Credentials: []v1alpha1.Credential{{
				Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: "source"},
			}},
			Target:        v1alpha1.Target{Name: "target"},
			CheckInterval: metav1.Duration{Duration: 5 * time.Minute},
		},
	}}
	objects, err := metadata.NewForConfig(&rest.Config{Host: "https://api.example", Transport: one, QPS: -1})
	if err != nil {
		b.Fatal(err)
	}
	checks := checker.New(allowed, jupico.Config{Timeout: checkTimeout, UserAgent: "bench"},
		checker.Options{QPS: 10_000, Burst: 10_000, Workers: 8, Clock: clock})
	r := &Reconciler{
		cache: one, resources: objects.Resource(v1alpha1.GroupVersion.WithResource("jupicocredentials")),
		secrets: newMentions(nil, indexSecrets, nil, nil), checker: checks, clock: clock,
		metrics: newMetrics(nil, clock), memories: memories{of: map[client.ObjectKey]*memory{}},
	}
	prometheus.NewRegistry().MustRegister(r.metrics.checks)
	r.deliverBefore(b, one.resource)

	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(one.resource)}
	ctx := log.IntoContext(b.Context(), logr.Discard())
	b.ReportAllocs()
	for b.Loop() {
		clock.SetTime(clock.Now().Add(5 * time.Minute))
		before := one.resource.Status.LastCheckTime
		if _, err := r.Reconcile(ctx, request); err != nil {
			b.Fatal(err)
		}
		if one.resource.Status.LastCheckTime.Equal(before) {
			b.Fatal("no check was made")
		}
	}
}

// deliverBefore makes the reconciler know a source and a target as it left them, and the status tell of them.
func (r *Reconciler) deliverBefore(b *testing.B, resource *v1alpha1.JupicoCredential) {
	b.Helper()
	login, _, err := credential.Login([]byte("user"), []byte("password"))
	if err != nil {
		b.Fatal(err)
	}
	source := secretOf("source", "source", 1)
	target := secretOf("target", "target", 2)
	r.secrets.in("shop").saw(source)
	r.secrets.in("shop").saw(target)
	known := r.memories.get(resource)
	entry := known.entry("main")
	entry.source = sourceMemory{secret: "source", ref: glimpseOf(source).ref, generation: 1, credential: login}
	past := metav1.NewTime(r.clock.Now())
	record := v1alpha1.CheckRecord{
		Verdict: v1alpha1.VerdictAccepted, Reason: "Accepted", ConsecutiveAccepted: 1,
		LastCheckTime: &past, NextCheckTime: &past, LastAcceptedTime: &past,
	}
	endpoint := checker.Endpoint{URL: resource.Spec.Endpoint.URL, CA: string(resource.Spec.Endpoint.CABundle)}
	known.deployed = &proof{
		origin: origin{login, "main", v1alpha1.EnvironmentSandbox}, token: login.Token(credential.Standard),
		endpoint: endpoint,
	}
	entry.proven = known.deployed
	resource.Status = v1alpha1.JupicoCredentialStatus{
		ObservedGeneration: 1,
		Deployed: &v1alpha1.DeployedStatus{
			Credential: "main", Endpoint: endpoint.URL, CheckRecord: v1alpha1.CheckRecord{
				Verdict: v1alpha1.VerdictAccepted, Reason: "Accepted", LastAcceptedTime: &past,
			},
		},
		Target: &v1alpha1.TargetStatus{
			Name: "target", UID: "target", ResourceVersion: "2", ObservedGeneration: 1,
			Keys: []string{"authorization", "token", "url"},
		},
		Credentials: []v1alpha1.CredentialStatus{{
			Name: "main", TokenForm: v1alpha1.TokenFormStandard, CheckRecord: record,
			Source: &entry.source.ref,
		}},
		LastCheckTime: &past, NextCheckTime: &past,
	}
}
