// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	superviseCommand = "supervise"
	namespaces       = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC
	restartAfter     = time.Second
)

// bindMounts maps each directory that the components write to outside --dir to the directory below state that is
// mounted there.
var bindMounts = map[string]string{
	"/var/lib/kubelet":    "kubelet",
	"/var/lib/containerd": "containerd",
	"/var/lib/cni":        "cni",
	"/var/log/pods":       "pods",
	"/var/log/containers": "containers",
}

func privateDirs() iter.Seq[string] { return maps.Keys(bindMounts) }

// supervise runs as the first process of the cluster's namespaces. It starts the components, and restarts those that
// end. Before that, it waits for the end of its input, which says that the network is ready. SIGTERM ends it and,
// because it is the first process, all other processes too.
func (c *cluster) supervise() error {
	if os.Getpid() != 1 {
		return fmt.Errorf("only up may run %s", superviseCommand)
	}
	c.controlPlane = os.Getenv("CONTROL_PLANE")
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, os.Interrupt)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := c.mount(); err != nil {
		return fmt.Errorf("cannot mount: %w", err)
	}
	if err := configureNetwork(); err != nil {
		return err
	}
	go c.keepRunning()
	<-end
	return nil
}

// mount hides the parts of the machine that the components must not see or write.
func (c *cluster) mount() error {
	// First private, so that no mount reaches the machine. Then shared between the processes of the cluster.
	for _, flags := range []uintptr{syscall.MS_PRIVATE, syscall.MS_SHARED} {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|flags, ""); err != nil {
			return err
		}
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("/run: %w", err)
	}
	for target, name := range bindMounts {
		source := c.path("state", name)
		//nolint:gosec // The kubelet and containerd use this mode too, because users in pods need to pass through.
		if err := os.MkdirAll(source, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(source, target, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
	}
	return nil
}

func configureNetwork() error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", nodeIP + "/30", "dev", "eth0"},
		{"link", "set", "eth0", "up"},
		{"route", "add", "default", "via", hostIP},
	} {
		if err := quiet("ip", args...); err != nil {
			return err
		}
	}
	// The node forwards packets between pods, as in any cluster.
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600)
}

// keepRunning starts the components, and restarts them when they end. It waits for every process, because the first
// process inherits those whose parents have ended, such as those of a deleted pod.
func (c *cluster) keepRunning() {
	running := map[int]component{}
	start := func(one component) {
		pid, err := c.start(one)
		if err != nil {
			fmt.Printf("%s could not be started: %v\n", one.name, err)
			return
		}
		fmt.Printf("%s started\n", one.name)
		running[pid] = one
	}
	for _, one := range c.components() {
		start(one)
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err != nil {
			time.Sleep(restartAfter) // there is no process, or a signal interrupted the call
			continue
		}
		one, known := running[pid]
		if !known {
			continue
		}
		delete(running, pid)
		fmt.Printf("%s ended (%d, signal %d) and will be restarted\n", one.name, status.ExitStatus(), status.Signal())
		time.Sleep(restartAfter)
		start(one)
	}
}

// start starts a component. It does not use os/exec, which would wait for the process itself.
func (c *cluster) start(one component) (int, error) {
	log, err := os.OpenFile(c.path("state", "logs", one.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { _ = log.Close() }()
	// containerd looks for its shim in PATH.
	env := []string{"HOME=/root", "PATH=" + c.path("bin") + string(filepath.ListSeparator) + os.Getenv("PATH")}
	return syscall.ForkExec(one.path, append([]string{one.path}, one.args...), &syscall.ProcAttr{
		Dir: "/", Env: env, Files: []uintptr{0, log.Fd(), log.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
}
