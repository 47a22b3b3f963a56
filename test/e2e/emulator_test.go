//go:build e2e

// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	emulatorNamespace = "jupico-e2e"
	emulatorImage     = "jupico-emulator:v0.1.0"
	clientImage       = "jupico-e2e:v0.1.0"
	clientProgram     = "/jupico-e2e"
	sandboxHost       = "sandbox-platform.jupico.com"
	caConfigMap       = "emulator-ca"
)

// emulatorPod is the name of the emulator's pod. emulatorCA is the CA certificate that it made when it started.
var emulatorPod, emulatorCA string

var dnsKey = client.ObjectKey{Namespace: "kube-system", Name: "coredns"}

// rewrite makes the cluster's DNS resolve the sandbox to the emulator.
const rewrite = "    rewrite name exact " + sandboxHost + " emulator." + emulatorNamespace + ".svc.cluster.local\n"

// startEmulator starts the emulator, and makes it answer for the sandbox in the whole cluster.
func startEmulator(ctx context.Context) {
	GinkgoHelper()
	createNamespace(ctx, emulatorNamespace)
	apply(ctx, fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: emulator, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: emulator}}
  template:
    metadata: {labels: {app: emulator}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      terminationGracePeriodSeconds: 0
      containers:
      - name: emulator
        image: %[2]s
        imagePullPolicy: IfNotPresent
        args: ["--listen=:8443", "--admin-listen=127.0.0.1:8081", "--ca-file=/ca/ca.crt"]
        ports: [{name: https, containerPort: 8443}]
        readinessProbe: {tcpSocket: {port: https}, periodSeconds: 1}
        securityContext: &restricted
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
        volumeMounts: [{name: ca, mountPath: /ca}]
      - name: client
        image: %[3]s
        imagePullPolicy: IfNotPresent
        args: [sleep]
        securityContext: *restricted
        volumeMounts: [{name: ca, mountPath: /ca, readOnly: true}]
      volumes:
      - {name: ca, emptyDir: {}}
---
apiVersion: v1
kind: Service
metadata: {name: emulator, namespace: %[1]s}
spec:
  selector: {app: emulator}
  ports: [{name: https, port: 443, targetPort: https}]
`, emulatorNamespace, emulatorImage, clientImage))
	rolledOut(ctx, emulatorNamespace, "emulator")
	var pods corev1.PodList
	Expect(k8s.List(ctx, &pods, client.InNamespace(emulatorNamespace), client.MatchingLabels{"app": "emulator"})).To(Succeed())
	Expect(pods.Items).To(HaveLen(1))
	emulatorPod = pods.Items[0].Name
	emulatorCA = clientIn(ctx, emulatorNamespace, emulatorPod, "cat", "/ca/ca.crt")

	restoreDNS(ctx)
	changeDNS(ctx, func(corefile string) string {
		before, after, found := strings.Cut(corefile, "{\n")
		Expect(found).To(BeTrue(), "the ConfigMap kube-system/coredns must hold a Corefile")
		return before + "{\n" + rewrite + after
	})
}

// restoreDNS removes the rewrite.
func restoreDNS(ctx context.Context) {
	GinkgoHelper()
	changeDNS(ctx, func(corefile string) string { return strings.ReplaceAll(corefile, rewrite, "") })
}

func changeDNS(ctx context.Context, change func(string) string) {
	GinkgoHelper()
	var config corev1.ConfigMap
	Expect(k8s.Get(ctx, dnsKey, &config)).To(Succeed(), "the cluster's DNS must be CoreDNS, as it is with kubeadm, kind and k3s")
	corefile := config.Data["Corefile"]
	if config.Data["Corefile"] = change(corefile); config.Data["Corefile"] == corefile {
		return
	}
	Expect(k8s.Update(ctx, &config)).To(Succeed())
	// A restart is faster than waiting until CoreDNS reads its file again.
	kubectl(ctx, "--namespace=kube-system", "rollout", "restart", "deployment/coredns")
	rolledOut(ctx, "kube-system", "coredns")
}

// sendCommand sends a command to the emulator's admin API. Only the emulator's own pod can reach that API.
func sendCommand(ctx context.Context, path string, body any) {
	GinkgoHelper()
	content, err := json.Marshal(body)
	Expect(err).NotTo(HaveOccurred())
	clientIn(ctx, emulatorNamespace, emulatorPod, "post", "http://127.0.0.1:8081"+path, string(content))
}

type object = map[string]any

// addKey adds a key that the emulator accepts.
func addKey(ctx context.Context, key string) {
	GinkgoHelper()
	secrets = append(secrets, key)
	sendCommand(ctx, "/keys", object{"token": key})
}

// trustEmulator puts a ConfigMap with the emulator's CA into a namespace, for spec.endpoint.caConfigMapRef.
func trustEmulator(ctx context.Context, namespace string) {
	GinkgoHelper()
	config := &corev1.ConfigMap{Data: map[string]string{"ca.crt": emulatorCA}}
	config.Namespace, config.Name = namespace, caConfigMap
	Expect(k8s.Create(ctx, config)).To(Succeed())
}
