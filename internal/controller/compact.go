// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// intern returns the one copy of a text that all resources share.
func intern(text string) string {
	if text == "" {
		return ""
	}
	return unique.Make(text).Value()
}

func internAll[T ~string](texts ...*T) {
	for _, text := range texts {
		*text = T(intern(string(*text)))
	}
}

// compact makes a resource small that the cache is about to hold: without managed fields, and with texts that most
// resources have in common held once.
func compact(object any) (any, error) {
	resource, isResource := object.(*v1alpha1.JupicoCredential)
	if !isResource {
		return object, nil
	}
	resource.ManagedFields = nil
	internAll(&resource.Namespace, &resource.Kind, &resource.APIVersion)
	internAll(&resource.Spec.Environment)
	if endpoint := resource.Spec.Endpoint; endpoint != nil {
		internAll(&endpoint.URL)
	}
	for i := range resource.Spec.Credentials {
		internAll(&resource.Spec.Credentials[i].Name)
	}
	status := &resource.Status
	for i := range status.Conditions {
		condition := &status.Conditions[i]
		internAll(&condition.Type, &condition.Reason)
		internAll(&condition.Status)
		if condition.Type == v1alpha1.ConditionEndpointAvailable { // the others' messages name what is the resource's own
			internAll(&condition.Message)
		}
	}
	for i := range status.Credentials {
		internAll(&status.Credentials[i].Name)
		internAll(&status.Credentials[i].TokenForm)
		compactRecord(&status.Credentials[i].CheckRecord)
	}
	if deployed := status.Deployed; deployed != nil {
		internAll(&deployed.Credential, &deployed.Endpoint)
		compactRecord(&deployed.CheckRecord)
	}
	if target := status.Target; target != nil {
		if target.Name == resource.Spec.Target.Name {
			target.Name = resource.Spec.Target.Name
		}
		for i := range target.Keys {
			internAll(&target.Keys[i])
		}
	}
	shareTimes(status)
	return resource, nil
}

// shareTimes has equal times, of which a status mostly has two, be one.
func shareTimes(status *v1alpha1.JupicoCredentialStatus) {
	times := []**metav1.Time{&status.LastCheckTime, &status.NextCheckTime}
	for i := range status.Credentials {
		entry := &status.Credentials[i]
		times = append(times, &entry.LastCheckTime, &entry.NextCheckTime, &entry.LastAcceptedTime)
	}
	if status.Deployed != nil {
		times = append(times, &status.Deployed.LastAcceptedTime)
	}
	for i, time := range times {
		for _, earlier := range times[:i] {
			if *time != nil && (*earlier).Equal(*time) {
				*time = *earlier
			}
		}
	}
}

func compactRecord(record *v1alpha1.CheckRecord) {
	internAll(&record.Verdict)
	internAll(&record.Reason)
	if record.LastRejected != nil {
		internAll(&record.LastRejected.Reason)
	}
}
