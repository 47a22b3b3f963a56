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
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// loop does for each resource what cannot be left out, and nothing else: read the source, ask Jupico, write a target
// and a status as large as the operator's. It keeps no cache, watches nothing and decides nothing.
type loop struct {
	secrets   kubernetes.Interface
	resources dynamic.Interface
	jupico    *http.Client
	url       string
	fleet     *fleet
}

// runLoop runs the loop over a fleet. Its CPU is this process's, which also watches the fleet meanwhile.
func (b *bench) runLoop(ctx context.Context, f *fleet) (synced, error) {
	pem, err := os.ReadFile(b.caFile)
	if err != nil {
		return synced{}, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := rest.CopyConfig(b.loopConfig)
	config.QPS = -1
	l := loop{
		jupico: &http.Client{Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true,
		}},
		url: b.emulatorURL + "/status", fleet: f,
	}
	if l.resources, err = dynamic.NewForConfig(config); err != nil {
		return synced{}, err
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	if l.secrets, err = kubernetes.NewForConfig(config); err != nil {
		return synced{}, err
	}
	began, before := time.Now(), ownCPU()
	err = each(ctx, 0, f.size, l.serve)
	return synced{took: time.Since(began), cpu: ownCPU() - before}, err
}

// ownCPU is what this process has used so far.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // cannot fail for oneself
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

var resources = schema.GroupVersionResource{
	Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: "jupicocredentials",
}

func (l *loop) serve(ctx context.Context, i int) error {
	source, err := l.secrets.CoreV1().Secrets(l.fleet.namespace).Get(ctx, sourceName(i), metav1.GetOptions{})
	if err != nil {
		return err
	}
	login := string(source.Data["username"]) + ":" + string(source.Data["password"])
	basic := base64.StdEncoding.EncodeToString([]byte(login))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Basic "+basic)
	request.Header.Set("Content-Type", "application/json")
	if _, err := fetch(l.jupico, request); err != nil {
		return err
	}
	target, err := l.secrets.CoreV1().Secrets(l.fleet.namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{ // as large as the operator's
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

// usualStatus is what a status mostly says.
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
