// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package testbed has what commands and tests run the operator with, outside of a cluster: the programs of a control
// plane, the operator's rights and environment as they are installed, and an emulator of Jupico's API.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// Manifest is the Deployment of the operator, below the root of the repository.
const Manifest = "config/manager/manager.yaml"

// ControlPlane returns the directory of etcd and kube-apiserver: that of KUBEBUILDER_ASSETS, or the one that was built
// below the root of the repository.
func ControlPlane(root string) (string, error) {
	if directory := os.Getenv("KUBEBUILDER_ASSETS"); directory != "" {
		return directory, nil
	}
	built, err := filepath.Glob(filepath.Join(root, "bin", "controlplane-*"))
	if err != nil || len(built) == 0 {
		return "", errors.Join(errors.New("there is no control plane: run 'make controlplane' first"), err)
	}
	return built[len(built)-1], nil
}

// GrantOperatorRole gives a user the very rights that the operator is installed with. root is that of the repository.
func GrantOperatorRole(ctx context.Context, admin client.Client, root, user string) error {
	manifest, err := os.ReadFile(filepath.Join(root, "config", "rbac", "role.yaml"))
	if err != nil {
		return err
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(manifest, &role); err != nil {
		return err
	}
	if err := admin.Create(ctx, &role); err != nil {
		return err
	}
	return Bind(ctx, admin, role.Name, user)
}

// Bind grants a ClusterRole to a user.
func Bind(ctx context.Context, admin client.Client, role, user string) error {
	return admin.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "user-" + user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
}

// WriteKubeconfig makes a user, and writes a kubeconfig for it.
func WriteKubeconfig(controlPlane *envtest.Environment, user, path string) error {
	added, err := controlPlane.AddUser(envtest.User{Name: user}, nil)
	if err != nil {
		return err
	}
	kubeconfig, err := added.KubeConfig()
	if err != nil {
		return err
	}
	return os.WriteFile(path, kubeconfig, 0o600)
}

// FreeAddress returns a loopback address that nobody listens on.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// runtimeVariables configure the Go runtime, and with it how much CPU and memory the same work takes.
var runtimeVariables = []string{"GOMAXPROCS", "GOMEMLIMIT", "GOGC"}

// RuntimeEnvironment returns these variables as a file of manifests sets them, in the form NAME=VALUE.
func RuntimeEnvironment(path string) ([]string, error) {
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
