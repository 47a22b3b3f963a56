// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

func (c *cli) newRenderCommand() *cobra.Command {
	file := ""
	command := &cobra.Command{
		Use:   "render -f FILE",
		Short: "Show offline what the target of a manifest would be",
		Long: "Show offline what the target of a manifest would be. The source is not read: the login is USERNAME with " +
			"the password PASSWORD, and an API key is its token.",
		Example: "  kubectl jupico render -f payments.yaml",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return c.renderFile(file) },
	}
	command.Flags().StringVarP(&file, "filename", "f", "", "The file with the JupicoCredential, or - for standard input.")
	_ = command.MarkFlagRequired("filename") // it exists
	return command
}

// renderFile renders each JupicoCredential of a file.
func (c *cli) renderFile(file string) error {
	input := c.In
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return err
		}
		defer opened.Close() //nolint:errcheck // it is only read
		input = opened
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(input))
	found := false
	for {
		document, err := documents.Read()
		switch {
		case errors.Is(err, io.EOF) && !found:
			return errors.New("there is no JupicoCredential in the file")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return err
		}
		if kind.GroupVersionKind() != v1alpha1.GroupVersion.WithKind(v1alpha1.Kind) {
			continue
		}
		if found {
			c.printf("---\n")
		}
		found = true
		if err := c.renderDocument(document); err != nil {
			return err
		}
	}
}

func (c *cli) renderDocument(document []byte) error {
	resource := &v1alpha1.JupicoCredential{}
	if err := yaml.UnmarshalStrict(document, resource); err != nil {
		return err
	}
	if len(resource.Spec.Credentials) == 0 {
		return fmt.Errorf("%s has no spec.credentials", resource.Name)
	}
	proven, err := placeholder(resource)
	if err != nil {
		return err
	}
	templates, err := render.Compile(resource)
	if err != nil {
		return errors.New(decision.TemplateErrorDetail(err.Error()))
	}
	data, err := templates.Render(proven)
	if err != nil {
		return errors.New(decision.TemplateErrorDetail(err.Error()))
	}
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: resource.Namespace, Name: resource.Spec.Target.Name},
	}
	render.Apply(secret, resource, data)
	secret.StringData = map[string]string{}
	for key, value := range secret.Data {
		secret.StringData[key] = string(value)
	}
	secret.Data, secret.OwnerReferences = nil, nil // only a resource that exists can own it
	text, err := yaml.Marshal(secret)
	c.printf("%s", text)
	return err
}

// placeholder stands for the token of the first entry.
func placeholder(resource *v1alpha1.JupicoCredential) (render.Proven, error) {
	entry := resource.Spec.Credentials[0]
	login, _, err := credential.Login([]byte("USERNAME"), []byte("PASSWORD"))
	if entry.APIKeySecretRef != nil {
		login, _, err = credential.APIKey([]byte(login.Token(credential.Standard).Reveal()))
	}
	url := decision.EnvironmentURL(resource.Spec.Environment)
	if resource.Spec.Endpoint != nil && resource.Spec.Endpoint.URL != "" {
		url = resource.Spec.Endpoint.URL
	}
	return render.Proven{
		Token: login.Token(credential.Standard), URL: url, Entry: entry.Name,
		Environment: resource.Spec.Environment, Credential: login,
	}, err
}
