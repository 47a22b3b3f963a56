// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
	"github.com/jupico-operator/jupico-operator/hack/testbed/specs"
)

func TestTheOperatorInTrouble(t *testing.T) {
	specs.Run(t, "The operator in trouble")
}

const operatorUser = "jupico-operator"

var (
	ctx            context.Context
	admin          client.WithWatch // the test's own eyes and hands
	operatorConfig *rest.Config
	mapper         meta.RESTMapper
	endpoints      *endpointServer
	scheme         = runtime.NewScheme()

	seed uint64
	// isFull: all disturbances are tried, and not just a part.
	isFull = os.Getenv("RESILIENCE") == "all"
)

var _ = BeforeSuite(func() {
	seed = rand.Uint64N(1_000_000)
	if given := os.Getenv("RESILIENCE_SEED"); given != "" {
		var err error
		seed, err = strconv.ParseUint(given, 10, 64)
		Expect(err).NotTo(HaveOccurred(), "RESILIENCE_SEED has to be a number")
	}
	fmt.Printf("RESILIENCE_SEED=%d\n", seed)
	Expect(scenarios).NotTo(BeEmpty(), "RESILIENCE_SCENARIO names none")
	var cancel context.CancelFunc
	ctx, cancel = context.WithCancel(context.Background())
	DeferCleanup(func() { cancel() })
	ctrl.SetLogger(logr.Discard())

	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	programs, err := testbed.ControlPlane("../..")
	Expect(err).NotTo(HaveOccurred())
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
		BinaryAssetsDirectory: programs,

		ControlPlaneStartTimeout: 2 * time.Minute, // others may be busy
	}
	environment.ControlPlane.GetAPIServer().Configure().
		Append("enable-admission-plugins", "OwnerReferencesPermissionEnforcement")
	administrator, err := environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)
	administrator.QPS = -1
	admin, err = client.NewWithWatch(administrator, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	user, err := environment.AddUser(envtest.User{Name: operatorUser}, administrator)
	Expect(err).NotTo(HaveOccurred())
	operatorConfig = user.Config()
	operatorConfig.QPS = -1
	http, err := rest.HTTPClientFor(operatorConfig)
	Expect(err).NotTo(HaveOccurred())
	mapper, err = apiutil.NewDynamicRESTMapper(operatorConfig, http)
	Expect(err).NotTo(HaveOccurred())
	Expect(testbed.GrantOperatorRole(ctx, admin, "../..", operatorUser)).To(Succeed())
	endpoints = newEndpointServer()
	DeferCleanup(endpoints.server.Close)
})

var _ = AfterSuite(func() { fmt.Print(summary()) })
