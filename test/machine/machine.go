// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package machine runs the operator beside other programs, for tests: as processes on this machine, with a real
// kube-apiserver and an emulator of Jupico's API.
package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/jupico-operator/jupico-operator/hack/process"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

const (
	// Root is the root of the repository.
	Root = "../.."
	// Soon is long enough for a machine that is busy with other things. Usually it takes seconds.
	Soon = 2 * time.Minute
	// Operator is the user that the operator is.
	Operator = "operator"
)

// Machine has an API server and an emulator that run.
type Machine struct {
	Kubeconfig string // the administrator's
	Emulator   testbed.Emulator

	kubectl            string
	operatorKubeconfig string
}

// New starts the API server with these CRDs, and the emulator, until the end of the test.
func New(t *testing.T, crds ...string) *Machine {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	programs, err := testbed.ControlPlane(Root)
	if err != nil {
		t.Fatal(err)
	}
	existing := false // never use somebody's cluster, whatever the environment says
	controlPlane := &envtest.Environment{
		UseExistingCluster: &existing, BinaryAssetsDirectory: programs, ControlPlaneStartTimeout: Soon,
		CRDDirectoryPaths: crds, ErrorIfCRDPathMissing: true,
	}
	config, err := controlPlane.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = controlPlane.Stop() }) // an API server that had to be killed is an error to it

	directory := t.TempDir()
	m := &Machine{
		kubectl:            filepath.Join(programs, "kubectl"),
		Kubeconfig:         filepath.Join(directory, "kubeconfig"),
		operatorKubeconfig: filepath.Join(directory, "operator.kubeconfig"),
	}
	Write(t, m.Kubeconfig, controlPlane.KubeConfig)
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	if err := testbed.GrantOperatorRole(t.Context(), admin, Root, Operator); err != nil {
		t.Fatal(err)
	}
	if err := testbed.WriteKubeconfig(controlPlane, Operator, m.operatorKubeconfig); err != nil {
		t.Fatal(err)
	}
	m.Emulator, err = testbed.StartEmulator(t.Context(), filepath.Join(Root, "bin", "jupico-emulator"), t.TempDir())
	stopAtTheEnd(t, m.Emulator.Process)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// StartOperator starts the operator with the rights that it is installed with. It trusts the emulator's certificate.
func (m *Machine) StartOperator(t *testing.T, flags ...string) {
	t.Helper()
	flags = append([]string{"--kubeconfig=" + m.operatorKubeconfig, "--health-probe-bind-address=0",
		"--trusted-ca-dir=" + filepath.Dir(m.Emulator.CAFile)}, flags...)
	Start(t, "the operator", nil, filepath.Join(Root, "bin", "manager"), flags...)
}

// Command sends a command to the emulator, such as "/reset".
func (m *Machine) Command(t *testing.T, path, body string) {
	t.Helper()
	if err := m.Emulator.Command(t.Context(), path, body); err != nil {
		t.Fatal(err)
	}
}

// Kubectl runs kubectl as the administrator, and returns its output.
func (m *Machine) Kubectl(t *testing.T, stdin string, arguments ...string) string {
	t.Helper()
	output, err := m.TryKubectl(t, stdin, arguments...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return output
}

// TryKubectl is like Kubectl, and may fail.
func (m *Machine) TryKubectl(t *testing.T, stdin string, arguments ...string) (string, error) {
	t.Helper()
	arguments = append([]string{"--kubeconfig=" + m.Kubeconfig}, arguments...)
	command := exec.CommandContext(t.Context(), m.kubectl, arguments...) //nolint:gosec // a test knows what it runs
	command.Stdin = strings.NewReader(stdin)
	output, err := command.CombinedOutput()
	return string(output), err
}

// Start starts a program that runs until the end of the test. If the test failed, it then shows the end of the log.
func Start(t *testing.T, name string, environment []string, path string, arguments ...string) {
	t.Helper()
	p, err := process.Start(name, filepath.Join(t.TempDir(), "log"), environment, path, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	stopAtTheEnd(t, p)
}

func stopAtTheEnd(t *testing.T, p *process.Process) {
	t.Helper()
	t.Cleanup(func() {
		if err := p.Failure(); err != nil {
			t.Error(err)
		}
		if p != nil && t.Failed() {
			t.Logf("The end of the log of %s:\n%s", p.Name, p.Tail(20))
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// Write writes a file.
func Write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// FreeAddress returns a loopback address that nobody listens on.
func FreeAddress(t *testing.T) string {
	t.Helper()
	address, err := testbed.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
