// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// The resource in config/samples, and the Secret that the operator makes for it.
var (
	credentialKey = client.ObjectKey{Namespace: "default", Name: "payments"}
	targetKey     = client.ObjectKey{Namespace: "default", Name: "payments-jupico"}
)

// width is the number of columns that a message is wrapped at.
const width = 100

// observeTimeout is how long the effect of a step may take. Confirming a rejection alone takes up to 5 s.
const observeTimeout = 20 * time.Second

func (d *demo) observeReady(ctx context.Context) error {
	credential, err := d.waitForReady(ctx, metav1.ConditionTrue, "Accepted")
	if err != nil {
		return err
	}
	if err := d.kubectl(ctx, "get", "jcred", "-o", "wide"); err != nil {
		return err
	}
	printConditions(credential)
	if len(credential.Status.Credentials) != 1 || credential.Status.Credentials[0].TokenForm == "" {
		return errors.New("status does not name the form of the token")
	}
	form := credential.Status.Credentials[0].TokenForm
	fmt.Printf("\n   The form of the token that was accepted: %s\n", form)
	if form != v1alpha1.TokenFormTrailingNewline {
		return fmt.Errorf("the form of the token is %s, want %s", form, v1alpha1.TokenFormTrailingNewline)
	}
	return d.printTarget(ctx)
}

func (d *demo) observeSandboxReset(ctx context.Context) error {
	if err := d.sendCommand(ctx, "/wipe", ""); err != nil {
		return err
	}
	fmt.Println("   The next check, within spec.checkInterval (5m), would notice. An annotation requests a check now.")
	if err := d.requestCheck(ctx); err != nil {
		return err
	}
	fmt.Println("   A first rejection of an accepted login is confirmed by a second check, 2 to 5 s later ...")
	credential, err := d.waitForReady(ctx, metav1.ConditionFalse, v1alpha1.ReasonSandboxReset)
	if err != nil {
		return err
	}
	printConditions(credential)
	fmt.Println("\n   The Secret keeps the last token that was accepted: a rejection never removes it.")
	return d.printTarget(ctx)
}

func (d *demo) observeRestored(ctx context.Context) error {
	if err := d.sendCommand(ctx, "/reset", ""); err != nil {
		return err
	}
	if err := d.requestCheck(ctx); err != nil {
		return err
	}
	credential, err := d.waitForReady(ctx, metav1.ConditionTrue, "Accepted")
	if err != nil {
		return err
	}
	printConditions(credential)
	return nil
}

func (d *demo) observeSecretBack(ctx context.Context) error {
	var before corev1.Secret
	if err := d.client.Get(ctx, targetKey, &before); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "delete", "secret", targetKey.Name); err != nil {
		return err
	}
	err := d.waitFor(ctx, observeTimeout, func(ctx context.Context) (string, bool) {
		var after corev1.Secret
		if err := d.client.Get(ctx, targetKey, &after); err != nil {
			return err.Error(), false
		}
		same := maps.EqualFunc(before.Data, after.Data, slices.Equal)
		return fmt.Sprintf("uid %s, the same data: %t", after.UID, same), after.UID != before.UID && same
	})
	if err != nil {
		return err
	}
	var after corev1.Secret
	if err := d.client.Get(ctx, targetKey, &after); err != nil {
		return err
	}
	fmt.Printf("   It is back, with the same data. The uid is %s; it was %s.\n", shortUID(after.UID), shortUID(before.UID))
	return d.kubectl(ctx, "get", "jcred")
}

func shortUID(uid types.UID) string { return string(uid[:min(8, len(uid))]) }

// requestCheck asks for a check now. Any new value of the annotation does that.
func (d *demo) requestCheck(ctx context.Context) error {
	return d.kubectl(ctx, "annotate", "jcred", credentialKey.Name, "--overwrite",
		checkRequest+"="+time.Now().UTC().Format(time.RFC3339Nano))
}

// waitForReady returns the resource when its Ready condition has this status and reason.
func (d *demo) waitForReady(
	ctx context.Context, status metav1.ConditionStatus, reason string,
) (*v1alpha1.JupicoCredential, error) {
	credential := &v1alpha1.JupicoCredential{}
	begin := time.Now()
	err := d.waitFor(ctx, observeTimeout, func(ctx context.Context) (string, bool) {
		if err := d.client.Get(ctx, credentialKey, credential); err != nil {
			return err.Error(), false
		}
		ready := meta.FindStatusCondition(credential.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil {
			return "no Ready condition", false
		}
		return fmt.Sprintf("Ready=%s, %s: %s", ready.Status, ready.Reason, ready.Message),
			ready.Status == status && ready.Reason == reason
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for Ready=%s, %s: %w", status, reason, err)
	}
	fmt.Printf("   Ready=%s with reason %s after %.1f s.\n\n", status, reason, time.Since(begin).Seconds())
	return credential, nil
}

// printConditions prints the conditions, and only the message of Ready, because it covers the others.
func printConditions(credential *v1alpha1.JupicoCredential) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "   CONDITION\tSTATUS\tREASON")
	for _, c := range credential.Status.Conditions {
		_, _ = fmt.Fprintf(table, "   %s\t%s\t%s\n", c.Type, c.Status, c.Reason)
	}
	_ = table.Flush()
	ready := meta.FindStatusCondition(credential.Status.Conditions, v1alpha1.ConditionReady)
	fmt.Print("\n   Ready says:")
	column := width
	for word := range strings.FieldsSeq(ready.Message) {
		if column += 1 + len(word); column > width {
			fmt.Print("\n    ")
			column = 4 + len(word)
		}
		fmt.Print(" ", word)
	}
	fmt.Println()
}

// printTarget prints the keys of the Secret, never their values.
func (d *demo) printTarget(ctx context.Context) error {
	var target corev1.Secret
	if err := d.client.Get(ctx, targetKey, &target); err != nil {
		return err
	}
	fmt.Printf("   Secret %s holds the keys %v.\n", target.Name, slices.Sorted(maps.Keys(target.Data)))
	return nil
}
