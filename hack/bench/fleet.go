// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// atOnce is how many things are done at the same time, by the loop too.
const atOnce = 32

// fleet is a number of resources in a namespace of their own, each with a source and a login of its own.
type fleet struct {
	namespace string
	size      int
	interval  time.Duration
	watch     *observer
}

func resourceName(i int) string { return fmt.Sprintf("r%05d", i) }
func sourceName(i int) string   { return fmt.Sprintf("s%05d", i) }
func targetName(i int) string   { return fmt.Sprintf("t%05d", i) }

func (f *fleet) username(i int) string { return fmt.Sprintf("%s-%05d", f.namespace, i) }

func password(i, edition int) string { return fmt.Sprintf("pass-%05d-%d", i, edition) }

// each does something for each of a range of numbers, many at once.
func each(ctx context.Context, from, to int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	next.Store(int64(from))
	for range atOnce {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < to; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// newFleet creates resources and all that they need.
func (b *bench) newFleet(ctx context.Context, namespace string, size int, interval time.Duration) (*fleet, error) {
	f := &fleet{namespace: namespace, interval: interval}
	err := b.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	if err != nil {
		return nil, err
	}
	if f.watch, err = b.observe(ctx, namespace); err != nil {
		return nil, err
	}
	return f, b.grow(ctx, f, size)
}

// grow makes a fleet larger.
func (b *bench) grow(ctx context.Context, f *fleet, size int) error {
	from := f.size
	f.size = size
	err := each(ctx, from, size, func(ctx context.Context, i int) error {
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
	return each(ctx, from, size, func(ctx context.Context, i int) error { return b.admin.Create(ctx, b.resource(f, i)) })
}

func (b *bench) addAccount(ctx context.Context, f *fleet, i, edition int) error {
	return b.steer(ctx, "/accounts", fmt.Sprintf(`{"username":%q,"password":%q,"forms":["Standard"]}`,
		f.username(i), password(i, edition)))
}

func (b *bench) resource(f *fleet, i int) *v1alpha1.JupicoCredential {
	return &v1alpha1.JupicoCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: resourceName(i)},
		Spec: v1alpha1.JupicoCredentialSpec{
			Environment:   v1alpha1.EnvironmentSandbox,
			Endpoint:      &v1alpha1.Endpoint{URL: b.emulatorURL},
			CheckInterval: metav1.Duration{Duration: f.interval},
			Credentials: []v1alpha1.Credential{{
				Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: sourceName(i)},
			}},
			Target: v1alpha1.Target{Name: targetName(i)},
		},
	}
}

// removals is how often objects are deleted that are still there: what is large takes longer than the API server gives
// a request, which it ends in more ways than one.
const removals = 5

// remove deletes a fleet and what the operator made of it, both kinds at once, since the API server deletes the objects
// of one kind one after the other.
func (b *bench) remove(ctx context.Context, f *fleet) error {
	f.watch.stop()
	group, ctx := errgroup.WithContext(ctx)
	for _, kind := range []client.Object{&v1alpha1.JupicoCredential{}, &corev1.Secret{}} {
		group.Go(func() error {
			var err error
			for range removals {
				if err = b.admin.DeleteAllOf(ctx, kind, client.InNamespace(f.namespace)); err == nil {
					break
				}
			}
			return err
		})
	}
	return group.Wait()
}

// dismiss stops the operator and removes the fleet that a part left.
func (b *bench) dismiss(ctx context.Context) error {
	err := b.stopOperator()
	if b.fleet != nil {
		err = errors.Join(err, b.remove(ctx, b.fleet))
		b.fleet = nil
	}
	return err
}
