// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "cluster: this needs Linux; point KUBECONFIG at a cluster of your own instead (kind, k3d, any)")
	os.Exit(1)
}
