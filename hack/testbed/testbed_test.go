// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestTheRuntimeEnvironmentIsThatOfTheManifest(t *testing.T) {
	const others = `apiVersion: v1
kind: Namespace
metadata:
  name: system
---
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
      - name: manager
        env:
        - name: HTTPS_PROXY
          value: http://proxy.test
`
	const all = `        - name: GOGC
          value: "50"
        - name: GOMAXPROCS
          value: "1"
        - name: GOMEMLIMIT
          value: 230MiB
`
	const fromLimits = `        - name: GOGC
          value: "50"
        - name: GOMAXPROCS
          value: "1"
        - name: GOMEMLIMIT
          valueFrom:
            resourceFieldRef:
              resource: limits.memory
`
	for name, row := range map[string]struct {
		manifests string
		want      []string
	}{
		"all are literal":             {others + all, []string{"GOGC=50", "GOMAXPROCS=1", "GOMEMLIMIT=230MiB"}},
		"one has no value of its own": {others + fromLimits, nil},
		"none is set":                 {others, nil},
	} {
		path := filepath.Join(t.TempDir(), "manager.yaml")
		if err := os.WriteFile(path, []byte(row.manifests), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := RuntimeEnvironment(path)
		if !slices.Equal(got, row.want) || (err == nil) != (row.want != nil) {
			t.Errorf("%s: got %q and %v, want %q", name, got, err, row.want)
		}
	}
}
