// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// startMargin is how soon after a write a container may start and still have read what was there before: times are
// whole seconds, and a kubelet reads the Secret a little before the container starts. But a pod that waited for the
// Secret starts as soon, and has nothing old.
const startMargin = 5 * time.Second

// workload is what pods belong to that use a target.
type workload struct {
	name string // such as deployment/checkout
	pods int
	// restart counts the pods with a container that read the target once, before it was last written.
	restart int
	// follows: all pods read the target as files of a volume, which change with it.
	follows bool
	mounts  bool // some pod does
	waiting int  // pods that have not started yet
}

// String says in a line whether the workload has the token that was delivered last.
func (w workload) String() string {
	switch {
	case w.restart > 0:
		return fmt.Sprintf("%s: %d of %d pods still have the old token: restart them.", w.name, w.restart, w.pods)
	case w.waiting > 0:
		return fmt.Sprintf("%s: %d of %d pods have not started yet.", w.name, w.waiting, w.pods)
	case w.follows:
		return w.name + ": mounts it, and sees a new token within about a minute."
	default:
		return w.name + ": started after it was last written, and has to be restarted after the next rotation."
	}
}

// findWorkloads groups the pods that use a Secret, which was last written then.
func findWorkloads(pods []corev1.Pod, secret string, written time.Time) []workload {
	found := map[string]*workload{}
	for i := range pods {
		pod := &pods[i]
		mounted, once := usersOf(pod, secret)
		if !mounted && len(once) == 0 || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		name := ownerOf(pod)
		w := found[name]
		if w == nil {
			w = &workload{name: name, follows: true}
			found[name] = w
		}
		w.pods++
		w.follows, w.mounts = w.follows && len(once) == 0, w.mounts || mounted
		switch {
		case hasOld(pod, once, written):
			w.restart++
		case pod.Status.Phase == corev1.PodPending:
			w.waiting++
		}
	}
	var workloads []workload
	for _, name := range slices.Sorted(maps.Keys(found)) {
		workloads = append(workloads, *found[name])
	}
	return workloads
}

// usersOf reports whether a pod mounts a Secret as a volume that changes with it, and names the containers that read it
// only once: from the environment, or mounted with a subPath.
func usersOf(pod *corev1.Pod, secret string) (mounted bool, once []string) {
	volumes := volumesOf(pod, secret)
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		isOnce := isInEnvironment(&c, secret)
		for _, mount := range c.VolumeMounts {
			if !volumes[mount.Name] {
				continue
			}
			if mount.SubPath != "" || mount.SubPathExpr != "" {
				isOnce = true
			} else {
				mounted = true
			}
		}
		if isOnce {
			once = append(once, c.Name)
		}
	}
	return mounted, once
}

// volumesOf names the volumes of a pod that hold a Secret.
func volumesOf(pod *corev1.Pod, secret string) map[string]bool {
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = v.Secret != nil && v.Secret.SecretName == secret ||
			v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
				return s.Secret != nil && s.Secret.Name == secret
			})
	}
	return volumes
}

func isInEnvironment(c *corev1.Container, secret string) bool {
	return slices.ContainsFunc(c.EnvFrom, func(from corev1.EnvFromSource) bool {
		return from.SecretRef != nil && from.SecretRef.Name == secret
	}) || slices.ContainsFunc(c.Env, func(env corev1.EnvVar) bool {
		return env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil && env.ValueFrom.SecretKeyRef.Name == secret
	})
}

// hasOld reports whether one of the containers that read a Secret once may have done so before it was last written. If
// none of them is running, the start of the pod counts. A pod is Pending until all its containers have started.
func hasOld(pod *corev1.Pod, once []string, written time.Time) bool {
	started := ptr.Deref(pod.Status.StartTime, metav1.Time{}).Time
	isRunning := false
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		running := status.State.Running
		if running == nil || !slices.Contains(once, status.Name) {
			continue
		}
		if !isRunning || running.StartedAt.Time.Before(started) {
			started, isRunning = running.StartedAt.Time, true
		}
	}
	return len(once) > 0 && (isRunning || pod.Status.Phase != corev1.PodPending) &&
		started.Before(written)
}

// ownerOf names what a pod belongs to. A ReplicaSet is named as the Deployment that made it.
func ownerOf(pod *corev1.Pod) string {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return "pod/" + pod.Name
	}
	if hash := pod.Labels["pod-template-hash"]; owner.Kind == "ReplicaSet" && hash != "" {
		return "deployment/" + strings.TrimSuffix(owner.Name, "-"+hash)
	}
	return strings.ToLower(owner.Kind) + "/" + owner.Name
}
