//go:build e2e

// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

func installManifest(ctx context.Context, manifest string) {
	GinkgoHelper()
	kubectl(ctx, "apply", "--filename="+filepath.Join(root, manifest))
	rolledOut(ctx, operatorNamespace, operatorDeployment)
}

var _ = Describe("Upgraded from the previous manifest", Ordered, func() {
	kept := &resource{namespace: testNamespace, name: "kept", entries: []string{"main"}}
	var app *application
	var target *corev1.Secret

	keepsWorking := func(ctx context.Context, version string, calls int) {
		GinkgoHelper()
		Expect(kept.target(ctx).ResourceVersion).To(Equal(target.ResourceVersion), "nothing changed, so the target must not be written")
		kept.rotate(ctx, "main", version)
		kept.delivers(ctx, kept.token("main", version))
		target = kept.target(ctx)
		app.hasCalled(ctx, calls)
		app.neverRestarted(ctx)
	}

	BeforeAll(func(ctx context.Context) {
		clearInstallation(ctx)
		createNamespace(ctx, testNamespace)
		trustEmulator(ctx, testNamespace)
		installManifest(ctx, "test/e2e/testdata/previous.yaml")
		kept.create(ctx, "Sandbox", "Owner")
		app = startApplication(ctx, testNamespace, "app", kept.targetKey().Name)
		app.hasCalled(ctx, 1)
		target = kept.target(ctx)
	})

	It("keeps resources, targets and pods", func(ctx context.Context) {
		begin := time.Now()
		installManifest(ctx, "dist/install.yaml")
		figure("upgrade, apply to rolled out", "%s", since(begin))
		keepsWorking(ctx, "upgraded", 2)
	})

	It("keeps them in a downgrade too", func(ctx context.Context) {
		installManifest(ctx, "test/e2e/testdata/previous.yaml")
		keepsWorking(ctx, "downgraded", 3)
	})
})

// helm runs helm, which must succeed.
func helm(ctx context.Context, args ...string) {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, os.Getenv("HELM"), args...)
	cmd.Dir = root
	// Helm must not use the user's settings and repositories.
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+helmHome, "HELM_CACHE_HOME="+helmHome, "HELM_DATA_HOME="+helmHome)
	output, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), redact(string(output)))
}

var helmHome string

// useHelm gives helm an empty home until the end of the scenarios.
func useHelm() {
	GinkgoHelper()
	if os.Getenv("HELM") == "" {
		Fail("HELM must name the program: run make e2e")
	}
	helmHome = GinkgoT().TempDir()
}

var _ = Describe("Installed from the Helm chart", Ordered, func() {
	charted := &resource{namespace: testNamespace, name: "charted", entries: []string{"main"}}
	var app *application

	BeforeAll(func(ctx context.Context) {
		useHelm()
		clearInstallation(ctx)
		createNamespace(ctx, testNamespace)
		trustEmulator(ctx, testNamespace)
	})

	It("installs into a namespace with restricted Pod Security", func(ctx context.Context) {
		createNamespace(ctx, operatorNamespace)
		kubectl(ctx, "label", "namespace", operatorNamespace, "pod-security.kubernetes.io/enforce=restricted")
		begin := time.Now()
		helm(ctx, "install", "jupico-operator", "dist/chart", "--namespace="+operatorNamespace, "--wait", "--timeout=120s")
		figure("helm install --wait", "%s", since(begin))
		Expect(operatorPods(ctx)).To(HaveLen(2))
	})

	It("delivers a rotated key to a running pod", func(ctx context.Context) {
		charted.create(ctx, "Sandbox", "Owner")
		app = startApplication(ctx, testNamespace, "app", charted.targetKey().Name)
		app.hasCalled(ctx, 1)
		charted.rotate(ctx, "main", "1")
		app.hasCalled(ctx, 2)
		app.neverRestarted(ctx)
	})

	It("does not write the target when it is upgraded with other values", func(ctx context.Context) {
		before := charted.target(ctx).ResourceVersion
		helm(ctx, "upgrade", "jupico-operator", "dist/chart", "--namespace="+operatorNamespace, "--wait", "--timeout=120s",
			"--reuse-values", "--set=extraArgs={--check-qps=40}")
		pods := operatorPods(ctx)
		Expect(pods).To(HaveLen(2))
		Expect(pods[0].Spec.Containers[0].Args).To(ContainElement("--check-qps=40"))
		charted.requestCheck(ctx)
		charted.becomes(ctx, v1alpha1.ConditionReady, "True", "Accepted")
		Expect(charted.target(ctx).ResourceVersion).To(Equal(before))
	})

	It("keeps the CRD, resources, targets and pods when it is uninstalled", func(ctx context.Context) {
		before := charted.target(ctx).ResourceVersion
		helm(ctx, "uninstall", "jupico-operator", "--namespace="+operatorNamespace, "--wait", "--timeout=120s")
		Expect(operatorPods(ctx)).To(BeEmpty())
		Expect(charted.get(ctx).Name).To(Equal("charted"))
		Expect(charted.target(ctx).ResourceVersion).To(Equal(before))
		app.neverRestarted(ctx)
	})
})

var _ = Describe("Installed for one namespace", Ordered, func() {
	inside := &resource{namespace: shopNamespace, name: "inside", entries: []string{"main"}}
	outside := &resource{namespace: testNamespace, name: "outside", entries: []string{"main"}}

	BeforeAll(func(ctx context.Context) {
		clearInstallation(ctx)
		for _, namespace := range []string{shopNamespace, testNamespace} {
			createNamespace(ctx, namespace)
			trustEmulator(ctx, namespace)
		}
		kubectl(ctx, "apply", "--filename="+filepath.Join(root, "dist", "crds.yaml"))
		kubectl(ctx, "apply", "--kustomize="+filepath.Join(root, "config", "overlays", "namespaced"))
		rolledOut(ctx, operatorNamespace, operatorDeployment)
	})

	It("works only there", func(ctx context.Context) {
		outside.apply(ctx, "Sandbox", "Owner") // first, so that it is the older of the two
		inside.create(ctx, "Sandbox", "Owner")
		Expect(outside.get(ctx).Status.Conditions).To(BeEmpty())
	})

	It("may not read other namespaces", func(ctx context.Context) {
		for namespace, want := range map[string]string{shopNamespace: "yes", testNamespace: "no", operatorNamespace: "no"} {
			for _, verb := range []string{"list", "get", "create"} {
				// kubectl exits with 1 if the answer is no.
				answer, _ := tryKubectl(ctx, "", "--namespace="+namespace, "auth", "can-i", verb, "secrets",
					"--as=system:serviceaccount:"+operatorNamespace+":"+operatorDeployment)
				Expect(strings.TrimSpace(answer)).To(Equal(want), "%s secrets in %s", verb, namespace)
			}
		}
	})
})
