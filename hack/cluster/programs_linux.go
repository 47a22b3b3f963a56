// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program is a program of the cluster that is built from Go modules.
type program struct {
	name    string
	module  string // directory in this repository
	pkg     string
	tags    string
	usually string // the time that it takes on two cold cores, after the programs above it
}

const kubernetesModule = "hack/controlplane"

var programs = []program{
	{"kube-controller-manager", kubernetesModule, "k8s.io/kubernetes/cmd/kube-controller-manager", "", "1 to 3 min"},
	{"kube-scheduler", kubernetesModule, "k8s.io/kubernetes/cmd/kube-scheduler", "", "20 s"},
	{"kubelet", kubernetesModule, "k8s.io/kubernetes/cmd/kubelet", "", "40 s"},
	{"kube-proxy", kubernetesModule, "k8s.io/kubernetes/cmd/kube-proxy", "", "20 s"},
	{"containerd", containerdModule, containerdCommand + "containerd", containerdTags, "2 to 4 min"},
	{"containerd-shim-runc-v2", containerdModule, containerdCommand + "containerd-shim-runc-v2", containerdTags, "10 s"},
	{"ctr", containerdModule, containerdCommand + "ctr", containerdTags, "10 s"},
	{"ptp", containerdModule, networkPlugins + "main/ptp", "", "5 s"},
	{"loopback", containerdModule, networkPlugins + "main/loopback", "", "2 s"},
	{"host-local", containerdModule, networkPlugins + "ipam/host-local", "", "2 s"},
	{"coredns", "hack/cluster/coredns", ".", "", "2 to 4 min"},
	{"pause", "hack/cluster/pause", ".", "", "1 s"},
}

const (
	containerdModule  = "hack/cluster/node"
	containerdCommand = "github.com/containerd/containerd/v2/cmd/"
	containerdTags    = "no_btrfs,no_devmapper,no_zfs"
	networkPlugins    = "github.com/containernetworking/plugins/plugins/"
)

// build builds every program that is missing or out of date.
func (c *cluster) build() error {
	if err := os.MkdirAll(c.path("bin"), 0o750); err != nil {
		return err
	}
	version, err := output("go", "-C", kubernetesModule, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	if err != nil {
		return err
	}
	if err := c.findControlPlane(version); err != nil {
		return err
	}
	for _, p := range programs {
		if err := c.buildProgram(p, version); err != nil {
			return err
		}
	}
	return nil
}

// findControlPlane finds or builds etcd, kube-apiserver and kubectl.
func (c *cluster) findControlPlane(version string) error {
	cmd := exec.Command("hack/controlplane/ensure.sh")
	cmd.Stderr = os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("the control plane could not be built: %w", err)
	}
	lines := strings.Fields(string(printed))
	c.controlPlane = lines[len(lines)-1]
	// A kubelet must not be newer than its API server.
	got, err := output(filepath.Join(c.controlPlane, "kube-apiserver"), "--version")
	if err != nil {
		return err
	}
	if series := version[:strings.LastIndex(version, ".")+1]; !strings.Contains(got, " "+series) {
		return fmt.Errorf("%s has %s, but the node would have %s: unset KUBEBUILDER_ASSETS", c.controlPlane, got, version)
	}
	return nil
}

func (c *cluster) buildProgram(p program, version string) error {
	file, stamp := c.path("bin", p.name), c.path("bin", "."+p.name+".stamp")
	source, err := fingerprint(p)
	if err != nil {
		return err
	}
	if built, err := os.ReadFile(stamp); err == nil && string(built) == source {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
	}
	err = timed("building "+p.name, p.usually+" on two cold cores", func() error {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags="+p.tags,
			"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion="+version, "-o", file, p.pkg)
		cmd.Dir, cmd.Stderr = p.module, os.Stderr
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		return cmd.Run()
	})
	if err != nil {
		return err
	}
	return os.WriteFile(stamp, []byte(source), 0o600)
}

// fingerprint returns a hash of everything in this repository that the program is built from.
func fingerprint(p program) (string, error) {
	hash := sha256.New()
	_, _ = fmt.Fprintln(hash, p)
	err := fs.WalkDir(os.DirFS(p.module), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(p.module, path))
		_, _ = fmt.Fprintln(hash, path, len(content))
		hash.Write(content)
		return err
	})
	return hex.EncodeToString(hash.Sum(nil)), err
}

// output runs a program, and returns its standard output without surrounding white space.
func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.Bytes())
	}
	return strings.TrimSpace(string(stdout)), err
}
