// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
	"github.com/jupico-operator/jupico-operator/internal/version"
)

// proveTimeout limits each request, from start to end.
const proveTimeout = 20 * time.Second

// proof is what is to be proven, and where.
type proof struct {
	secret      string // in the cluster
	file        string // or in a file
	key         string // of an API key; none: the Secret has a username and a password
	environment string
	url         string
	caFile      string
}

func (c *cli) newProveCommand() *cobra.Command {
	p := proof{}
	command := &cobra.Command{
		Use:   "prove (--secret NAME | -f FILE) (--environment NAME | --endpoint URL)",
		Short: "Prove a login or an API key from where you are, before anything is applied",
		Long: "Prove a login or an API key from where you are, before anything is applied. First a random token is sent, " +
			"which has to be rejected, and then the credential: a login in the standard form and, if that is rejected, in the " +
			"form with a newline. The exit code is 0 if Jupico accepts it, 2 if it rejects it, 3 if that is not known, and " +
			"1 after an error.",
		Example: "  kubectl jupico prove --secret jupico-login --environment SharedSandbox\n" +
			"  kubectl jupico prove -f jupico-key.yaml --key apiKey --environment Production",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return c.prove(command.Context(), p) },
	}
	flags := command.Flags()
	flags.StringVar(&p.secret, "secret", "", "The Secret in the cluster that holds the credential.")
	flags.StringVarP(&p.file, "filename", "f", "", "The file with that Secret, or - for standard input.")
	flags.StringVar(&p.key, "key", "", "The key of the Secret that holds an API key. When left out, it holds a login.")
	flags.StringVar(&p.environment, "environment", "", "SharedSandbox, Sandbox or Production.")
	flags.StringVar(&p.url, "endpoint", "", "The base URL to ask instead of Jupico's own.")
	flags.StringVar(&p.caFile, "ca-file", "", "The file with the authorities of the endpoint, in PEM.")
	command.MarkFlagsOneRequired("secret", "filename")
	command.MarkFlagsMutuallyExclusive("secret", "filename")
	command.MarkFlagsOneRequired("environment", "endpoint")
	command.MarkFlagsMutuallyExclusive("environment", "endpoint")
	return command
}

func (c *cli) prove(ctx context.Context, p proof) error {
	at, err := p.endpoint()
	if err != nil {
		return err
	}
	roots, err := at.Roots()
	if err != nil {
		return fmt.Errorf("--ca-file: %w", err)
	}
	secret, err := c.readSecret(ctx, p)
	if err != nil {
		return err
	}
	candidate, err := p.credential(secret)
	if err != nil {
		return err
	}
	proxy, err := jupico.ProxyFromEnvironment()
	if err != nil {
		return err
	}
	api := jupico.NewClient(at.URL, roots, jupico.Config{
		Timeout: proveTimeout, UserAgent: "kubectl-jupico/" + version.Version(), Proxy: proxy,
	})
	return c.ask(ctx, api, at, candidate)
}

// ask sends a random token, and then the credential. The error is the exit code.
func (c *cli) ask(
	ctx context.Context, api *jupico.Client, at endpoint.Endpoint, candidate credential.Credential,
) error {
	c.printf("Asking %s/status\n", at.URL)
	ask := func(what string, token credential.Token) outcome.Result {
		result := api.Check(ctx, token)
		c.printf("  %-34s  %s (%s)\n", what, result.Outcome, result.Detail)
		if !result.Outcome.IsEvidence() {
			c.printf("    %s\n", result.Outcome.Message(at.URL, result.Detail))
		}
		return result
	}
	if control := ask("a random token", credential.RandomToken()); control.Outcome.Class() != outcome.Rejection {
		c.printf("Nothing is proven: the endpoint has to reject a random token.\n")
		return exitError(exitUnknown)
	}
	name := "the API key"
	if candidate.IsLogin() {
		name = "the login"
	}
	result := ask(name, candidate.Token(credential.Standard))
	if candidate.IsLogin() && result.Outcome == outcome.Rejected {
		result = ask(name+", followed by a newline", candidate.Token(credential.TrailingNewline))
	}
	switch result.Outcome.Class() {
	case outcome.Acceptance:
		c.printf("Jupico accepts it.\n")
		return nil
	case outcome.Rejection:
		c.printf("Jupico rejects it.\n")
		return exitError(exitRejected)
	case outcome.NoEvidence, outcome.Transient:
	}
	c.printf("It is not known whether Jupico accepts it.\n")
	return exitError(exitUnknown)
}

func (p *proof) endpoint() (endpoint.Endpoint, error) {
	url := cmp.Or(p.url, decision.EnvironmentURL(v1alpha1.Environment(p.environment)))
	if url == "" {
		return endpoint.Endpoint{}, fmt.Errorf("there is no environment %q: SharedSandbox, Sandbox and Production are all",
			p.environment)
	}
	canonical, err := endpoint.Canonical(url)
	if err != nil {
		return endpoint.Endpoint{}, fmt.Errorf("--endpoint: %w", err)
	}
	at := endpoint.Endpoint{URL: canonical}
	if p.caFile != "" {
		bundle, err := os.ReadFile(p.caFile)
		if err != nil {
			return endpoint.Endpoint{}, err
		}
		at.CA = string(bundle)
	}
	return at, nil
}

// readSecret reads the Secret from the cluster, a file or standard input.
func (c *cli) readSecret(ctx context.Context, p proof) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	if p.secret != "" {
		cluster, namespace, err := c.connect()
		if err != nil {
			return nil, err
		}
		return secret, cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: p.secret}, secret)
	}
	read := func() ([]byte, error) { return os.ReadFile(p.file) }
	if p.file == "-" {
		read = func() ([]byte, error) { return io.ReadAll(c.In) }
	}
	text, err := read()
	if err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict(text, secret); err != nil {
		return nil, errors.New("the file has to hold one Secret, in YAML or JSON") // the error would quote it
	}
	for key, value := range secret.StringData { // as the API server does
		if secret.Data == nil {
			secret.Data = map[string][]byte{}
		}
		secret.Data[key] = []byte(value)
	}
	return secret, nil
}

// credential reads the credential as the operator does.
func (p *proof) credential(secret *corev1.Secret) (candidate credential.Credential, err error) {
	value := func(key string) []byte {
		v, isThere := secret.Data[key]
		if !isThere && err == nil {
			err = fmt.Errorf("the Secret has no key %q; for an API key, name its key with --key", key)
		}
		return v
	}
	if p.key != "" {
		key := value(p.key)
		if err == nil {
			candidate, _, err = credential.APIKey(key)
		}
		return candidate, err
	}
	username, password := value(v1alpha1.DefaultUsernameKey), value(v1alpha1.DefaultPasswordKey)
	if err == nil {
		candidate, _, err = credential.Login(username, password)
	}
	return candidate, err
}
