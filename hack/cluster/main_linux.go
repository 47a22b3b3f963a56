// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cluster runs a single-node Kubernetes cluster on a Linux machine that has nothing but Go. The control plane,
// kubelet, kube-proxy, containerd, network plugins and CoreDNS are built from Go modules; the rest comes from Debian
// packages. The end-to-end tests use it if KUBECONFIG points at no other cluster.
//
//	cluster up              starts the cluster if it is not up; the last line is the path of the kubeconfig
//	cluster check           says whether the cluster can run on this machine
//	cluster build           builds its programs, which up does too
//	cluster load FILE ...   imports archives of images; NAME=FILE makes one known by its digest too
//	cluster down            stops the cluster, and keeps the programs that were built
//
// The cluster has its own namespaces (processes, mounts, network), so it does not touch those of the machine. When its
// first process ends, the kernel removes the other processes and every mount and device. All files are written below
// --dir. The API server listens on https://198.18.77.2:6443, which only this machine can reach.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("dir", "bin/cluster", "`directory` for all files")
	flag.Usage = func() {
		_, _ = fmt.Fprintln(flag.CommandLine.Output(),
			"Usage: cluster [--dir=DIRECTORY] check | build | up | load [NAME=]FILE ... | down")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(*dir, flag.Args()); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

func run(dir string, args []string) error {
	if len(args) == 0 {
		flag.Usage()
		return errors.New("a command is missing")
	}
	// The paths of mounts and processes have no symbolic links, so neither may this one.
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	c := &cluster{dir: dir}
	switch args[0] {
	case "check":
		return c.checkMachine()
	case "build":
		return c.build()
	case "up":
		return c.up()
	case "load":
		return c.load(args[1:]...)
	case "down":
		return c.down()
	case superviseCommand:
		return c.supervise()
	default:
		return fmt.Errorf("unknown command %q; see --help", args[0])
	}
}
