//go:build e2e

// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

const (
	shopNamespace = "shop" // the namespace in the README
	testNamespace = "jupico-e2e-apps"
	rotations     = 20
)

// namespaces are the namespaces that scenarios make.
var namespaces = []string{shopNamespace, testNamespace}

var _ = Describe("Installed from dist/install.yaml", Ordered, func() {
	rotated := &resource{namespace: testNamespace, name: "rotated", entries: []string{"main"}}
	pair := &resource{namespace: testNamespace, name: "pair", entries: []string{"first", "second"}}
	var app, pairApp *application

	BeforeAll(clearInstallation)

	It("installs as the README says", func(ctx context.Context) {
		begin := time.Now()
		install := strings.TrimSpace(readme().block("## Install on a cluster", "sh"))
		for command := range strings.SplitSeq(install, "\n") {
			runCommand(ctx, root, command)
		}
		figure("kubectl apply to the operator's rollout", "%s", since(begin))
		Expect(operatorPods(ctx)).To(HaveLen(2))
		for _, pod := range operatorPods(ctx) {
			Expect(pod.Status.ContainerStatuses[0].RestartCount).To(BeZero())
		}
	})

	It("makes the README's first resource ready with the README's commands", func(ctx context.Context) {
		// The emulator answers for the sandbox, so the operator's pods must trust its CA.
		trustEmulatorInOperator(ctx)
		directory := GinkgoT().TempDir()
		manifest := readme().block("## A first resource", "yaml")
		Expect(os.WriteFile(filepath.Join(directory, "first.yaml"), []byte(manifest), 0o600)).To(Succeed())
		begin := time.Now()
		runConsole(ctx, directory, readme().block("## A first resource", "console"))
		figure("the README's first resource, all commands", "%s", since(begin))
	})

	It("starts the README's pod, which calls the API with the mounted token", func(ctx context.Context) {
		trustEmulator(ctx, shopNamespace)
		shop := startApplication(ctx, shopNamespace, "app", "payments-jupico")
		shop.hasCalled(ctx, 1)
	})

	It("reports a reset of the sandbox, and its end", func(ctx context.Context) {
		payments := &resource{namespace: shopNamespace, name: "payments"}
		before := payments.target(ctx).ResourceVersion
		sendCommand(ctx, "/wipe", nil)
		payments.requestCheck(ctx)
		begin := time.Now()
		payments.becomes(ctx, v1alpha1.ConditionReady, "False", v1alpha1.ReasonSandboxReset)
		figure("check request to SandboxReset", "%s", since(begin))
		Expect(payments.target(ctx).ResourceVersion).To(Equal(before), "a rejection must not change the target")
		sendCommand(ctx, "/reset", nil)
		payments.requestCheck(ctx)
		payments.becomes(ctx, v1alpha1.ConditionReady, "True", "Accepted")
	})

	It("delivers 20 rotations to a running pod without a restart", func(ctx context.Context) {
		kubectl(ctx, "--namespace="+operatorNamespace, "rollout", "undo", "deployment/"+operatorDeployment)
		rolledOut(ctx, operatorNamespace, operatorDeployment)
		createNamespace(ctx, testNamespace)
		trustEmulator(ctx, testNamespace)
		rotated.create(ctx, "Sandbox", "Owner")
		app = startApplication(ctx, testNamespace, "app", rotated.targetKey().Name)
		app.hasCalled(ctx, 1)
		var toTarget, toPod []time.Duration
		for i := 1; i <= rotations; i++ {
			begin := rotated.rotate(ctx, "main", strconv.Itoa(i))
			rotated.delivers(ctx, rotated.token("main", strconv.Itoa(i)))
			toTarget = append(toTarget, time.Since(begin))
			seen := app.hasCalled(ctx, 1+i)
			toPod = append(toPod, seen.Sub(begin))
		}
		app.neverRestarted(ctx)
		slices.Sort(toTarget)
		slices.Sort(toPod)
		figure("rotation, source edited to target written: median, maximum of 20", "%s, %s",
			seconds((toTarget[9]+toTarget[10])/2), seconds(toTarget[19]))
		figure("rotation, source edited to file in the running pod: median, maximum", "%s, %s (the kubelet syncs "+
			"every 1 to 1.5 s in hack/cluster, and every 60 to 90 s by default)",
			seconds((toPod[9]+toPod[10])/2), seconds(toPod[19]))
	}, NodeTimeout(40*time.Minute)) // in case the kubelet syncs only every 90 s

	It("reports Revoked when a key is revoked, and keeps the target", func(ctx context.Context) {
		key := rotated.token("main", strconv.Itoa(rotations))
		before := rotated.target(ctx).ResourceVersion
		sendCommand(ctx, "/revoke", object{"name": key})
		rotated.requestCheck(ctx)
		rotated.becomes(ctx, v1alpha1.ConditionReady, "False", v1alpha1.ReasonRevoked)
		Expect(rotated.target(ctx).ResourceVersion).To(Equal(before))
		sendCommand(ctx, "/restore", object{"name": key})
		rotated.requestCheck(ctx)
		rotated.becomes(ctx, v1alpha1.ConditionReady, "True", "Accepted")
	})

	It("fails over to the standby key when the first one is revoked", func(ctx context.Context) {
		pair.create(ctx, "Sandbox", "Orphan")
		pair.becomes(ctx, v1alpha1.ConditionRedundant, "True", v1alpha1.ReasonBothAccepted)
		pairApp = startApplication(ctx, testNamespace, "pair-app", pair.targetKey().Name)
		pairApp.hasCalled(ctx, 1)
		sendCommand(ctx, "/revoke", object{"name": pair.token("first", "0")})
		begin := time.Now()
		pair.requestCheck(ctx)
		pair.becomes(ctx, v1alpha1.ConditionReady, "True", v1alpha1.ReasonFailedOver)
		pair.delivers(ctx, pair.token("second", "0"))
		figure("revocation to the standby key in the target (confirmed in 2 to 5 s)", "%s", since(begin))
		seen := pairApp.hasCalled(ctx, 2)
		figure("revocation to the standby key in the running pod", "%s", seconds(seen.Sub(begin)))
	})

	It("rotates a key with the plugin, and a pod that calls all the time is never refused", func(ctx context.Context) {
		planned := &resource{namespace: testNamespace, name: "planned", entries: []string{"old"}}
		planned.create(ctx, "Sandbox", "Owner")
		busy := startBusyApplication(ctx, testNamespace, "busy", planned.targetKey().Name)
		busy.hasCalled(ctx, 1)
		addKey(ctx, planned.token("new", "0"))
		planned.writeSource(ctx, "new", planned.token("new", "0"))
		rotate := []string{"jupico", "rotate", planned.name, "-n", testNamespace, "--to-secret=planned-new", "--yes"}

		begin := time.Now()
		Expect(kubectl(ctx, rotate...)).To(ContainSubstring("You may now revoke the credential of Secret planned-old"))
		figure("rotation with the plugin, until it says that the old key may be revoked", "%s", since(begin))
		sendCommand(ctx, "/revoke", object{"name": planned.token("old", "0")})
		Expect(kubectl(ctx, rotate...)).To(ContainSubstring("The rotation is done"))
		Expect(planned.get(ctx).Spec.Credentials).To(HaveLen(1))
		Consistently(func() []call { return busy.calls(ctx) }, "3s").Should(HaveLen(1)) // of hundreds of calls
		busy.hasCalled(ctx, 1)
		busy.neverRestarted(ctx)
	})

	It("corrects drift", func(ctx context.Context) {
		want := rotated.target(ctx)
		token := string(want.Data["token"])
		changed := want.DeepCopy()
		changed.Data["token"] = []byte("somebody's")
		begin := time.Now()
		Expect(k8s.Update(ctx, changed)).To(Succeed())
		rotated.delivers(ctx, token)
		figure("drift, edited to corrected", "%s", since(begin))
		begin = time.Now()
		Expect(k8s.Delete(ctx, rotated.target(ctx))).To(Succeed())
		rotated.delivers(ctx, token)
		figure("drift, deleted to created again", "%s", since(begin))
	})

	It("serves metrics only to clients that may read them", func(ctx context.Context) {
		Expect(scrape(ctx, "nobody", false)).To(HavePrefix("401\n"))
		Expect(scrape(ctx, "nobody", true)).To(HavePrefix("403\n"))
		kubectl(ctx, "create", "clusterrolebinding", metricsBinding, "--clusterrole=jupico-operator-metrics-reader",
			"--serviceaccount="+testNamespace+":scraper")
		Expect(scrape(ctx, "scraper", true)).To(And(HavePrefix("200\n"), ContainSubstring("jupico_"),
			ContainSubstring("leader_election_master_status{"))) // the dashboard shows it
	})

	It("lets editors create resources, viewers read them, and others neither", func(ctx context.Context) {
		for _, role := range []string{"edit", "admin", "view"} {
			kubectl(ctx, "--namespace="+testNamespace, "create", "rolebinding", "role-"+role, "--clusterrole="+role,
				"--serviceaccount="+testNamespace+":role-"+role)
		}
		for _, test := range []struct{ role, verb, resource, want string }{
			{"edit", "create", "jupicocredentials.credentials.jupico.dev", "yes"},
			{"admin", "delete", "jupicocredentials.credentials.jupico.dev", "yes"},
			{"view", "list", "jupicocredentials.credentials.jupico.dev", "yes"},
			{"view", "create", "jupicocredentials.credentials.jupico.dev", "no"},
			{"view", "get", "secrets", "no"},
			{"", "list", "jupicocredentials.credentials.jupico.dev", "no"},
			{"", "get", "secrets", "no"},
		} {
			user := "role-" + test.role
			// kubectl exits with 1 if the answer is no.
			answer, _ := tryKubectl(ctx, "", "--namespace="+testNamespace, "auth", "can-i", test.verb, test.resource,
				"--as=system:serviceaccount:"+testNamespace+":"+user)
			Expect(strings.TrimSpace(answer)).To(Equal(test.want), "%s %s %s", test.role, test.verb, test.resource)
		}
	})

	It("gets a new leader within 20 s after the old one is killed, and loses nothing", func(ctx context.Context) {
		identity, podName := leader(ctx)
		var pod corev1.Pod
		Expect(k8s.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: podName}, &pod)).To(Succeed())
		startKiller(ctx, pod.Spec.NodeName)
		begin := time.Now()
		Expect(clientIn(ctx, emulatorNamespace, killer, "signal", "9", operatorProgram, string(pod.UID))).To(Equal("1\n"))
		// The new leader must handle what happens while there is no leader.
		rotated.rotate(ctx, "main", "led")
		rotated.delivers(ctx, rotated.token("main", "led"))
		figure("leader's SIGKILL to the next one's first reconcile", "%s", since(begin))
		Expect(time.Since(begin)).To(BeNumerically("<", 20*time.Second))
		next, _ := leader(ctx)
		Expect(next).NotTo(Equal(identity))
		app.hasCalled(ctx, 2+rotations)
		app.neverRestarted(ctx)
		rotated.becomes(ctx, v1alpha1.ConditionReady, "True", "Accepted")
		pair.becomes(ctx, v1alpha1.ConditionReady, "True", v1alpha1.ReasonFailedOver)
	})

	It("continues after the API server is killed", func(ctx context.Context) {
		before := rotated.get(ctx)
		if clientIn(ctx, emulatorNamespace, killer, "signal", "0", "kube-apiserver") == "0\n" {
			Skip("the API server is not a process on this node")
		}
		begin := time.Now()
		_, err := tryKubectl(ctx, "", "--namespace="+emulatorNamespace, "exec", killer, "--", clientProgram,
			"signal", "9", "kube-apiserver")
		Expect(err).To(HaveOccurred(), "the connection goes through the API server")
		Eventually(func() error {
			_, err := tryKubectl(ctx, "", "get", "--raw=/readyz")
			return err
		}).WithContext(ctx).Should(Succeed())
		figure("API server's SIGKILL to ready again", "%s", since(begin))
		stopKiller(ctx)
		begin = rotated.rotate(ctx, "main", "restarted")
		rotated.delivers(ctx, rotated.token("main", "restarted"))
		figure("rotation after that, source edited to target written", "%s", since(begin))
		app.hasCalled(ctx, 3+rotations)
		app.neverRestarted(ctx)
		Expect(rotated.get(ctx).UID).To(Equal(before.UID))
	})

	It("lets only one of its pods be evicted at a time, and continues", func(ctx context.Context) {
		rolledOut(ctx, operatorNamespace, operatorDeployment)
		pods := operatorPods(ctx)
		Expect(pods).To(HaveLen(2))
		Expect(evict(ctx, pods[0])).To(Succeed())
		Expect(apierrors.IsTooManyRequests(evict(ctx, pods[1]))).To(BeTrue(), "the PodDisruptionBudget forbids the second")
		begin := time.Now()
		Eventually(func() error { return evict(ctx, pods[1]) }).WithContext(ctx).Should(Succeed())
		figure("first eviction to the second one allowed", "%s", since(begin))
		rotated.rotate(ctx, "main", "evicted")
		rotated.delivers(ctx, rotated.token("main", "evicted"))
		figure("both pods evicted, and a rotation delivered", "%s", since(begin))
		rolledOut(ctx, operatorNamespace, operatorDeployment)
	})

	It("needs little memory and a small image", func(ctx context.Context) {
		var largest float64
		// The kubelet measures about every 10 s.
		Eventually(func(g Gomega) {
			sets := workingSets(ctx, operatorNamespace)
			for _, pod := range operatorPods(ctx) {
				g.Expect(sets[pod.Name]).To(BeNumerically(">", 1<<20), pod.Name)
				largest = max(largest, sets[pod.Name])
			}
		}).WithContext(ctx).Should(Succeed())
		figure("working set of the larger operator pod, three resources", "%.1f MiB", largest/(1<<20))
		Expect(largest).To(BeNumerically("<", 40<<20))

		var nodes corev1.NodeList
		Expect(k8s.List(ctx, &nodes)).To(Succeed())
		for _, image := range nodes.Items[0].Status.Images {
			if slices.ContainsFunc(image.Names, func(name string) bool { return strings.HasSuffix(name, "/jupico-operator:v0.1.0") }) {
				figure("operator image, as the node counts it", "%.1f MB", float64(image.SizeBytes)/1e6)
				Expect(image.SizeBytes).To(BeNumerically("<", 60e6))
			}
		}
	})

	It("saves no credential when a scenario fails", func(ctx context.Context) {
		planted := rotated.token("main", "evicted")
		kubectl(ctx, "--namespace="+testNamespace, "create", "configmap", "leaky",
			"--from-literal=token="+planted, "--from-literal=login=V8m!xP#l2Qz3")
		kubectl(ctx, "--namespace="+testNamespace, "annotate", "jcred", "rotated",
			"leaky="+base64.StdEncoding.EncodeToString([]byte("Basic "+planted)))
		directory := GinkgoT().TempDir()
		saved := saveDiagnostics(ctx, directory)
		files, err := os.ReadDir(directory)
		Expect(err).NotTo(HaveOccurred())
		for _, file := range files {
			content, err := os.ReadFile(filepath.Join(directory, file.Name()))
			Expect(err).NotTo(HaveOccurred())
			saved += string(content)
		}
		for _, secret := range secrets {
			for _, form := range encodings(secret) {
				Expect(strings.Contains(saved, form)).To(BeFalse()) // a matcher would print the credential
			}
		}
		Expect(saved).To(And(ContainSubstring("leaky: <redacted>"), ContainSubstring("login: <redacted>")))
	})

	It("keeps resources, targets and pods when it is uninstalled", func(ctx context.Context) {
		target := rotated.target(ctx)
		kubectl(ctx, "delete", "--filename="+filepath.Join(root, "dist", "operator.yaml"))
		Expect(rotated.get(ctx).Name).To(Equal("rotated"))
		Expect(rotated.target(ctx).ResourceVersion).To(Equal(target.ResourceVersion))
		app.neverRestarted(ctx)
	})

	It("removes owned targets, and keeps orphans, when the CRD is removed", func(ctx context.Context) {
		before := pair.target(ctx)
		kubectl(ctx, "delete", "--filename="+filepath.Join(root, "dist", "crds.yaml"))
		Eventually(func() bool {
			return apierrors.IsNotFound(k8s.Get(ctx, rotated.targetKey(), &corev1.Secret{}))
		}).WithContext(ctx).Should(BeTrue())
		Expect(pair.target(ctx).Data).To(Equal(before.Data))
	})
})

// trustEmulatorInOperator makes the emulator's CA a system CA in the operator's pods.
func trustEmulatorInOperator(ctx context.Context) {
	GinkgoHelper()
	trustEmulator(ctx, operatorNamespace)
	patch := fmt.Sprintf(`{"spec": {"template": {"spec": {
		"volumes": [{"name": "e2e", "configMap": {"name": %q}}],
		"containers": [{"name": "manager",
			"env": [{"name": "SSL_CERT_FILE", "value": "/e2e/ca.crt"}],
			"volumeMounts": [{"name": "e2e", "mountPath": "/e2e"}]}]}}}}`, caConfigMap)
	kubectl(ctx, "--namespace="+operatorNamespace, "patch", "deployment", operatorDeployment, "--patch="+patch)
	rolledOut(ctx, operatorNamespace, operatorDeployment)
}

// operatorProgram is the entry point of the operator's image.
const operatorProgram = "jupico-operator"

const metricsBinding = "jupico-e2e-metrics"

// scrape gets the metrics in a pod that runs as a service account, with or without the account's token.
func scrape(ctx context.Context, account string, withToken bool) string {
	GinkgoHelper()
	token := ""
	if withToken {
		token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
	}
	_, err := tryKubectl(ctx, "", "--namespace="+testNamespace, "get", "pod", account)
	if err != nil {
		apply(ctx, fmt.Sprintf(`
apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s, namespace: %[2]s}
---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  serviceAccountName: %[1]s
  terminationGracePeriodSeconds: 0
  containers:
  - {name: client, image: "%[3]s", imagePullPolicy: IfNotPresent, args: [sleep]}
`, account, testNamespace, clientImage))
		kubectl(ctx, "--namespace="+testNamespace, "wait", "--for=condition=Ready", "--timeout=60s", "pod/"+account)
	}
	return clientIn(ctx, testNamespace, account, "get",
		"https://jupico-operator-controller-manager-metrics-service."+operatorNamespace+".svc:8443/metrics", token)
}

func evict(ctx context.Context, pod corev1.Pod) error {
	return clientset.PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
	})
}
