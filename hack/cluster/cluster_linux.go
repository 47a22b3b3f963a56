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

// cluster is a cluster whose files are in a directory.
type cluster struct {
	dir          string // down keeps dir/bin, and removes dir/state
	controlPlane string // the directory of etcd, kube-apiserver and kubectl
}

func (c *cluster) path(names ...string) string {
	return filepath.Join(append([]string{c.dir}, names...)...)
}

// pki returns the path of a certificate and its key, without the extension.
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
			return fmt.Errorf("the cluster runs, but does not answer; see the logs in %s, or stop it with cluster down: %w",
				c.path("state", "logs"), err)
		}
		fmt.Println("cluster: already up")
	} else if err := timed("starting the cluster", "20 to 60 s", c.begin); err != nil {
		return err
	}
	fmt.Println(c.kubeconfig())
	return nil
}

// begin starts a new cluster.
func (c *cluster) begin() error {
	if err := c.clear(); err != nil { // a crash of the machine may have left files
		return err
	}
	if hasLink() {
		return fmt.Errorf("the device %s exists: another cluster runs on this machine, and there can be only one", hostLink)
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
		err = fmt.Errorf("%w; see the logs in %s", err, c.path("state", "logs"))
	}
	return err
}

func hasLink() bool {
	_, err := os.Stat("/sys/class/net/" + hostLink)
	return err == nil
}

// startSupervisor starts the first process of the cluster, and connects its network with that of the machine.
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
	networkReady, err := cmd.StdinPipe()
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
	return networkReady.Close()
}

// becomeReady returns when pods run and names resolve.
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

// load imports archives of images, so that no registry is needed. After NAME=FILE, pods can also ask for NAME@DIGEST.
func (c *cluster) load(archives ...string) error {
	pid, running := c.pid()
	if !running {
		return errors.New("no cluster is running: start one with cluster up")
	}
	for _, archive := range archives {
		arguments := []string{
			"--target=" + strconv.Itoa(pid), "--mount", "--net", "--pid", "--",
			c.path("bin", "ctr"), "--namespace=k8s.io", "images", "import",
		}
		if name, file, found := strings.Cut(archive, "="); found {
			arguments, archive = append(arguments, "--local", "--base-name="+name, "--digests"), file
		}
		path, err := filepath.Abs(archive)
		if err != nil {
			return err
		}
		if err := quiet("nsenter", append(arguments, path)...); err != nil {
			return err
		}
	}
	return nil
}

// down stops the cluster. With the first process, the kernel removes all other processes, mounts and devices.
func (c *cluster) down() error {
	if pid, running := c.pid(); running {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			return err
		}
		err := poll(endTimeout, func() error {
			if _, running := c.pid(); running {
				return fmt.Errorf("process %d is still running", pid)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return c.clear()
}

// exists says whether the directory has a cluster, running or not.
func (c *cluster) exists() bool {
	_, err := os.Stat(c.path("state"))
	return err == nil
}

// clear removes what is left of a stopped cluster.
func (c *cluster) clear() error {
	// The network may outlive its processes by minutes, until their connections time out.
	if hasLink() && c.exists() {
		if err := quiet("ip", "link", "delete", hostLink); err != nil && hasLink() {
			return err
		}
	}
	// A control group can be removed only when its last process has ended.
	if err := poll(endTimeout, removeCgroups); err != nil {
		return err
	}
	if err := os.RemoveAll(c.path("state")); err != nil {
		return err
	}
	for dir := range bindMounts {
		// This fails if the directory is not empty. Then it belongs to the machine.
		_ = os.Remove(dir)
	}
	return nil
}

// pid returns the process ID, on the machine, of the cluster's first process, and whether that process runs.
func (c *cluster) pid() (int, bool) {
	content, err := os.ReadFile(c.path("state", "pid"))
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(string(content))
	if err != nil {
		return 0, false
	}
	// Another process may have this ID by now.
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return pid, err == nil && strings.HasSuffix(string(line), "--dir="+c.dir+"\x00"+superviseCommand+"\x00")
}

func (c *cluster) kubectl(args ...string) (string, error) {
	return output(filepath.Join(c.controlPlane, "kubectl"), append([]string{"--kubeconfig=" + c.kubeconfig()}, args...)...)
}

// retry runs kubectl until it succeeds, because an object may not exist yet.
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

// poll calls try until it succeeds, time is up, or the cluster has ended.
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
		//nolint:gosec // The kubelet and containerd use this mode too.
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// cgroupRoots returns the directories that control groups are made in: one, or one for each controller.
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

// removeCgroups removes the cluster's control groups, the innermost first. The kernel removes the files in them.
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
			return nil // It may be gone by now.
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
