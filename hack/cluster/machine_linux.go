// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

const alternative = "; or point KUBECONFIG at a cluster of your own (kind, k3d, any)"

// packages are the Debian packages of the programs that are not built here.
var packages = map[string]string{
	"runc":    "runc", // with seccomp, which needs a C library
	"nft":     "nftables",
	"ip":      "iproute2",
	"nsenter": "util-linux",
}

// checkMachine returns an error if the cluster cannot run here. It comes before anything is built or written.
func (c *cluster) checkMachine() error {
	if os.Geteuid() != 0 {
		return errors.New("a node needs root: run this with sudo" + alternative)
	}
	// The node's processes cannot see these directories: others are mounted over them.
	for _, hidden := range append(slices.Collect(privateDirs()), "/run", "/proc", "/sys", "/dev") {
		if strings.HasPrefix(c.dir+"/", hidden+"/") {
			return fmt.Errorf("%s must not be below %s: choose another --dir", c.dir, hidden)
		}
	}
	probe := exec.Command("/proc/self/exe", "--help") // any short run will do
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if err := probe.Run(); err != nil {
		return fmt.Errorf("cannot make namespaces here (%w): that needs the capability CAP_SYS_ADMIN, "+
			"as in a privileged container%s", err, alternative)
	}
	if _, err := os.Stat("/sys/fs/cgroup"); err != nil {
		return fmt.Errorf("there are no control groups here: %w%s", err, alternative)
	}
	return nil
}

// installPackages installs the packages that are missing.
func installPackages() error {
	var missing []string
	for program, pkg := range packages {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("these packages are missing: %s; install them%s", strings.Join(missing, ", "), alternative)
	}
	return timed("Installing "+strings.Join(missing, ", "), "10 to 30 s", func() error {
		install := append([]string{"install", "--yes", "--no-install-recommends"}, missing...)
		if quiet("apt-get", install...) == nil {
			return nil
		}
		// The lists of packages may be missing or out of date.
		if err := quiet("apt-get", "update"); err != nil {
			return err
		}
		return quiet("apt-get", install...)
	})
}

// quiet runs a program, and shows its output only if it fails.
func quiet(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, output)
	}
	return nil
}

// timed runs something slow, and prints how long it usually takes and how long it took.
func timed(what, usually string, do func() error) error {
	fmt.Printf("cluster: %s (usually %s) ...\n", what, usually)
	begin := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Printf("cluster: %s took %.0f s\n", what, time.Since(begin).Seconds())
	return nil
}
