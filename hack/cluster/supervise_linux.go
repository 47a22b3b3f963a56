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

// bindMounts are what the components write outside of --dir, and where it is written in truth.
var bindMounts = map[string]string{
	"/var/lib/kubelet":    "kubelet",
	"/var/lib/containerd": "containerd",
	"/var/lib/cni":        "cni",
	"/var/log/pods":       "pods",
	"/var/log/containers": "containers",
}

func privateDirs() iter.Seq[string] { return maps.Keys(bindMounts) }

// supervise is the first process of the cluster's namespaces. It runs the components, and starts those again that end.
// It waits for the end of its input, which says that the network is there. SIGTERM ends it and, as it is the first
// process, everything else.
func (c *cluster) supervise() error {
	if os.Getpid() != 1 {
		return fmt.Errorf("%s is for up alone", superviseCommand)
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
	if err := raiseNetwork(); err != nil {
		return err
	}
	go c.keepRunning()
	<-end
	return nil
}

// mount hides what the components must not see or write.
func (c *cluster) mount() error {
	// Private first, so that nothing reaches the machine; then shared among those within.
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
		//nolint:gosec // As the kubelet and containerd make them, for users within pods to pass through.
		if err := os.MkdirAll(source, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(source, target, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
	}
	return nil
}

func raiseNetwork() error {
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
	// As elsewhere: it is the node that passes packets on between pods.
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600)
}

// keepRunning starts the components, and starts them again when they end. It waits for every process: those whose
// parents are gone, as after a pod, are the first process's.
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
			time.Sleep(restartAfter) // none is left, or a signal came between
			continue
		}
		one, known := running[pid]
		if !known {
			continue
		}
		delete(running, pid)
		fmt.Printf("%s ended (%d, signal %d): it is started again\n", one.name, status.ExitStatus(), status.Signal())
		time.Sleep(restartAfter)
		start(one)
	}
}

// start is not os/exec's, which would wait for the process by itself.
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
