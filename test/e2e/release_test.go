//go:build e2e

// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// This installs what a user downloads, and nothing else of the repository.
var _ = Describe("Installed from a release", Ordered, func() {
	released := &resource{namespace: testNamespace, name: "released", entries: []string{"main"}}
	var directory, digest string

	// one returns the path of the only file of the release that has such a name.
	one := func(name string) string {
		GinkgoHelper()
		files, err := filepath.Glob(filepath.Join(directory, name))
		Expect(err).NotTo(HaveOccurred())
		Expect(files).To(HaveLen(1))
		return files[0]
	}

	// runsTheImage looks at what the kubelet says, beside what the manifest says.
	runsTheImage := func(ctx context.Context) {
		GinkgoHelper()
		pods := operatorPods(ctx)
		Expect(pods).To(HaveLen(2))
		for _, pod := range pods {
			Expect(pod.Spec.Containers[0].Image).To(HaveSuffix("@" + digest))
			Expect(pod.Status.ContainerStatuses[0].ImageID).To(HaveSuffix("@" + digest))
		}
	}

	BeforeAll(func(ctx context.Context) {
		directory = os.Getenv("E2E_RELEASE")
		if directory == "" {
			Skip("it needs the cluster of hack/cluster, whose node knows the release's image by its digest")
		}
		useHelm()
		content, err := os.ReadFile(filepath.Join(directory, "jupico-operator.digest"))
		Expect(err).NotTo(HaveOccurred())
		digest = strings.TrimSpace(string(content))
		clearInstallation(ctx)
		createNamespace(ctx, testNamespace)
		trustEmulator(ctx, testNamespace)
	})

	It("has the sums that it says", func(ctx context.Context) {
		runCommand(ctx, directory, "sha256sum --check --strict SHA256SUMS")
	})

	It("runs the image that install.yaml names by its digest", func(ctx context.Context) {
		kubectl(ctx, "apply", "--filename="+filepath.Join(directory, "install.yaml"))
		rolledOut(ctx, operatorNamespace, operatorDeployment)
		runsTheImage(ctx)
		released.create(ctx, "Sandbox", "Owner")
	})

	It("has a plugin that sees what was delivered", func(ctx context.Context) {
		unpacked := GinkgoT().TempDir()
		runCommand(ctx, directory, "tar --extract --directory="+unpacked+" --file="+one("kubectl-jupico_*_linux_*.tar.gz"))
		Expect(runCommand(ctx, unpacked, "./kubectl-jupico status released --namespace="+testNamespace)).
			To(ContainSubstring("Ready is True (Accepted)"))
	})

	It("runs the same image from its chart", func(ctx context.Context) {
		kubectl(ctx, "delete", "--filename="+filepath.Join(directory, "operator.yaml"))
		helm(ctx, "install", "jupico-operator", one("jupico-operator-*.tgz"), "--namespace="+operatorNamespace, "--create-namespace",
			"--set=crds.install=false", "--wait", "--timeout=120s")
		runsTheImage(ctx)
		helm(ctx, "uninstall", "jupico-operator", "--namespace="+operatorNamespace, "--wait", "--timeout=120s")
	})
})
