// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// reactions is the number of changes of each kind. Each change is made to another resource.
const reactions = 200

// reaction is a kind of change that the operator reacts to.
type reaction struct {
	name string
	// latency of the checks in between, which is not the operator's time.
	latency time.Duration
	// change makes the change, and returns the token that the target should hold afterwards.
	change func(ctx context.Context, b *bench, f *fleet, i int) (string, error)
}

var allReactions = []reaction{
	{"source_changed", latency, changeSource},
	{"target_deleted", 0, deleteTarget},
	{"target_tampered", 0, tamperWithTarget},
}

// measureReaction makes one change after another, and waits for the operator each time.
func measureReaction(ctx context.Context, b *bench) error {
	if err := b.reset(ctx); err != nil {
		return err
	}
	f, err := b.newFleet(ctx, "reaction", syncSize, usualInterval)
	if err != nil {
		return err
	}
	b.fleet = f
	if err := b.observeTargets(ctx, f); err != nil {
		return err
	}
	if _, err := b.sync(ctx, f, withoutLimit...); err != nil {
		return err
	}
	if _, err := f.observer.waitForToken(ctx, b, targetName(f.size-1), tokenOf(f, f.size-1, 0)); err != nil {
		return err
	}
	worst := 0.0
	for kind, r := range allReactions {
		var took []float64
		for i := kind * reactions; i < (kind+1)*reactions; i++ {
			ms, err := r.measure(ctx, b, f, i)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			took = append(took, ms)
		}
		b.add("reaction_"+r.name+"_p50_ms", median(took), "ms", lower)
		b.add("reaction_"+r.name+"_p99_ms", percentile(took, 0.99), "ms", lower)
		b.add("reaction_"+r.name+"_max_ms", slices.Max(took), "ms", lower)
		worst = max(worst, percentile(took, 0.99))
	}
	b.add("reaction_p99_ms", worst, "ms", lower)
	return nil
}

// measure returns the time in ms from before the change until the target is seen as it should be, without the latency.
func (r reaction) measure(ctx context.Context, b *bench, f *fleet, i int) (float64, error) {
	began := time.Now()
	want, err := r.change(ctx, b, f, i)
	if err != nil {
		return 0, err
	}
	since, err := f.observer.waitForToken(ctx, b, targetName(i), want)
	return milliseconds(since.Sub(began) - r.latency), err
}

// tokenOf returns the token of an edition of a resource's password.
func tokenOf(f *fleet, i, edition int) string {
	return base64.StdEncoding.EncodeToString([]byte(f.username(i) + ":" + password(i, edition)))
}

func changeSource(ctx context.Context, b *bench, f *fleet, i int) (string, error) {
	if err := b.addAccount(ctx, f, i, 1); err != nil {
		return "", err
	}
	patch := fmt.Sprintf(`{"stringData":{"password":%q}}`, password(i, 1))
	return tokenOf(f, i, 1), b.patchSecret(ctx, f, sourceName(i), patch)
}

func deleteTarget(ctx context.Context, b *bench, f *fleet, i int) (string, error) {
	return tokenOf(f, i, 0), b.changeTarget(ctx, f, i, func(ctx context.Context) error {
		return b.admin.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Namespace: f.namespace, Name: targetName(i),
		}})
	})
}

func tamperWithTarget(ctx context.Context, b *bench, f *fleet, i int) (string, error) {
	return tokenOf(f, i, 0), b.changeTarget(ctx, f, i, func(ctx context.Context) error {
		return b.patchSecret(ctx, f, targetName(i), `{"stringData":{"token":"tampered"}}`)
	})
}

// changeTarget makes a change, and waits until the observer has seen it: it must not take the old target for the
// restored one.
func (b *bench) changeTarget(ctx context.Context, f *fleet, i int, do func(context.Context) error) error {
	name := targetName(i)
	f.observer.mu.Lock()
	before := f.observer.tokens[name]
	f.observer.mu.Unlock()
	if before.value != tokenOf(f, i, 0) {
		return fmt.Errorf("%s did not hold its token before the change", name)
	}
	if err := do(ctx); err != nil {
		return err
	}
	return f.observer.wait(ctx, b, startTimeout, func() bool { return f.observer.tokens[name] != before })
}

func (b *bench) patchSecret(ctx context.Context, f *fleet, name, patch string) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name}}
	return b.admin.Patch(ctx, secret, client.RawPatch(types.MergePatchType, []byte(patch)))
}
