// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

const (
	stormQPS = 100
	revoked  = "False/Revoked"
)

// measureStorm rejects the tokens of the whole fleet, and accepts them again after the operator has reported all
// rejections. The operator confirms a rejection by a second check before it reports it. It would wait for 5 minutes and
// more before it checks a rejected token again, so a check of every resource is requested. The bucket is larger than by
// default, where these 30,000 checks would take 25 minutes.
func measureStorm(ctx context.Context, b *bench) error {
	f, err := b.takeLargeFleet()
	if err != nil {
		return err
	}
	if err := b.startOperator("--check-qps=100", "--check-burst=100"); err != nil {
		return err
	}
	if err := f.observer.waitForAll(ctx, b, accepted, f.size); err != nil {
		return err
	}
	before, err := b.countCalls(ctx)
	if err != nil {
		return err
	}
	stopCounting := b.countAgainstBucket(ctx, stormQPS, stormQPS)
	if err := b.rejectTokens(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := f.observer.waitForAll(ctx, b, revoked, f.size); err != nil {
		return err
	}
	reported := time.Since(began)
	after, err := b.countCalls(ctx)
	if err != nil {
		return err
	}
	if err := b.acceptTokens(ctx); err != nil {
		return err
	}
	began = time.Now()
	if err := b.requestChecks(ctx, f); err != nil {
		return err
	}
	if err := f.observer.waitForAll(ctx, b, accepted, f.size); err != nil {
		return err
	}
	healed := time.Since(began)
	_, over, err := stopCounting()
	if err != nil {
		return err
	}
	made := after.since(before)
	n := float64(f.size)
	b.logf("Calls per resource until the rejections were reported: %s", made.perItem(n))
	b.add("storm_reported_s", reported.Seconds(), "s", lower)
	b.add("storm_healed_s", healed.Seconds(), "s", lower)
	b.add("storm_calls_per_resource", (made.reads()+made.writes())/n, "calls", lower)
	b.add("storm_over_bucket", over, "requests", lower)
	return nil
}

// requestChecks asks for a check of every resource now.
func (b *bench) requestChecks(ctx context.Context, f *fleet) error {
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"now"}}}`, v1alpha1.AnnotationCheckRequestedAt)
	return forEach(ctx, 0, f.size, func(ctx context.Context, i int) error {
		resource := &v1alpha1.JupicoCredential{ObjectMeta: metav1.ObjectMeta{
			Namespace: f.namespace, Name: resourceName(i),
		}}
		return b.admin.Patch(ctx, resource, client.RawPatch(types.MergePatchType, []byte(patch)))
	})
}
