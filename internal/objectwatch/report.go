// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package objectwatch

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// Reporting returns a ListWatch that reports each list or watch that fails, and each watch that begins. A Reflector
// itself tries again for ever, and tells nobody. It watches after each list, so a list alone is no success.
func Reporting(listWatch toolscache.ListerWatcherWithContext, report func(error)) *toolscache.ListWatch {
	return &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := listWatch.ListWithContext(ctx, options)
			if err != nil && ctx.Err() == nil {
				report(err)
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			events, err := listWatch.WatchWithContext(ctx, options)
			// An API server that cannot stream is asked for a list next.
			cannotStream := ptr.Deref(options.SendInitialEvents, false) && apierrors.IsInvalid(err)
			if !cannotStream && ctx.Err() == nil {
				report(err)
			}
			return events, err
		},
	}
}
