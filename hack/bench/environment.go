// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// manifest is the Deployment whose environment the operator is measured with.
const manifest = "config/manager/manager.yaml"

// runtimeVariables configure the Go runtime, and with it how much CPU and memory the same work takes.
var runtimeVariables = []string{"GOMAXPROCS", "GOMEMLIMIT", "GOGC"}

// readRuntimeEnvironment returns these variables as a file of manifests sets them, in the form NAME=VALUE.
func readRuntimeEnvironment(path string) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var environment []string
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		var deployment appsv1.Deployment
		if err := yaml.Unmarshal([]byte(document), &deployment); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, container := range deployment.Spec.Template.Spec.Containers {
			for _, variable := range container.Env {
				if slices.Contains(runtimeVariables, variable.Name) && variable.Value != "" {
					environment = append(environment, variable.Name+"="+variable.Value)
				}
			}
		}
	}
	if len(environment) != len(runtimeVariables) {
		return nil, fmt.Errorf("%s must set each of %s to a literal value, and sets %q", path,
			strings.Join(runtimeVariables, ", "), environment)
	}
	return environment, nil
}
