//go:build e2e

// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/hack/testbed/specs"
)

const (
	operatorNamespace  = "jupico-operator-system"
	operatorDeployment = "jupico-operator-controller-manager"
	leaseName          = "jupico-operator.credentials.jupico.dev"

	// eventuallyTimeout is generous: what the tests wait for takes seconds on an idle machine.
	eventuallyTimeout = 2 * time.Minute
)

var (
	root       string // of the repository
	kubectlBin string
	k8s        client.Client
	clientset  *kubernetes.Clientset
)

func TestTheOperatorInACluster(t *testing.T) {
	SetDefaultEventuallyTimeout(eventuallyTimeout)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	EnforceDefaultTimeoutsWhenUsingContexts()
	specs.Run(t, "The operator in a cluster")
}

var _ = BeforeSuite(func(ctx context.Context) {
	ctrl.SetLogger(zap.New(zap.WriteTo(GinkgoWriter)))
	var err error
	root, err = filepath.Abs("../..")
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Getenv("KUBECONFIG")).NotTo(BeEmpty(), "KUBECONFIG must say which cluster to use: run make e2e")
	kubectlBin = os.Getenv("KUBECTL")
	if kubectlBin == "" {
		kubectlBin = "kubectl"
	}
	kubectlBin, err = exec.LookPath(kubectlBin)
	Expect(err).NotTo(HaveOccurred(), "kubectl must be in PATH, or named by KUBECTL")

	config, err := ctrl.GetConfig()
	Expect(err).NotTo(HaveOccurred())
	config.QPS = -1
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	k8s, err = client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	clientset, err = kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	version, err := clientset.Discovery().ServerVersion()
	Expect(err).NotTo(HaveOccurred())
	figure("Kubernetes", "%s at %s", version.GitVersion, config.Host)

	refuseForeignInstallation(ctx)
	clearCluster(ctx)
	startEmulator(ctx)
}, NodeTimeout(5*time.Minute))

// After a failure the installation stays, so that somebody can look at it.
var _ = AfterSuite(func(ctx context.Context) {
	if emulatorPod == "" {
		return
	}
	restoreDNS(ctx)
	if !failed {
		clearCluster(ctx)
	}
}, NodeTimeout(5*time.Minute))

// failed says whether any scenario has failed.
var failed bool

var _ = AfterEach(func() { failed = failed || CurrentSpecReport().Failed() })

// refuseForeignInstallation fails if somebody has installed the operator, because the tests would remove it.
func refuseForeignInstallation(ctx context.Context) {
	GinkgoHelper()
	err := k8s.Get(ctx, client.ObjectKey{Name: operatorNamespace}, &corev1.Namespace{})
	if apierrors.IsNotFound(err) {
		return
	}
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Getenv("E2E_REPLACE")).To(Equal("1"), "the operator is already installed in this cluster, and these "+
		"tests would remove it, with every JupicoCredential: set E2E_REPLACE=1 to allow that")
}

// clearCluster removes everything that this or an earlier run of the tests has made.
func clearCluster(ctx context.Context) {
	GinkgoHelper()
	clearInstallation(ctx)
	kubectl(ctx, "delete", "--ignore-not-found", "namespace", emulatorNamespace)
}

// clearInstallation removes everything except the emulator, before a set of scenarios.
func clearInstallation(ctx context.Context) {
	GinkgoHelper()
	deletion := append([]string{"delete", "--ignore-not-found", "namespace"}, namespaces...)
	kubectl(ctx, append(deletion, "--wait=false")...) // they are deleted while the rest is
	kubectl(ctx, "delete", "--ignore-not-found", "clusterrolebinding", metricsBinding)
	// The other installations use the same names.
	kubectl(ctx, "delete", "--ignore-not-found", "--filename="+filepath.Join(root, "dist", "install.yaml"))
	kubectl(ctx, deletion...)
}

var figures []string

// figure prints a measurement now, and again at the end.
func figure(name, format string, args ...any) {
	line := fmt.Sprintf("%-66s %s", name, fmt.Sprintf(format, args...))
	figures = append(figures, line)
	_, _ = fmt.Fprintln(os.Stdout, "      "+line)
}

// seconds formats a duration.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

var _ = ReportAfterSuite("figures", func(report Report) {
	var scenarios []string
	for _, spec := range report.SpecReports.WithLeafNodeType(types.NodeTypeIt) {
		scenarios = append(scenarios, fmt.Sprintf("%-8s %5.1f s  %s", spec.State, spec.RunTime.Seconds(), spec.LeafNodeText))
	}
	_, _ = fmt.Printf("\nScenarios\n  %s\n\nFigures\n  %s\n\nNot tested: an enforced NetworkPolicy. Not every network plugin "+
		"enforces one, and that of hack/cluster does not.\n", strings.Join(scenarios, "\n  "), strings.Join(figures, "\n  "))
})
