// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-jupico is a plugin of kubectl that shows the state of JupicoCredentials, has them checked now, and
// rotates them. It works with the rights of its user, and never prints a secret.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/version"
)

// The exit codes, beside 0.
const (
	exitFailure = 1
	// exitRejected: the API rejects the token.
	exitRejected = 2
	// exitUnknown: nobody knows whether the API accepts it. Of a rotation: it is not as far as it could be, and goes on
	// when the command is run again.
	exitUnknown = 3
)

// exitError is an error that was printed already, and decides the exit code.
type exitError int

func (c exitError) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	err := newCommand(streams).ExecuteContext(ctx)
	stop()
	if code, isCode := errors.AsType[exitError](err); isCode {
		os.Exit(int(code))
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(exitFailure)
	}
}

// cli is what the commands share.
type cli struct {
	genericiooptions.IOStreams

	config *genericclioptions.ConfigFlags
}

func newCommand(streams genericiooptions.IOStreams) *cobra.Command {
	c := &cli{IOStreams: streams, config: genericclioptions.NewConfigFlags(true)}
	root := &cobra.Command{
		Use:   "kubectl-jupico",
		Short: "Show the state of JupicoCredentials, have them checked now, and rotate them",
		Long: "Show the state of JupicoCredentials, have them checked now, and rotate them. The commands work with your " +
			"own rights, and never print a secret.",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl jupico"},
		Version:       version.Text("kubectl-jupico"),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetVersionTemplate("{{.Version}}\n")
	c.config.AddFlags(root.PersistentFlags())
	root.AddCommand(c.newStatusCommand(), c.newCheckCommand(), c.newExplainCommand(), c.newRenderCommand(),
		c.newProveCommand(), c.newRotateCommand(), c.newVersionCommand())
	return root
}

// newVersionCommand prints what --version prints, as kubectl's command of that name does.
func (c *cli) newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the version of Go",
		Args:  cobra.NoArgs,
		Run:   func(*cobra.Command, []string) { c.printf("%s\n", version.Text("kubectl-jupico")) },
	}
}

// connect returns a client, and the namespace that the user means.
func (c *cli) connect() (_ client.Client, namespace string, _ error) {
	config, err := c.config.ToRESTConfig()
	if err != nil {
		return nil, "", err
	}
	namespace, _, err = c.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, "", err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, "", err
	}
	cluster, err := client.New(config, client.Options{Scheme: scheme})
	return cluster, namespace, err
}

// printf writes to standard output. When nobody reads it any more, the program ends soon anyway.
func (c *cli) printf(format string, args ...any) { _, _ = fmt.Fprintf(c.Out, format, args...) }
