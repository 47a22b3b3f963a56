// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package objectwatch

import (
	"context"
	"errors"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
)

func TestAWatchIsReportedWhenItFailsAndWhenItBegins(t *testing.T) {
	refused := errors.New("refused")
	cannotStream := apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", nil)
	streaming := metav1.ListOptions{SendInitialEvents: new(true)}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		sentence  string
		ctx       context.Context
		options   metav1.ListOptions
		err       error
		fromList  []error
		fromWatch []error
	}{
		{"a list is no success, for a watch may still be refused", t.Context(), metav1.ListOptions{}, nil, nil, []error{nil}},
		{"a refusal", t.Context(), metav1.ListOptions{}, refused, []error{refused}, []error{refused}},
		{"a stream begins", t.Context(), streaming, nil, nil, []error{nil}},
		{"a stream is refused", t.Context(), streaming, refused, []error{refused}, []error{refused}},
		{"an API server that cannot stream", t.Context(), streaming, cannotStream, []error{cannotStream}, nil},
		{"the process is ending", done, metav1.ListOptions{}, refused, nil, nil},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			var reported []error
			reporting := Reporting(&toolscache.ListWatch{
				ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
					return nil, test.err
				},
				WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) {
					return nil, test.err
				},
			}, func(err error) { reported = append(reported, err) })
			if _, err := reporting.ListWithContext(test.ctx, test.options); !errors.Is(err, test.err) {
				t.Errorf("the list ended with %v", err)
			}
			if !slices.Equal(reported, test.fromList) {
				t.Errorf("of the list, %v was reported", reported)
			}
			reported = nil
			if _, err := reporting.WatchWithContext(test.ctx, test.options); !errors.Is(err, test.err) {
				t.Errorf("the watch ended with %v", err)
			}
			if !slices.Equal(reported, test.fromWatch) {
				t.Errorf("of the watch, %v was reported", reported)
			}
		})
	}
}
