//go:build e2e

// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kubectl runs kubectl, which must succeed, and returns its output.
func kubectl(ctx context.Context, args ...string) string {
	GinkgoHelper()
	output, err := tryKubectl(ctx, "", args...)
	Expect(err).NotTo(HaveOccurred())
	return output
}

// apply applies a manifest.
func apply(ctx context.Context, manifest string) {
	GinkgoHelper()
	_, err := tryKubectl(ctx, manifest, "apply", "--filename=-")
	Expect(err).NotTo(HaveOccurred())
}

func tryKubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, kubectlBin, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, redact(stderr.String()))
	}
	return stdout.String(), err
}

func createNamespace(ctx context.Context, name string) {
	GinkgoHelper()
	namespace := &corev1.Namespace{}
	namespace.Name = name
	Expect(client.IgnoreAlreadyExists(k8s.Create(ctx, namespace))).To(Succeed())
}

// rolledOut waits until the deployment is rolled out.
func rolledOut(ctx context.Context, namespace, deployment string) {
	GinkgoHelper()
	kubectl(ctx, "--namespace="+namespace, "rollout", "status", "--timeout=120s", "deployment/"+deployment)
}

// operatorPods returns the operator's pods, without those that are being deleted.
func operatorPods(ctx context.Context) []corev1.Pod {
	GinkgoHelper()
	var list corev1.PodList
	Expect(k8s.List(ctx, &list, client.InNamespace(operatorNamespace),
		client.MatchingLabels{"control-plane": "controller-manager"})).To(Succeed())
	var pods []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp.IsZero() {
			pods = append(pods, pod)
		}
	}
	return pods
}

// leader returns the identity in the lease, and the pod's name, which the identity begins with. The rest of the
// identity is different for each process.
func leader(ctx context.Context) (identity, pod string) {
	GinkgoHelper()
	var lease coordinationv1.Lease
	Expect(k8s.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: leaseName}, &lease)).To(Succeed())
	identity = ptr.Deref(lease.Spec.HolderIdentity, "")
	pod, _, _ = strings.Cut(identity, "_")
	return identity, pod
}

// killer is a pod that can see and kill the processes of the node.
const killer = "killer"

// startKiller starts the killer on a node.
func startKiller(ctx context.Context, node string) {
	GinkgoHelper()
	apply(ctx, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  nodeName: %[3]s
  hostPID: true
  terminationGracePeriodSeconds: 0
  containers:
  - name: client
    image: %[4]s
    imagePullPolicy: IfNotPresent
    args: [sleep]
    securityContext: {privileged: true, runAsUser: 0, runAsGroup: 0}
`, killer, emulatorNamespace, node, clientImage))
	kubectl(ctx, "--namespace="+emulatorNamespace, "wait", "--for=condition=Ready", "--timeout=60s", "pod/"+killer)
}

func stopKiller(ctx context.Context) {
	GinkgoHelper()
	kubectl(ctx, "--namespace="+emulatorNamespace, "delete", "--now", "--ignore-not-found", "pod", killer)
}

// clientIn runs a command of the client program in a pod.
func clientIn(ctx context.Context, namespace, pod string, args ...string) string {
	GinkgoHelper()
	command := append([]string{"--namespace=" + namespace, "exec", pod, "--container=client", "--", clientProgram}, args...)
	return kubectl(ctx, command...)
}

// workingSets returns the working set of each pod in a namespace, in bytes, as the kubelet reports it.
func workingSets(ctx context.Context, namespace string) map[string]float64 {
	GinkgoHelper()
	sets := map[string]float64{}
	var nodes corev1.NodeList
	Expect(k8s.List(ctx, &nodes)).To(Succeed())
	for _, node := range nodes.Items {
		var summary struct {
			Pods []struct {
				PodRef struct{ Name, Namespace string }
				Memory struct{ WorkingSetBytes float64 }
			}
		}
		raw := kubectl(ctx, "get", "--raw=/api/v1/nodes/"+node.Name+"/proxy/stats/summary?only_cpu_and_memory=true")
		Expect(json.Unmarshal([]byte(raw), &summary)).To(Succeed())
		for _, pod := range summary.Pods {
			if pod.PodRef.Namespace == namespace {
				sets[pod.PodRef.Name] = pod.Memory.WorkingSetBytes
			}
		}
	}
	return sets
}

// since formats the time that has passed since begin.
func since(begin time.Time) string { return seconds(time.Since(begin)) }
