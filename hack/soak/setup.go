// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/hack/process"
)

const (
	operatorUser = "operator"
	// startTimeout is long enough for a machine that is busy with other things. Usually it takes seconds.
	startTimeout = 10 * time.Minute
	// killTimeout is how long an API server may take to end. It takes longer than that while it is watched, and so is
	// killed.
	killTimeout = time.Second
)

// soak holds the running processes, what the resources should be, and what was observed.
type soak struct {
	settings

	began  time.Time
	dir    string // holds every file that is written
	random *rand.Rand

	controlPlane       *envtest.Environment
	admin              client.Client
	operatorKubeconfig string
	emulator           *process.Process
	emulatorURL        string
	adminURL           string
	caFile             string

	fleet    []*member
	happened map[string]int // how often, by incident

	mu        sync.Mutex // guards all below
	operator  *operator  // nil while there is none
	calmAfter time.Time  // when the effects of the last disturbance are over
	samples   []sample   // of the operator that runs
}

func newSoak(s settings) *soak {
	return &soak{
		settings: s, began: time.Now(), random: rand.New(rand.NewPCG(s.seed, 1)), //nolint:gosec // it must be repeatable
		happened: map[string]int{},
	}
}

// logf prints a line with the time since the beginning.
func (k *soak) logf(format string, args ...any) {
	fmt.Printf("[%4.0f s] %s\n", time.Since(k.began).Seconds(), fmt.Sprintf(format, args...))
}

func (k *soak) path(name string) string { return filepath.Join(k.dir, name) }

func (k *soak) open(ctx context.Context) error {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		return errors.New("KUBEBUILDER_ASSETS must name the directory of etcd and kube-apiserver: run make soak, which " +
			"sets it")
	}
	for _, path := range []string{k.managerPath, k.emulatorPath, filepath.Join("config", "crd", "bases")} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: run make soak in the root of the repository", err)
		}
	}
	var err error
	if k.dir, err = os.MkdirTemp("", "jupico-soak-"); err != nil {
		return err
	}
	if err := os.Setenv("TMPDIR", k.dir); err != nil { // temporary files of libraries are removed with ours
		return err
	}
	if err := k.startControlPlane(ctx, assets); err != nil {
		return err
	}
	if err := k.startEmulator(ctx); err != nil {
		return err
	}
	return k.startOperator()
}

// close stops every process and removes every file. The operator is stopped first, because it uses the others.
func (k *soak) close() error {
	errs := []error{k.operator.stop(), k.emulator.Stop()}
	if k.controlPlane != nil {
		_ = k.controlPlane.Stop() // an API server that had to be killed is an error to it
	}
	return errors.Join(append(errs, os.RemoveAll(k.dir))...)
}

func (k *soak) printOperatorLog() {
	if k.operator != nil {
		fmt.Printf("\n--- The last lines of the operator's log\n%s", k.operator.Tail(10))
	}
}

func (k *soak) startControlPlane(ctx context.Context, assets string) error {
	existing := false // never use somebody's cluster, whatever the environment says
	k.controlPlane = &envtest.Environment{
		UseExistingCluster:       &existing,
		BinaryAssetsDirectory:    assets,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  killTimeout,
		CRDDirectoryPaths:        []string{filepath.Join("config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
	}
	// In a directory of ours, the certificates stay the same when the API server starts again.
	apiServer := k.controlPlane.ControlPlane.GetAPIServer()
	apiServer.CertDir = k.path("apiserver")
	if err := os.Mkdir(apiServer.CertDir, 0o700); err != nil {
		return err
	}
	config, err := k.controlPlane.Start()
	if err != nil {
		return err
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if k.admin, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return k.addOperatorUser(ctx)
}

// addOperatorUser creates a user for the operator, with exactly the rights that it has in a cluster.
func (k *soak) addOperatorUser(ctx context.Context) error {
	manifest, err := os.ReadFile(filepath.Join("config", "rbac", "role.yaml"))
	if err != nil {
		return err
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(manifest, &role); err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: operatorUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: operatorUser}},
	}
	for _, object := range []client.Object{&role, binding} {
		if err := k.admin.Create(ctx, object); err != nil {
			return err
		}
	}
	user, err := k.controlPlane.AddUser(envtest.User{Name: operatorUser}, nil)
	if err != nil {
		return err
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		return err
	}
	k.operatorKubeconfig = k.path("operator.kubeconfig")
	return os.WriteFile(k.operatorKubeconfig, kubeconfig, 0o600)
}

// restartAPIServer kills the API server and starts it again, with the same address and certificates.
func (k *soak) restartAPIServer(context.Context) error {
	apiServer := k.controlPlane.ControlPlane.APIServer
	_ = apiServer.Stop() // it had to be killed, which is an error to it
	return apiServer.Start()
}

var (
	servingAPI   = regexp.MustCompile(`(?m)^Serving the API on (\S+)$`)
	servingAdmin = regexp.MustCompile(`(?m)^Serving the admin API on (\S+)$`)
)

func (k *soak) startEmulator(ctx context.Context) error {
	k.caFile = k.path("emulator-ca.crt")
	var err error
	k.emulator, err = process.Start("the emulator", k.path("emulator.log"), nil, k.emulatorPath,
		"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--ca-file="+k.caFile)
	if err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true,
		func(context.Context) (bool, error) {
			log := k.emulator.Tail(10)
			api, admin := servingAPI.FindSubmatch(log), servingAdmin.FindSubmatch(log)
			if api == nil || admin == nil {
				return false, k.emulator.Failure()
			}
			k.emulatorURL, k.adminURL = string(api[1]), string(admin[1])
			return true, nil
		})
}

// command sends a command to the emulator's admin API.
func (k *soak) command(ctx context.Context, path, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, k.adminURL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	_, err = fetch(request)
	return err
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	return fetch(request)
}

// fetch returns the body of an answer, which must be 200 OK.
func fetch(request *http.Request) ([]byte, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // the body was read to its end
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %.200s", request.URL, response.Status, body)
	}
	return body, err
}

// operator is the process of the operator.
type operator struct {
	*process.Process

	began    time.Time
	profiles string // base URL
}

// operatorFlags let the operator check more often than by default, so that much happens in little time.
var operatorFlags = []string{
	"--check-qps=300", "--check-burst=300", "--check-timeout=5s",
	"--health-probe-bind-address=0", "--zap-stacktrace-level=panic",
}

// runtimeEnvironment is that of config/manager.
var runtimeEnvironment = []string{"GOMAXPROCS=1", "GOMEMLIMIT=230MiB"}

func (k *soak) startOperator() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	profiles := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	// The operator trusts the emulator's authority as it would Jupico's, so that the resources need no CA reference.
	environment := append([]string{"SSL_CERT_FILE=" + k.caFile}, runtimeEnvironment...)
	p, err := process.Start("the operator", k.path("operator.log"), environment, k.managerPath, append([]string{
		"--kubeconfig=" + k.operatorKubeconfig, "--allowed-endpoint=" + k.emulatorURL, "--pprof-bind-address=" + profiles,
	}, operatorFlags...)...)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.operator = &operator{Process: p, began: time.Now(), profiles: "http://" + profiles}
	k.samples = nil
	return nil
}

// restartOperator kills the operator with SIGKILL, and starts another that remembers nothing.
func (k *soak) restartOperator(context.Context) error {
	k.mu.Lock()
	killed := k.operator
	k.operator = nil
	k.mu.Unlock()
	if err := syscall.Kill(killed.ID(), syscall.SIGKILL); err != nil {
		return err
	}
	<-killed.Exited
	return k.startOperator()
}

func (o *operator) stop() error {
	if o == nil {
		return nil
	}
	return o.Stop()
}
