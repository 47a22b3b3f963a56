// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	_, _ = fmt.Fprintln(os.Stderr, "cluster: this needs Linux; or set KUBECONFIG to a cluster of your own (kind, k3d, any)")
	os.Exit(1)
}
