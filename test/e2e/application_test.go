//go:build e2e

// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// application is a pod that mounts a target as the README says, and calls the API with the mounted token.
type application struct {
	namespace, name string
}

// call is one line in the log of an application.
type call struct {
	Number int
	Seen   time.Time
	Status int
	Error  string
}

// startApplication starts an application with the volume from the README. It calls the API once for each token that it
// sees.
func startApplication(ctx context.Context, namespace, name, target string) *application {
	GinkgoHelper()
	return startClient(ctx, namespace, name, target, "app")
}

// startBusyApplication starts one that calls the API all the time. Of its calls, only those have a line whose status is
// not that of the call before.
func startBusyApplication(ctx context.Context, namespace, name, target string) *application {
	GinkgoHelper()
	return startClient(ctx, namespace, name, target, "busy")
}

func startClient(ctx context.Context, namespace, name, target, command string) *application {
	GinkgoHelper()
	var pod corev1.Pod
	Expect(yaml.UnmarshalStrict([]byte(readme().block("## Pods", "yaml")), &pod)).To(Succeed())
	pod.Namespace, pod.Name = namespace, name
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	noGrace := int64(0)
	pod.Spec.TerminationGracePeriodSeconds = &noGrace
	pod.Spec.Volumes[0].Secret.SecretName = target
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "ca", VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: caConfigMap}},
	}})
	container := &pod.Spec.Containers[0]
	container.Image, container.ImagePullPolicy = clientImage, corev1.PullIfNotPresent
	container.Args = []string{command, container.VolumeMounts[0].MountPath, "/ca/ca.crt"}
	container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: "ca", MountPath: "/ca"})
	Expect(k8s.Create(ctx, &pod)).To(Succeed())
	return &application{namespace: namespace, name: name}
}

// calls returns the calls that the application has made.
func (a *application) calls(ctx context.Context) []call {
	stream, err := clientset.CoreV1().Pods(a.namespace).GetLogs(a.name, &corev1.PodLogOptions{}).Stream(ctx)
	if err != nil {
		return nil // It is not running yet, or the API server is down.
	}
	defer stream.Close()
	var calls []call
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		var line call
		Expect(json.NewDecoder(strings.NewReader(lines.Text())).Decode(&line)).To(Succeed(), lines.Text())
		calls = append(calls, line)
	}
	return calls
}

// hasCalled waits until the application has made that many calls and the last one was accepted. It returns the time
// when the application saw the file change for that call.
func (a *application) hasCalled(ctx context.Context, number int) time.Time {
	GinkgoHelper()
	var calls []call
	Eventually(func() int {
		calls = a.calls(ctx)
		return len(calls)
	}).WithContext(ctx).Should(BeNumerically(">=", number))
	last := calls[number-1]
	Expect(last.Error).To(BeEmpty())
	Expect(last.Status).To(Equal(http.StatusOK))
	return last.Seen
}

// neverRestarted checks that the application is still the process that was started.
func (a *application) neverRestarted(ctx context.Context) {
	GinkgoHelper()
	var pod corev1.Pod
	Expect(k8s.Get(ctx, client.ObjectKey{Namespace: a.namespace, Name: a.name}, &pod)).To(Succeed())
	Expect(pod.Status.Phase).To(Equal(corev1.PodRunning))
	Expect(pod.Status.ContainerStatuses[0].RestartCount).To(BeZero())
}
