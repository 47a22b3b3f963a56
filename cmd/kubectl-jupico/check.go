// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// pollInterval is how often the resource is read while something is awaited.
const pollInterval = 500 * time.Millisecond

func (c *cli) newCheckCommand() *cobra.Command {
	timeout := time.Minute
	command := &cobra.Command{
		Use:   "check NAME",
		Short: "Have a credential checked now, and say what came of it",
		Long: "Have a credential checked now, and say what came of it. The exit code is 0 if Jupico accepts the token, " +
			"2 if it rejects it, 3 if that is not known, and 1 after an error.",
		Example: "  kubectl jupico check payments -n shop",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return c.check(command.Context(), args[0], timeout)
		},
	}
	command.Flags().DurationVar(&timeout, "timeout", timeout, "How long to wait for the check.")
	return command
}

func (c *cli) check(ctx context.Context, name string, timeout time.Duration) error {
	cluster, namespace, err := c.connect()
	if err != nil {
		return err
	}
	resource := &v1alpha1.JupicoCredential{}
	if err := cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, resource); err != nil {
		return err
	}
	if resource.Spec.Suspend {
		return errSuspended(name)
	}
	c.printf("Asking for a check of %s/%s ...\n", namespace, name)
	err = haveChecked(ctx, cluster, resource, timeout)
	switch {
	case errors.Is(err, errTimeUp):
		c.printConditions(resource, v1alpha1.ConditionReady)
		return fmt.Errorf("the check was not made within %s: does the operator run, and does it work in namespace %s?",
			timeout, namespace)
	case err != nil:
		return err
	}
	c.printConditions(resource, v1alpha1.ConditionReady, v1alpha1.ConditionCredentialAccepted,
		v1alpha1.ConditionSecretSynced, v1alpha1.ConditionEndpointAvailable, v1alpha1.ConditionRedundant)
	return verdictOf(resource)
}

func errSuspended(name string) error {
	return fmt.Errorf("%s is suspended, so nothing is checked: set spec.suspend to false", name)
}

// haveChecked asks for a check, and waits until it was made. Then resource is as it is after that.
func haveChecked(
	ctx context.Context, cluster client.Client, resource *v1alpha1.JupicoCredential, timeout time.Duration,
) error {
	value := time.Now().UTC().Format(time.RFC3339Nano)
	asked := resource.DeepCopy()
	metav1.SetMetaDataAnnotation(&asked.ObjectMeta, v1alpha1.AnnotationCheckRequestedAt, value)
	if err := cluster.Patch(ctx, asked, client.MergeFrom(resource)); err != nil {
		return err
	}
	return poll(ctx, timeout, func() (bool, error) {
		err := reread(ctx, cluster, resource)
		return resource.Status.LastHandledCheckRequest == value && !isConfirming(resource), err
	})
}

// reread reads a resource again. What the answer leaves out must not stay as it was, so it is read into a new one.
func reread(ctx context.Context, cluster client.Client, resource *v1alpha1.JupicoCredential) error {
	var read v1alpha1.JupicoCredential
	err := cluster.Get(ctx, client.ObjectKeyFromObject(resource), &read)
	if err == nil {
		*resource = read
	}
	return err
}

// errTimeUp is what poll returns when its timeout has passed. It is no timeout of a request.
var errTimeUp = errors.New("the time is up")

// poll asks until the answer is yes. The last question may outlast the timeout: else an error of a request that was cut
// off would hide that the time was up.
func poll(ctx context.Context, timeout time.Duration, ask func() (bool, error)) error {
	var failure error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, timeout, true, func(context.Context) (isSo bool, _ error) {
		isSo, failure = ask()
		return isSo, failure
	})
	if err != nil && failure == nil && ctx.Err() == nil {
		return errTimeUp
	}
	return err
}

// isConfirming reports whether a first rejection is to be confirmed by a second check, which takes a few seconds.
func isConfirming(resource *v1alpha1.JupicoCredential) bool {
	return slices.ContainsFunc(resource.Status.Credentials, func(c v1alpha1.CredentialStatus) bool {
		return c.Verdict == v1alpha1.VerdictAccepted && c.ConsecutiveRejected == 1
	})
}

// printConditions prints these conditions, and no message twice.
func (c *cli) printConditions(resource *v1alpha1.JupicoCredential, types ...string) {
	said := map[string]bool{}
	for _, conditionType := range types {
		condition := meta.FindStatusCondition(resource.Status.Conditions, conditionType)
		if condition == nil {
			continue
		}
		c.printf("%-18s  %-7s  %s\n", condition.Type, condition.Status, condition.Reason)
		if !said[condition.Message] {
			c.printf("    %s\n", condition.Message)
		}
		said[condition.Message] = true
	}
}

// verdictOf is nil if the API accepts the token, by evidence that is not too old.
func verdictOf(resource *v1alpha1.JupicoCredential) error {
	accepted := meta.FindStatusCondition(resource.Status.Conditions, v1alpha1.ConditionCredentialAccepted)
	available := meta.FindStatusCondition(resource.Status.Conditions, v1alpha1.ConditionEndpointAvailable)
	switch {
	case accepted == nil || available == nil || available.Status != metav1.ConditionTrue:
		return exitError(exitUnknown)
	case accepted.Status == metav1.ConditionTrue:
		return nil
	case accepted.Status == metav1.ConditionFalse:
		return exitError(exitRejected)
	default:
		return exitError(exitUnknown)
	}
}
