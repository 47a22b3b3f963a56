// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/hack/process"
)

const (
	operatorUser = "operator"
	loopUser     = "loop"
	// latency is how long the emulator takes to answer.
	latency      = 20 * time.Millisecond
	startTimeout = time.Minute
	// stopTimeout is longer than the minute that a stopping API server waits for its requests.
	stopTimeout = 90 * time.Second
)

// bench holds the running processes and the results.
type bench struct {
	settings

	began  time.Time
	dir    string // holds every file that is written
	assets string // the directory of etcd, kube-apiserver and kubectl

	controlPlane       *envtest.Environment
	config             *rest.Config // the administrator's
	admin              client.WithWatch
	operatorKubeconfig string
	loopKubeconfig     string
	// runtimeEnvironment is for the operator and for the loop of checks.
	runtimeEnvironment []string

	emulator    *process.Process
	emulatorURL string
	adminURL    string
	caFile      string
	operator    *operator

	report report
	series series
	// fleet is the fleet that one part leaves to the next, or nil.
	fleet *fleet
}

// logf prints a line with the time since the beginning.
func (b *bench) logf(format string, args ...any) {
	fmt.Printf("[%4.0f s] %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// open starts the control plane and the emulator.
func (b *bench) open(ctx context.Context) error {
	b.assets = os.Getenv("KUBEBUILDER_ASSETS")
	if b.assets == "" {
		return errors.New("KUBEBUILDER_ASSETS must name the directory of etcd, kube-apiserver and kubectl: " +
			"run make bench, which sets it")
	}
	for _, path := range []string{b.managerPath, b.emulatorPath, manifest} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: run make bench in the root of the repository", err)
		}
	}
	var err error
	if b.runtimeEnvironment, err = readRuntimeEnvironment(manifest); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "jupico-bench-"); err != nil {
		return err
	}
	if err := os.Setenv("TMPDIR", b.dir); err != nil { // temporary files of libraries are removed with ours
		return err
	}
	b.logf("Starting etcd, kube-apiserver and the emulator")
	if err := b.startControlPlane(ctx); err != nil {
		return err
	}
	return b.startEmulator(ctx)
}

// close stops every process and removes every file. The operator is stopped first, because it uses the others.
func (b *bench) close() error {
	errs := []error{b.stopOperator(), b.emulator.Stop()}
	if b.controlPlane != nil {
		errs = append(errs, b.controlPlane.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// printOperatorLog helps to see why a part failed.
func (b *bench) printOperatorLog() {
	if b.operator != nil {
		fmt.Printf("\n--- The last lines of the operator's log\n%s", b.operator.Tail(30))
	}
}

func (b *bench) startControlPlane(ctx context.Context) error {
	existing := false // never use somebody's cluster, whatever the environment says
	b.controlPlane = &envtest.Environment{
		UseExistingCluster:       &existing,
		BinaryAssetsDirectory:    b.assets,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
		CRDDirectoryPaths:        []string{filepath.Join("config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
	}
	b.controlPlane.ControlPlane.Etcd = &envtest.Etcd{}
	b.controlPlane.ControlPlane.Etcd.Configure().Set("quota-backend-bytes", "6442450944")
	// By default, the API server deletes the objects of a collection one after the other.
	b.controlPlane.ControlPlane.GetAPIServer().Configure().Set("delete-collection-workers", strconv.Itoa(parallelism))
	config, err := b.controlPlane.Start()
	if err != nil {
		return err
	}
	config.QPS = -1
	b.config = config
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if b.admin, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return b.addUsers(ctx)
}

// addUsers creates a user for the operator, with exactly the rights that it has in a cluster. The loops get a user of
// their own, so that the API server's Priority and Fairness treats them like the operator.
func (b *bench) addUsers(ctx context.Context) error {
	manifest, err := os.ReadFile(filepath.Join("config", "rbac", "role.yaml"))
	if err != nil {
		return err
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(manifest, &role); err != nil {
		return err
	}
	if err := b.admin.Create(ctx, &role); err != nil {
		return err
	}
	for user, role := range map[string]string{operatorUser: role.Name, loopUser: "cluster-admin"} {
		err := b.admin.Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "bench-" + user},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		})
		if err != nil {
			return err
		}
	}
	if b.operatorKubeconfig, err = b.addUser(operatorUser); err != nil {
		return err
	}
	b.loopKubeconfig, err = b.addUser(loopUser)
	return err
}

// addUser returns the path of the new user's kubeconfig.
func (b *bench) addUser(name string) (string, error) {
	user, err := b.controlPlane.AddUser(envtest.User{Name: name}, nil)
	if err != nil {
		return "", err
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		return "", err
	}
	path := b.path(name + ".kubeconfig")
	return path, os.WriteFile(path, kubeconfig, 0o600)
}

var (
	servingAPI   = regexp.MustCompile(`(?m)^Serving the API on (\S+)$`)
	servingAdmin = regexp.MustCompile(`(?m)^Serving the admin API on (\S+)$`)
)

func (b *bench) startEmulator(ctx context.Context) error {
	b.caFile = b.path("emulator-ca.crt")
	var err error
	b.emulator, err = process.Start("the emulator", b.path("emulator.log"), nil, b.emulatorPath,
		"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--ca-file="+b.caFile)
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true,
		func(context.Context) (bool, error) {
			log := b.emulator.Tail(10)
			api, admin := servingAPI.FindSubmatch(log), servingAdmin.FindSubmatch(log)
			if api == nil || admin == nil {
				return false, b.emulator.Failure()
			}
			b.emulatorURL, b.adminURL = string(api[1]), string(admin[1])
			return true, nil
		})
	if err != nil {
		return err
	}
	return b.acceptTokens(ctx)
}

// acceptTokens makes the emulator accept the tokens of its accounts.
func (b *bench) acceptTokens(ctx context.Context) error {
	return b.postAdmin(ctx, "/fault", fmt.Sprintf(`{"latency":%q}`, latency))
}

// rejectTokens makes the emulator reject every token.
func (b *bench) rejectTokens(ctx context.Context) error {
	return b.postAdmin(ctx, "/fault", fmt.Sprintf(`{"latency":%q,"status":401,"code":"auth_invalid_api_token"}`, latency))
}

// postAdmin sends a command to the emulator's admin API.
func (b *bench) postAdmin(ctx context.Context, command, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.adminURL+command, strings.NewReader(body))
	if err != nil {
		return err
	}
	_, err = fetch(plainClient, request)
	return err
}

// plainClient keeps a connection for each of the requests that are made in parallel.
var plainClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: parallelism}}

// fetch returns the body of an answer, which must be 200 OK.
func fetch(client *http.Client, request *http.Request) ([]byte, error) {
	response, err := client.Do(request)
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

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	return fetch(plainClient, request)
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
