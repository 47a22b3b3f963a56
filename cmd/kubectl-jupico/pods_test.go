// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var written = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// pod is one that runs since then.
func pod(started time.Time, changes ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &metav1.Time{Time: started}},
	}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func mounts(subPath string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: "target"},
		}}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "v", SubPath: subPath}}
	}
}

func projects(p *corev1.Pod) {
	p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "target"}},
		}}},
	}}}
	p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "v"}}
}

func readsEnvironment(secret string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{
			SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}},
		}}}
	}
}

func restartedAt(started time.Time) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{
			Running: &corev1.ContainerStateRunning{StartedAt: metav1.Time{Time: started}},
		}}}
	}
}

func phase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

func ofDeployment(p *corev1.Pod) {
	p.Labels = map[string]string{"pod-template-hash": "5d8f"}
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "checkout-5d8f", Controller: new(true)}}
}

func TestAWorkloadHasTheNewTokenOrHasToBeRestarted(t *testing.T) {
	before, after := written.Add(-time.Minute), written.Add(time.Minute)
	for _, row := range []struct {
		sentence string
		pods     []corev1.Pod
		want     string
	}{
		{"a mounted volume follows", []corev1.Pod{pod(before, mounts(""))},
			"pod/app: mounts it, and sees a new token within about a minute."},
		{"a projected volume follows", []corev1.Pod{pod(before, projects)},
			"pod/app: mounts it, and sees a new token within about a minute."},
		{"a subPath does not", []corev1.Pod{pod(before, mounts("token"))},
			"pod/app: 1 of 1 pods still have the old token: restart them."},
		{"an environment does not", []corev1.Pod{pod(before, readsEnvironment("target"))},
			"pod/app: 1 of 1 pods still have the old token: restart them."},
		{"an environment that was read later has it", []corev1.Pod{pod(after, readsEnvironment("target"))},
			"pod/app: started after it was last written, and has to be restarted after the next rotation."},
		{"a container that was restarted has it", []corev1.Pod{pod(before, readsEnvironment("target"), restartedAt(after))},
			"pod/app: started after it was last written, and has to be restarted after the next rotation."},
		{"a container may run before the whole pod does", []corev1.Pod{
			pod(before, readsEnvironment("target"), restartedAt(before), phase(corev1.PodPending)),
		}, "pod/app: 1 of 1 pods still have the old token: restart them."},
		{"a container that does not run yet has read nothing", []corev1.Pod{
			pod(before, readsEnvironment("target"), phase(corev1.PodPending)),
		}, "pod/app: 1 of 1 pods have not started yet."},
		{"pods of a deployment are counted together", []corev1.Pod{
			pod(before, readsEnvironment("target"), ofDeployment), pod(after, readsEnvironment("target"), ofDeployment),
			pod(before, readsEnvironment("target"), ofDeployment),
		}, "deployment/checkout: 2 of 3 pods still have the old token: restart them."},
		{"a pod that waits for it", []corev1.Pod{pod(before, mounts(""), phase(corev1.PodPending))},
			"pod/app: 1 of 1 pods have not started yet."},
		{"a pod that has ended does not count", []corev1.Pod{
			pod(before, readsEnvironment("target"), phase(corev1.PodSucceeded)),
		}, ""},
		{"another Secret does not count", []corev1.Pod{pod(before, readsEnvironment("other"))}, ""},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			got := ""
			for _, w := range findWorkloads(row.pods, "target", written) {
				got += w.String()
			}
			if got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestAWorkloadMountsTheSecretIfAnyOfItsPodsDoes(t *testing.T) {
	after := written.Add(time.Minute)
	reader, mounter := pod(after, readsEnvironment("target"), ofDeployment), pod(after, mounts(""), ofDeployment)
	for _, pods := range [][]corev1.Pod{{reader, mounter}, {mounter, reader}} {
		if got := findWorkloads(pods, "target", written); len(got) != 1 || !got[0].mounts || got[0].follows {
			t.Errorf("got %+v, want one workload that mounts the Secret, though not all its pods follow it", got)
		}
	}
	if got := findWorkloads([]corev1.Pod{reader}, "target", written); len(got) != 1 || got[0].mounts {
		t.Errorf("got %+v, want one workload that does not mount the Secret", got)
	}
}
