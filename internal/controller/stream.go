// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// newInformer makes the informers of a cache. That of JupicoCredentials decodes what it watches by itself, since each
// check comes back as an event: the decoder that serves any kind goes over the JSON of each seven times, managed fields
// included, which took a third of all the processor time. It works in one namespace, or in all.
func newInformer(config *rest.Config, namespace string) func(
	toolscache.ListerWatcher, runtime.Object, time.Duration, toolscache.Indexers,
) toolscache.SharedIndexInformer {
	return func(
		listWatch toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers,
	) toolscache.SharedIndexInformer {
		generic, isGeneric := listWatch.(*toolscache.ListWatch)
		resources, err := newStreams(config, namespace)
		if _, isOurs := object.(*v1alpha1.JupicoCredential); isOurs && isGeneric && err == nil {
			own := *generic
			own.WatchFuncWithContext = resources.watch
			listWatch = &own
		}
		return toolscache.NewSharedIndexInformer(listWatch, object, resync, indexers)
	}
}

// streams watches JupicoCredentials.
type streams struct {
	client    rest.Interface
	namespace string // empty: all
}

func newStreams(config *rest.Config, namespace string) (*streams, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion, config.APIPath = &v1alpha1.GroupVersion, "/apis"
	config.NegotiatedSerializer = clientgoscheme.Codecs.WithoutConversion() // of errors alone
	config.ContentType = runtime.ContentTypeJSON
	client, err := rest.RESTClientFor(config)
	return &streams{client: client, namespace: namespace}, err
}

func (s *streams) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	options.Watch, options.AllowWatchBookmarks = true, true
	var timeout time.Duration
	if options.TimeoutSeconds != nil {
		timeout = time.Duration(*options.TimeoutSeconds) * time.Second
	}
	body, err := s.client.Get().NamespaceIfScoped(s.namespace, s.namespace != "").Resource("jupicocredentials").
		SpecificallyVersionedParams(&options, clientgoscheme.ParameterCodec, corev1.SchemeGroupVersion).
		Timeout(timeout).Stream(ctx)
	if err != nil {
		return nil, err
	}
	events := &eventStream{body: body, lines: bufio.NewReader(body)}
	return watch.NewStreamWatcher(events,
		apierrors.NewClientErrorReporter(http.StatusInternalServerError, http.MethodGet, "ClientWatchDecoding")), nil
}

// eventStream decodes the events of a watch, each of which is a line. It is a watch.Decoder.
type eventStream struct {
	body  io.ReadCloser
	lines *bufio.Reader
	line  []byte // the last one, whose memory serves for the next
}

func (s *eventStream) Close() { _ = s.body.Close() }

// Decode returns the next event. io.EOF is the end of a watch, and nothing else is.
func (s *eventStream) Decode() (watch.EventType, runtime.Object, error) {
	switch err := s.next(); {
	case err == nil:
		return decodeEvent(s.line)
	case errors.Is(err, io.EOF) && len(s.line) > 0:
		return "", nil, io.ErrUnexpectedEOF
	default:
		return "", nil, err
	}
}

// next reads a line, however long.
func (s *eventStream) next() error {
	s.line = s.line[:0]
	for {
		part, err := s.lines.ReadSlice('\n')
		s.line = append(s.line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// unmanaged is metadata whose managed fields are passed over.
type unmanaged struct {
	metav1.ObjectMeta

	ManagedFields passedOver `json:"managedFields"`
}

type passedOver struct{}

// UnmarshalJSON implements json.Unmarshaler.
func (*passedOver) UnmarshalJSON([]byte) error { return nil }

func decodeEvent(line []byte) (watch.EventType, runtime.Object, error) {
	var event struct {
		Type   watch.EventType
		Object struct {
			metav1.TypeMeta

			Metadata unmanaged
			Spec     v1alpha1.JupicoCredentialSpec
			Status   v1alpha1.JupicoCredentialStatus
		}
	}
	err := json.Unmarshal(line, &event)
	switch {
	case event.Type == watch.Error: // whose object is none of ours, and an error itself to decode as one
		var failed struct{ Object metav1.Status }
		err = json.Unmarshal(line, &failed)
		return watch.Error, &failed.Object, err
	case err != nil:
		return "", nil, err
	}
	return event.Type, &v1alpha1.JupicoCredential{
		TypeMeta: event.Object.TypeMeta, ObjectMeta: event.Object.Metadata.ObjectMeta,
		Spec: event.Object.Spec, Status: event.Object.Status,
	}, nil
}
