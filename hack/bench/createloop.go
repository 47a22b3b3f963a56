// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

// createLoop does for each new resource what the operator cannot do without: it reads the source, asks Jupico, and
// writes a target and a status that are as large as the operator's. It keeps no cache, watches nothing and decides
// nothing.
type createLoop struct {
	client    *http.Client
	url       string
	secrets   kubernetes.Interface
	resources dynamic.Interface
	fleet     *fleet
}

// runCreateLoop runs the loop over a fleet. It runs in this process, so its CPU includes that of watching the fleet.
func (b *bench) runCreateLoop(ctx context.Context, f *fleet) (syncResult, error) {
	config, err := clientcmd.BuildConfigFromFlags("", b.loopKubeconfig)
	if err != nil {
		return syncResult{}, err
	}
	config.QPS = -1
	l := createLoop{url: b.emulator.URL + "/status", fleet: f}
	if l.client, err = newJupicoClient(b.emulator.CAFile); err != nil {
		return syncResult{}, err
	}
	if l.resources, err = dynamic.NewForConfig(config); err != nil {
		return syncResult{}, err
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	if l.secrets, err = kubernetes.NewForConfig(config); err != nil {
		return syncResult{}, err
	}
	before, err := processCPU(os.Getpid())
	if err != nil {
		return syncResult{}, err
	}
	began := time.Now()
	if err := forEach(ctx, 0, f.size, l.create); err != nil {
		return syncResult{}, err
	}
	took := time.Since(began)
	after, err := processCPU(os.Getpid())
	return syncResult{took: took, cpu: after - before}, err
}

// newJupicoClient returns a client that trusts the emulator and keeps its connections, over HTTP/1.1 as the operator's.
func newJupicoClient(caFile string) (*http.Client, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{
		Timeout: checkTimeout,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: parallelism,
		},
	}, nil
}

// askJupico makes one authenticated GET /status.
func askJupico(ctx context.Context, client *http.Client, url, authorization string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", authorization)
	request.Header.Set("Content-Type", "application/json")
	_, err = testbed.Fetch(client, request)
	return err
}

var resources = schema.GroupVersionResource{
	Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: "jupicocredentials",
}

// create makes one target and the status that tells of it.
func (l *createLoop) create(ctx context.Context, i int) error {
	source, err := l.secrets.CoreV1().Secrets(l.fleet.namespace).Get(ctx, sourceName(i), metav1.GetOptions{})
	if err != nil {
		return err
	}
	login := string(source.Data["username"]) + ":" + string(source.Data["password"])
	basic := base64.StdEncoding.EncodeToString([]byte(login))
	if err := askJupico(ctx, l.client, l.url, "Basic "+basic); err != nil {
		return err
	}
	target, err := l.secrets.CoreV1().Secrets(l.fleet.namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: targetName(i),
			Labels: map[string]string{
				"app.kubernetes.io/managed-by": "a-bare-loop", "app.kubernetes.io/component": "credential",
			},
			Annotations: map[string]string{v1alpha1.AnnotationManagedBy: resourceName(i)},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "v1", Kind: "Secret", Name: source.Name, UID: source.UID,
			}},
		},
		StringData: map[string]string{
			v1alpha1.TargetKeyToken: basic, v1alpha1.TargetKeyAuthorization: "Basic " + basic,
			v1alpha1.TargetKeyURL: l.url,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"status": usualStatus(source, target, l.url)})
	if err != nil {
		return err
	}
	_, err = l.resources.Resource(resources).Namespace(l.fleet.namespace).
		Patch(ctx, resourceName(i), types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// usualStatus is a status as the operator writes it after a first check that was accepted.
func usualStatus(source, target *corev1.Secret, url string) *v1alpha1.JupicoCredentialStatus {
	now := metav1.Now()
	record := v1alpha1.CheckRecord{
		Verdict: v1alpha1.VerdictAccepted, Reason: "Accepted", ConsecutiveAccepted: 1,
		LastCheckTime: &now, NextCheckTime: &now, LastAcceptedTime: &now,
	}
	status := &v1alpha1.JupicoCredentialStatus{
		ObservedGeneration: 1, LastCheckTime: &now, NextCheckTime: &now,
		Deployed: &v1alpha1.DeployedStatus{Credential: "main", Endpoint: url, CheckRecord: v1alpha1.CheckRecord{
			Verdict: v1alpha1.VerdictAccepted, Reason: "Accepted", LastAcceptedTime: &now,
		}},
		Target: &v1alpha1.TargetStatus{
			Name: target.Name, UID: target.UID, ResourceVersion: target.ResourceVersion, ObservedGeneration: 1,
			Keys: []string{"authorization", "token", "url"}, UpdatedTime: &now,
		},
		Credentials: []v1alpha1.CredentialStatus{{
			Name: "main", TokenForm: v1alpha1.TokenFormStandard, CheckRecord: record,
			Source: &v1alpha1.SourceStatus{UID: source.UID, ResourceVersion: source.ResourceVersion},
		}},
	}
	for conditionType, reason := range map[string]string{
		v1alpha1.ConditionReady: "Accepted", v1alpha1.ConditionCredentialAccepted: "Accepted",
		v1alpha1.ConditionSecretSynced: "Synced", v1alpha1.ConditionEndpointAvailable: "Accepted",
	} {
		status.Conditions = append(status.Conditions, metav1.Condition{
			Type: conditionType, Status: metav1.ConditionTrue, Reason: reason, ObservedGeneration: 1,
			LastTransitionTime: now, Message: "A sentence of the usual length, which says what happened and what to do next.",
		})
	}
	return status
}
