// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// parallelism is the number of goroutines that create objects, in the bare loop too.
const parallelism = 32

// fleet is a number of resources in one namespace, each with a source and a login of its own.
type fleet struct {
	namespace string
	size      int
	interval  time.Duration // spec.checkInterval
	observer  *observer
}

func resourceName(i int) string { return fmt.Sprintf("r%05d", i) }
func sourceName(i int) string   { return fmt.Sprintf("s%05d", i) }
func targetName(i int) string   { return fmt.Sprintf("t%05d", i) }

func (f *fleet) username(i int) string { return fmt.Sprintf("%s-%05d", f.namespace, i) }

func password(i, edition int) string { return fmt.Sprintf("pass-%05d-%d", i, edition) }

// forEach calls do for each number of a range, in parallel. It stops at the first error.
func forEach(ctx context.Context, from, to int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelism)
	for i := from; i < to && ctx.Err() == nil; i++ {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// newFleet creates a namespace with resources and their sources, and begins to observe the resources.
func (b *bench) newFleet(ctx context.Context, namespace string, size int, interval time.Duration) (*fleet, error) {
	f := &fleet{namespace: namespace, interval: interval}
	err := b.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	if err != nil {
		return nil, err
	}
	if f.observer, err = b.observe(ctx, namespace); err != nil {
		return nil, err
	}
	return f, b.growFleet(ctx, f, size)
}

// growFleet creates resources until the fleet has the size.
func (b *bench) growFleet(ctx context.Context, f *fleet, size int) error {
	from := f.size
	f.size = size
	err := forEach(ctx, from, size, func(ctx context.Context, i int) error {
		if err := b.addAccount(ctx, f, i, 0); err != nil {
			return err
		}
		return b.admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: sourceName(i)},
			Type:       corev1.SecretTypeBasicAuth,
			StringData: map[string]string{"username": f.username(i), "password": password(i, 0)},
		})
	})
	if err != nil {
		return err
	}
	return forEach(ctx, from, size, func(ctx context.Context, i int) error {
		return b.admin.Create(ctx, b.newResource(f, i))
	})
}

// addAccount makes the emulator accept a password of a resource's login.
func (b *bench) addAccount(ctx context.Context, f *fleet, i, edition int) error {
	return b.emulator.Command(ctx, "/accounts", fmt.Sprintf(`{"username":%q,"password":%q,"forms":["Standard"]}`,
		f.username(i), password(i, edition)))
}

func (b *bench) newResource(f *fleet, i int) *v1alpha1.JupicoCredential {
	return &v1alpha1.JupicoCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: resourceName(i)},
		Spec: v1alpha1.JupicoCredentialSpec{
			Environment:   v1alpha1.EnvironmentSandbox,
			Endpoint:      &v1alpha1.Endpoint{URL: b.emulator.URL},
			CheckInterval: metav1.Duration{Duration: f.interval},
			Credentials: []v1alpha1.Credential{{
				Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: sourceName(i)},
			}},
			Target: v1alpha1.Target{Name: targetName(i)},
		},
	}
}

// deleteAttempts is how often the rest of a large collection is deleted: the API server breaks off a request that takes
// too long, and reports that with various errors.
const deleteAttempts = 5

// deleteFleet deletes a fleet and the targets that the operator made.
func (b *bench) deleteFleet(ctx context.Context, f *fleet) error {
	f.observer.stop()
	for _, kind := range []client.Object{&v1alpha1.JupicoCredential{}, &corev1.Secret{}} {
		var err error
		for range deleteAttempts {
			if err = b.admin.DeleteAllOf(ctx, kind, client.InNamespace(f.namespace)); err == nil {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reset stops the operator and deletes the fleet that a part left.
func (b *bench) reset(ctx context.Context) error {
	err := b.stopOperator()
	if b.fleet != nil {
		err = errors.Join(err, b.deleteFleet(ctx, b.fleet))
		b.fleet = nil
	}
	return err
}
