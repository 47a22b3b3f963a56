// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

func TestTheProgramBringsCertificatesForAnImageThatHasNone(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no fallback roots were set: in an empty image, no certificate of Jupico's would be trusted")
		}
	}()
	x509.SetFallbackRoots(x509.NewCertPool()) // panics where there are some already
}

func TestEachLogLineIsWrittenWithAllThatItsLoggersWereGiven(t *testing.T) {
	var written bytes.Buffer
	log := newLogger(&zap.Options{DestWriter: &written}).WithValues("namespace", "shop", "name", "payments")
	one, other := log.WithValues("reconcileID", "1"), log.WithValues("reconcileID", "2")
	one.V(1).Info("Put check off")
	const many = 200 // of which a library's usual logger writes a hundred and then each hundredth
	for range many {
		one.Info("Changed state", "reason", "Accepted")
	}
	other.Info("Changed state", "reason", "Rejected")

	lines := strings.Split(strings.TrimSpace(written.String()), "\n")
	if len(lines) != many+1 {
		t.Fatalf("%d lines were written, want %d", len(lines), many+1)
	}
	for line, want := range map[string]string{
		lines[many-1]: `"msg":"Changed state","namespace":"shop","name":"payments","reconcileID":"1","reason":"Accepted"}`,
		lines[many]:   `"msg":"Changed state","namespace":"shop","name":"payments","reconcileID":"2","reason":"Rejected"}`,
	} {
		if !strings.HasSuffix(line, want) {
			t.Errorf("got %s\nwant an end of %s", line, want)
		}
	}
}
