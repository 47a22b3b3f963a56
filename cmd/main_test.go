// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"testing"
)

func TestTheProgramBringsCertificatesForAnImageThatHasNone(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no fallback roots were set: in an empty image, no certificate of Jupico's would be trusted")
		}
	}()
	x509.SetFallbackRoots(x509.NewCertPool()) // panics where there are some already
}
