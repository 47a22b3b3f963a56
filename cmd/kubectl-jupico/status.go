// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

func (c *cli) newStatusCommand() *cobra.Command {
	everywhere := false
	command := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show all JupicoCredentials, or one in detail: its sources, its target and its pods",
		Example: "  kubectl jupico status -A\n" +
			"  kubectl jupico status payments -n shop",
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			cluster, namespace, err := c.connect()
			switch {
			case err != nil:
				return err
			case len(args) == 0 && everywhere:
				return c.showAll(command.Context(), cluster, metav1.NamespaceAll)
			case len(args) == 0:
				return c.showAll(command.Context(), cluster, namespace)
			case everywhere:
				return fmt.Errorf("a name needs one namespace: leave out -A")
			default:
				return c.showOne(command.Context(), cluster, client.ObjectKey{Namespace: namespace, Name: args[0]})
			}
		},
	}
	command.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "Show those of all namespaces.")
	return command
}

// showAll prints a row for each resource. Those that need somebody come first.
func (c *cli) showAll(ctx context.Context, cluster client.Client, namespace string) error {
	list := &v1alpha1.JupicoCredentialList{}
	if err := cluster.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return err
	}
	if len(list.Items) == 0 {
		_, err := fmt.Fprintln(c.ErrOut, "No JupicoCredentials found.")
		return err
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.JupicoCredential) int {
		return cmp.Or(urgency(&a)-urgency(&b), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	rows := [][]string{{"NAMESPACE", "NAME", "READY", "REASON", "SINCE", "ENVIRONMENT", "ACTIVE", "PROVEN", "SECRET"}}
	for i := range list.Items {
		r := &list.Items[i]
		ready, active, proven := readyOf(r), "", "never"
		if r.Status.Deployed != nil {
			active, proven = r.Status.Deployed.Credential, age(r.Status.Deployed.LastAcceptedTime)
		}
		rows = append(rows, []string{
			r.Namespace, r.Name, string(ready.Status), ready.Reason, age(&ready.LastTransitionTime),
			string(r.Spec.Environment), active, proven, r.Spec.Target.Name,
		})
	}
	return printTable(c.Out, rows)
}

// urgency is lower the sooner somebody has to act.
func urgency(r *v1alpha1.JupicoCredential) int {
	ready := readyOf(r)
	switch {
	case ready.Status == metav1.ConditionFalse:
		return 0
	case ready.Status == metav1.ConditionUnknown:
		return 1
	case ready.Reason != "Accepted" && ready.Reason != "LimitedPermissions":
		return 2
	default:
		return 3
	}
}

func readyOf(r *v1alpha1.JupicoCredential) metav1.Condition {
	if ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return *ready
	}
	return metav1.Condition{
		Status: metav1.ConditionUnknown, Reason: "NotObserved", LastTransitionTime: r.CreationTimestamp,
	}
}

// showOne shows one resource in detail: its sources, its target and its pods.
func (c *cli) showOne(ctx context.Context, cluster client.Client, key client.ObjectKey) error {
	r := &v1alpha1.JupicoCredential{}
	if err := cluster.Get(ctx, key, r); err != nil {
		return err
	}
	ready := readyOf(r)
	c.printf("%s/%s: Ready is %s (%s) since %s\n", r.Namespace, r.Name, ready.Status, ready.Reason,
		age(&ready.LastTransitionTime))
	if ready.Message != "" {
		c.printf("  %s\n", ready.Message)
	}
	if ready.Reason == "NotObserved" {
		c.printf("  The operator has not looked at it yet: does it run, and does it work in this namespace?\n")
	}
	c.printf("\nSources\n")
	if err := printTable(c.Out, sourceRows(r)); err != nil {
		return err
	}
	c.printf("\nTarget\n")
	c.printTarget(r)
	c.printf("\nPods\n")
	_, _ = c.printPods(ctx, cluster, r, 0) // the rest can be told without the right to list them
	return nil
}

func sourceRows(r *v1alpha1.JupicoCredential) [][]string {
	rows := [][]string{{"  CREDENTIAL", "SECRET", "VERDICT", "REASON", "LAST CHECK", "NEXT CHECK"}}
	for _, entry := range r.Spec.Credentials {
		row := []string{"  " + entry.Name, entry.SecretName(), string(v1alpha1.VerdictUnknown), "", "never", ""}
		for _, known := range r.Status.Credentials {
			if known.Name == entry.Name {
				row = []string{
					"  " + entry.Name, entry.SecretName(), string(known.Verdict), known.Reason,
					age(known.LastCheckTime), until(known.NextCheckTime),
				}
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func (c *cli) printTarget(r *v1alpha1.JupicoCredential) {
	deployed, target := r.Status.Deployed, r.Status.Target
	if deployed == nil || target == nil {
		c.printf("  Secret %s: nothing was delivered yet.\n", r.Spec.Target.Name)
		return
	}
	c.printf("  Secret %s holds the token of credential %q, with the keys %s.\n", target.Name, deployed.Credential,
		strings.Join(target.Keys, ", "))
	c.printf("  %s accepted the token %s ago. The Secret was written %s ago.\n", deployed.Endpoint,
		age(deployed.LastAcceptedTime), age(target.UpdatedTime))
	if synced := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionSecretSynced); synced != nil &&
		synced.Status == metav1.ConditionFalse && synced.Message != readyOf(r).Message {
		c.printf("  %s\n", synced.Message)
	}
}

// printPods prints which workloads use the target, and returns them. What starts within the margin after a write may
// have the old token.
func (c *cli) printPods(
	ctx context.Context, cluster client.Client, r *v1alpha1.JupicoCredential, margin time.Duration,
) ([]workload, error) {
	pods := &corev1.PodList{}
	if err := cluster.List(ctx, pods, client.InNamespace(r.Namespace)); err != nil {
		c.printf("  The pods cannot be listed: %v\n", err)
		return nil, err
	}
	workloads := findWorkloads(pods.Items, r.Spec.Target.Name, writtenAt(r).Add(margin))
	if len(workloads) == 0 {
		c.printf("  No pod refers to Secret %s.\n", r.Spec.Target.Name)
	}
	for _, w := range workloads {
		c.printf("  %s\n", w)
	}
	return workloads, nil
}

// writtenAt is when the target was last written.
func writtenAt(r *v1alpha1.JupicoCredential) time.Time {
	if r.Status.Target == nil {
		return time.Time{}
	}
	return ptr.Deref(r.Status.Target.UpdatedTime, metav1.Time{}).Time
}

// age is how long ago something was.
func age(t *metav1.Time) string {
	if t.IsZero() {
		return "never"
	}
	return duration.HumanDuration(time.Since(t.Time))
}

// until is how long it takes until something is.
func until(t *metav1.Time) string {
	switch {
	case t.IsZero():
		return "none"
	case time.Until(t.Time) <= 0:
		return "now"
	default:
		return "in " + duration.HumanDuration(time.Until(t.Time))
	}
}

func printTable(w io.Writer, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(table, strings.Join(row, "\t")) // Flush reports the error
	}
	return table.Flush()
}
