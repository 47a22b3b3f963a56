// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cluster runs a Kubernetes cluster of one node on a Linux machine that has nothing but Go: control plane,
// kubelet, kube-proxy, containerd, network plugins and CoreDNS are built from Go modules, the rest comes from Debian's
// packages. It is for the end-to-end tests where KUBECONFIG points at no other cluster.
//
//	cluster up              starts it, or says that it is up; the last line is the path of the kubeconfig
//	cluster check           says whether it can run on this machine
//	cluster load FILE ...   imports archives of images
//	cluster down            ends it; what was built stays
//
// All of it lives in namespaces of its own (processes, mounts, network), so that the machine's are not touched: when
// the first process ends, the kernel removes the others with every mount and device. Everything that is written is
// below --dir. The API server answers on https://198.18.77.2:6443 from this machine only.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("dir", "bin/cluster", "`directory` for everything that is written")
	flag.Usage = func() {
		_, _ = fmt.Fprintln(flag.CommandLine.Output(), "Usage: cluster [--dir=DIRECTORY] check | up | load FILE ... | down")
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
	// Mounts and processes are compared by real paths.
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
	case "up":
		return c.up()
	case "load":
		return c.load(args[1:]...)
	case "down":
		return c.down()
	case superviseCommand:
		return c.supervise()
	default:
		return fmt.Errorf("%q is no command; see --help", args[0])
	}
}
