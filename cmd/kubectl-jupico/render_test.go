// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

const manifest = `apiVersion: v1
kind: Secret
metadata: {name: jupico-login}
---
apiVersion: credentials.jupico.dev/v1alpha1
kind: JupicoCredential
metadata: {name: payments, namespace: shop}
spec:
  environment: Sandbox
  credentials:
  - name: main
    basicAuthSecretRef: {name: jupico-login}
  target:
    name: payments-jupico
    template:
      data:
        env: |
          URL={{ .URL }}
          USER={{ .Username | upper }}
`

// runWith runs a command with this standard input.
func runWith(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	var output bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(input), Out: &output, ErrOut: &output}
	command := newCommand(streams)
	command.SetArgs(args)
	err := command.ExecuteContext(t.Context())
	return output.String(), err
}

func TestATargetIsRenderedWithPlaceholders(t *testing.T) {
	got, err := runWith(t, manifest, "render", "-f", "-")
	if err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{
		"kind: Secret", "name: payments-jupico", "namespace: shop", "token: VVNFUk5BTUU6UEFTU1dPUkQ=",
		"URL=https://sandbox-platform.jupico.com\n    USER=USERNAME\n", "credentials.jupico.dev/managed-by: payments",
	} {
		if !strings.Contains(got, says) {
			t.Errorf("got\n%s\nwithout %q", got, says)
		}
	}
}

func TestWhatCannotBeRenderedIsSaidAsTheOperatorWouldSayIt(t *testing.T) {
	for _, row := range []struct{ sentence, input, want string }{
		{"a mistake in a template", strings.ReplaceAll(manifest, "upper", "shout"), "In spec.target.template.data, "},
		{"a field that does not exist", strings.ReplaceAll(manifest, "  target:", "  targets:"), `unknown field "targets"`},
		{"a file without a resource", "apiVersion: v1\nkind: Secret\n", "there is no JupicoCredential in the file"},
	} {
		if got, err := runWith(t, row.input, "render", "-f", "-"); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v and %q, want %q", row.sentence, err, got, row.want)
		}
	}
}
