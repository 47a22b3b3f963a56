//go:build e2e

// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
)

// secrets are the credentials of the tests, and the published password with its tokens.
var secrets = []string{
	"V8m!xP#l2Qz3", "ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXoz", "ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXozCg==",
}

// encodings returns the forms in which a secret may be in manifests and logs.
func encodings(secret string) []string {
	forms := []string{secret}
	for _, text := range []string{secret, "Basic " + secret} {
		forms = append(forms, base64.StdEncoding.EncodeToString([]byte(text)))
	}
	return forms
}

// redact removes credentials from a text. It begins with the longest, because one may begin with another.
func redact(text string) string {
	var forms []string
	for _, secret := range secrets {
		forms = append(forms, encodings(secret)...)
	}
	slices.SortFunc(forms, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, form := range forms {
		text = strings.ReplaceAll(text, form, "<redacted>")
	}
	return text
}

// A failed scenario saves everything that may explain the failure in bin/e2e, and prints the most useful part.
var _ = JustAfterEach(func(ctx context.Context) {
	if !CurrentSpecReport().Failed() || k8s == nil {
		return
	}
	name := regexp.MustCompile(`\W+`).ReplaceAllString(CurrentSpecReport().LeafNodeText, "-")
	directory := filepath.Join(root, "bin", "e2e", time.Now().UTC().Format("150405-")+name[:min(len(name), 60)])
	fmt.Printf("\nLogs, events and the YAML of everything are in %s. The last part:\n%s\n", directory,
		saveDiagnostics(ctx, directory))
})

// saveDiagnostics writes everything that may explain a failure to a directory, and returns the most useful part.
func saveDiagnostics(ctx context.Context, directory string) string {
	if err := os.MkdirAll(directory, 0o750); err != nil {
		return err.Error()
	}
	dump := func(file string, args ...string) string {
		output, err := tryKubectl(ctx, "", args...)
		if err != nil {
			output += err.Error()
		}
		output = redact(output)
		if err := os.WriteFile(filepath.Join(directory, file), []byte(output), 0o600); err != nil {
			fmt.Println(err)
		}
		return output
	}
	resources := dump("resources.yaml", "get", "jupicocredentials", "--all-namespaces", "--output=yaml")
	events := dump("events.txt", "get", "events", "--all-namespaces", "--sort-by=.lastTimestamp")
	operator := dump("operator.log", "--namespace="+operatorNamespace, "logs", "--selector=control-plane=controller-manager",
		"--prefix", "--tail=2000")
	dump("operator-previous.log", "--namespace="+operatorNamespace, "logs",
		"--selector=control-plane=controller-manager", "--prefix", "--previous", "--tail=2000")
	dump("emulator.log", "--namespace="+emulatorNamespace, "logs", "deployment/emulator", "--all-containers")
	// This shows names, types, keys and lengths, but no values.
	dump("secrets.txt", "describe", "secrets", "--all-namespaces")
	dump("cluster.yaml", "get",
		"all,configmaps,leases,poddisruptionbudgets", "--all-namespaces", "--output=yaml")
	pods := dump("pods.txt", "get", "pods", "--all-namespaces", "--output=wide")
	return strings.Join([]string{pods, tail(resources, 80), tail(events, 25), tail(operator, 30)}, "\n")
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
