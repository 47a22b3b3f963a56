// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/onsi/gomega"

	"github.com/jupico-operator/jupico-operator/hack/testbed"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/test/machine"
)

// fleet lists the resources, with their sources, and what each comes to. A source is named like its user. The emulator
// knows those that begin with good.
var fleet = []struct {
	name, state string
	sources     []string
}{
	{"accepted", "Ready: Accepted", []string{"good"}},
	{"twin", "Ready: Accepted", []string{"good"}},
	{"rejected", "Not ready: Rejected", []string{"wrong"}},
	{"revoked", "Not ready: Revoked", []string{"good-until-revoked"}},
	{"missing", "Not ready: SourceNotFound", []string{"missing"}},
	{"standby", "Ready: FailedOver", []string{"wrong-too", "good-too"}},
	// An endpoint counts as away after five requests.
	{"away-1", "Not ready: Unreachable", []string{"away-1"}},
	{"away-2", "Not ready: Unreachable", []string{"away-2"}},
	{"away-3", "Not ready: Unreachable", []string{"away-3"}},
	{"away-4", "Not ready: Unreachable", []string{"away-4"}},
	{"away-5", "Not ready: Unreachable", []string{"away-5"}},
	{"undecodable", "", []string{"good"}},
}

// login returns the token of a source, which its resource is checked with.
func login(source string) string { return source + ":the password" }

// makeFleet starts the operator, and returns when each resource is in its state. Nobody serves the URL away.
func (w *world) makeFleet(t *testing.T, away string) {
	t.Helper()
	manifests := "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
	sources := map[string]bool{}
	for _, member := range fleet {
		endpoint, entries := w.Emulator.URL, ""
		if strings.HasPrefix(member.name, "away") {
			endpoint = away
		}
		for _, source := range member.sources {
			entries += fmt.Sprintf("  - {name: %s, basicAuthSecretRef: {name: %s}}\n", source, source)
			sources[source] = source != "missing"
		}
		manifests += fmt.Sprintf(resource, member.name, endpoint, entries, member.name)
	}
	for source, exists := range sources {
		user, password, _ := strings.Cut(login(source), ":")
		if exists {
			manifests += fmt.Sprintf(secret, source, user, password)
		}
		if strings.HasPrefix(source, "good") {
			w.Command(t, "/accounts", fmt.Sprintf(`{"username":%q,"password":%q,"forms":["Standard"]}`, user, password))
		}
	}
	w.Kubectl(t, manifests, "apply", "-f", "-")
	w.Kubectl(t, "", "patch", "jcred", "undecodable", "-n=shop", "--subresource=status", "--type=merge",
		`--patch={"status":{"lastCheckTime":"2026-01-01t00:00:00z"}}`)

	// So few requests that some have to wait.
	metrics := machine.FreeAddress(t)
	w.StartOperator(t, "--metrics-bind-address="+metrics, "--metrics-secure=false",
		"--allowed-endpoint="+w.Emulator.URL, "--allowed-endpoint="+away, "--check-qps=2", "--check-burst=2")
	w.startPrometheus(t, map[string]any{
		"job_name": "jupico-operator", "honor_labels": true,
		"static_configs": []any{map[string]any{"targets": []string{metrics}}},
	})
	w.Kubectl(t, "", "wait", "jcred/revoked", "-n=shop", "--for=condition=Ready", "--timeout="+machine.Soon.String())
	w.Command(t, "/revoke", `{"name":"good-until-revoked"}`)
	w.Kubectl(t, "", "annotate", "jcred", "--all", "-n=shop", "credentials.jupico.dev/check-requested-at=now")
	want := map[string]string{}
	for _, member := range fleet {
		if member.state != "" {
			want[member.name] = member.state
		}
	}
	gomega.NewWithT(t).Eventually(func() map[string]string { return w.states(t) }, machine.Soon).Should(gomega.Equal(want))
}

const resource = `---
apiVersion: credentials.jupico.dev/v1alpha1
kind: JupicoCredential
metadata: {name: %s, namespace: shop}
spec:
  environment: Sandbox
  endpoint: {url: "%s"}
  credentials:
%s  target: {name: %s-jupico}
`

const secret = `---
apiVersion: v1
kind: Secret
metadata: {name: %s, namespace: shop}
type: kubernetes.io/basic-auth
stringData: {username: %s, password: %s}
`

// states returns what Ready says of each resource that has it.
func (w *world) states(t *testing.T) map[string]string {
	t.Helper()
	states := map[string]string{}
	for line := range strings.Lines(w.Kubectl(t, "", "get", "jcred", "-n=shop", "-o", `jsonpath={range .items[*]}`+
		`{.metadata.name}{range .status.conditions[?(@.type=="Ready")]} {.status} {.reason}{end}{"\n"}{end}`)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 1:
		case words[1] == "True":
			states[words[0]] = "Ready: " + words[2]
		default:
			states[words[0]] = "Not ready: " + words[2]
		}
	}
	return states
}

// checks returns how many checks of the fleet's logins the emulator answered. Each begins with the form Standard; the
// other form, which a rejection is followed by, belongs to the same check.
func (w *world) checks(t *testing.T) float64 {
	t.Helper()
	answer, err := testbed.Get(t.Context(), w.Emulator.AdminURL+"/requests")
	if err != nil {
		t.Fatal(err)
	}
	var counts struct{ ByFingerprint map[string]float64 }
	if err := json.Unmarshal(answer, &counts); err != nil {
		t.Fatal(err)
	}
	sum, counted := 0.0, map[string]bool{}
	for _, member := range fleet {
		for _, source := range member.sources {
			if !counted[source] {
				sum += counts.ByFingerprint[jupicotest.Fingerprint(base64.StdEncoding.EncodeToString([]byte(login(source))))]
			}
			counted[source] = true
		}
	}
	return sum
}
