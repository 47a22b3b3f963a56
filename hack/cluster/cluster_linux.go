// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	readyTimeout = 2 * time.Minute
	endTimeout   = 30 * time.Second
	pollInterval = 200 * time.Millisecond
)

// cluster is what there is below a directory.
type cluster struct {
	dir          string // "bin" is kept, "state" goes with the cluster
	controlPlane string // the directory of etcd, kube-apiserver and kubectl
}

func (c *cluster) path(names ...string) string {
	return filepath.Join(append([]string{c.dir}, names...)...)
}

// pki is the path of a certificate and its key, without what follows the dot.
func (c *cluster) pki(name string) string { return c.path("state", "pki", name) }

func (c *cluster) kubeconfig() string { return c.path("state", "admin.kubeconfig") }

func (c *cluster) up() error {
	if err := c.checkMachine(); err != nil {
		return err
	}
	if err := installPackages(); err != nil {
		return err
	}
	if err := c.build(); err != nil {
		return err
	}
	if _, running := c.pid(); running {
		if _, err := c.kubectl("get", "--raw=/readyz"); err != nil {
			return fmt.Errorf("it runs, but does not answer; %s tells more, and cluster down ends it: %w",
				c.path("state", "logs"), err)
		}
		fmt.Println("cluster: up already")
	} else if err := timed("starting the cluster", "20 to 60 s", c.begin); err != nil {
		return err
	}
	fmt.Println(c.kubeconfig())
	return nil
}

// begin starts a cluster from nothing.
func (c *cluster) begin() error {
	if err := c.clear(); err != nil { // what a crash of the machine left
		return err
	}
	if hasLink() {
		return fmt.Errorf("there is a device %s: another cluster runs on this machine, and there can be one only", hostLink)
	}
	if err := os.MkdirAll(c.path("state", "logs"), 0o700); err != nil {
		return err
	}
	for _, write := range []func() error{c.writeCertificates, c.writeConfigs, makeCgroups, makeMountPoints} {
		if err := write(); err != nil {
			return err
		}
	}
	if err := c.startSupervisor(); err != nil {
		return err
	}
	err := c.becomeReady()
	if err != nil {
		err = fmt.Errorf("%w; %s tells more", err, c.path("state", "logs"))
	}
	return err
}

func hasLink() bool {
	_, err := os.Stat("/sys/class/net/" + hostLink)
	return err == nil
}

// startSupervisor starts the first process of the cluster, and links its network to the machine's.
func (c *cluster) startSupervisor() error {
	log, err := os.Create(c.path("state", "logs", "supervisor.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("/proc/self/exe", "--dir="+c.dir, superviseCommand)
	cmd.Env = append(os.Environ(), "CONTROL_PLANE="+c.controlPlane)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Setsid: true}
	networkIsThere, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	if err := os.WriteFile(c.path("state", "pid"), []byte(pid), 0o600); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	for _, args := range [][]string{
		{"link", "add", hostLink, "type", "veth", "peer", "name", "eth0", "netns", pid},
		{"address", "add", hostIP + "/30", "dev", hostLink},
		{"link", "set", hostLink, "up"},
	} {
		if err := quiet("ip", args...); err != nil {
			return errors.Join(err, cmd.Process.Kill())
		}
	}
	return networkIsThere.Close()
}

// becomeReady returns once pods run, and names resolve.
func (c *cluster) becomeReady() error {
	if err := c.retry("get", "--raw=/readyz"); err != nil {
		return err
	}
	for image, program := range map[string]string{"localhost/pause:1": "pause", "localhost/coredns:1": "coredns"} {
		archive := c.path("state", program+".tar")
		if err := writeImage(archive, image, c.path("bin", program)); err != nil {
			return err
		}
		if err := c.load(archive); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"apply", "--filename=" + c.path("state", "cluster-dns.yaml")},
		{"wait", "--for=condition=Ready", "node/" + nodeName},
		{"--namespace=kube-system", "rollout", "status", "--timeout=60s", "deployment/coredns"},
	} {
		if err := c.retry(args...); err != nil {
			return err
		}
	}
	return nil
}

// load imports archives of images, so that no registry is needed.
func (c *cluster) load(archives ...string) error {
	pid, running := c.pid()
	if !running {
		return errors.New("no cluster runs: cluster up starts one")
	}
	for _, archive := range archives {
		path, err := filepath.Abs(archive)
		if err != nil {
			return err
		}
		err = quiet("nsenter", "--target="+strconv.Itoa(pid), "--mount", "--net", "--pid", "--",
			c.path("bin", "ctr"), "--namespace=k8s.io", "images", "import", path)
		if err != nil {
			return err
		}
	}
	return nil
}

// down ends the cluster. The kernel removes processes, mounts and devices with the first process.
func (c *cluster) down() error {
	if pid, running := c.pid(); running {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			return err
		}
		err := poll(endTimeout, func() error {
			if _, running := c.pid(); running {
				return fmt.Errorf("process %d is still there", pid)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return c.clear()
}

// exists says whether there is anything of a cluster here, running or not.
func (c *cluster) exists() bool {
	_, err := os.Stat(c.path("state"))
	return err == nil
}

// clear removes what a cluster that has ended leaves.
func (c *cluster) clear() error {
	// The network may outlive its processes for as long as their connections take to time out: minutes.
	if hasLink() && c.exists() {
		if err := quiet("ip", "link", "delete", hostLink); err != nil && hasLink() {
			return err
		}
	}
	// Of a control group, the processes may be on their way out still.
	if err := poll(endTimeout, removeCgroups); err != nil {
		return err
	}
	if err := os.RemoveAll(c.path("state")); err != nil {
		return err
	}
	for dir := range bindMounts {
		// Only if it is empty: else it is the machine's own.
		_ = os.Remove(dir)
	}
	return nil
}

// pid is the first process of the cluster, as the machine numbers it, and whether it runs.
func (c *cluster) pid() (int, bool) {
	content, err := os.ReadFile(c.path("state", "pid"))
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(string(content))
	if err != nil {
		return 0, false
	}
	// The number may be another process's by now.
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return pid, err == nil && strings.HasSuffix(string(line), "--dir="+c.dir+"\x00"+superviseCommand+"\x00")
}

func (c *cluster) kubectl(args ...string) (string, error) {
	return output(filepath.Join(c.controlPlane, "kubectl"), append([]string{"--kubeconfig=" + c.kubeconfig()}, args...)...)
}

// retry runs kubectl until it succeeds: what it asks for may not be there yet.
func (c *cluster) retry(args ...string) error {
	return poll(readyTimeout, func() error {
		_, err := c.kubectl(args...)
		if _, running := c.pid(); err != nil && !running {
			return errEnded
		}
		return err
	})
}

var errEnded = errors.New("the cluster's first process ended")

// poll tries until something succeeds, or can't any more.
func poll(limit time.Duration, try func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil || errors.Is(err, errEnded) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pollInterval)
	}
}

func makeMountPoints() error {
	for dir := range bindMounts {
		//nolint:gosec // As the kubelet and containerd make them.
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// cgroupRoots are the directories below which control groups are made: one, or one for each controller.
func cgroupRoots() ([]string, error) {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		return []string{root}, nil
	}
	roots, err := filepath.Glob(root + "/*/cgroup.procs")
	for i, file := range roots {
		roots[i] = filepath.Dir(file)
	}
	return roots, err
}

func makeCgroups() error {
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := os.MkdirAll(filepath.Join(root, cgroup), 0o750); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups removes the cluster's control groups, the innermost first: a directory of these goes with its files.
func removeCgroups() error {
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	var dirs []string
	for _, root := range roots {
		err := filepath.WalkDir(filepath.Join(root, cgroup), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil // It may have gone meanwhile.
		})
		if err != nil {
			return err
		}
	}
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
