// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// stuckAfter is how long work may be overdue, without any being finished, before the work queue counts as stuck. It is
// twice the longest wait that Jupico can ask for, and many times the longest that a check may take.
const stuckAfter = 10 * time.Minute

// probeTimeout is how long the head of a request for a probe may take.
const probeTimeout = 10 * time.Second

// checkHealth is a healthz.Checker that tells whether the work queue moves. Whatever Jupico or the API server do, each
// reconcile ends, be it with an error. Only a process that needs to be restarted has work and finishes none.
func (r *Reconciler) checkHealth(request *http.Request) error {
	select {
	case <-r.elected:
	default:
		return nil // another replica does the work, while this one may wait for years
	}
	now := r.clock.Now()
	if !r.isWorking() { // a restart would not help, and would be the other namespaces' loss
		r.lastFinished.Store(&now)
		return nil
	}
	r.lastFinished.CompareAndSwap(nil, &now) // elected just now, and perhaps with much to do
	idle := now.Sub(*r.lastFinished.Load())
	if idle <= stuckAfter {
		return nil
	}
	resources, err := list(request.Context(), r.cache)
	if err != nil {
		return nil //nolint:nilerr // the cache is stopping with the process, or nobody waits for the answer
	}
	isLate := func(resource v1alpha1.JupicoCredential) bool { return isOverdue(&resource, stuckAfter, now) }
	if late := slices.IndexFunc(resources, isLate); late >= 0 {
		return fmt.Errorf("the work queue is stuck: %s/%s is overdue, and nothing was finished for %s",
			resources[late].Namespace, resources[late].Name, idle.Round(time.Second))
	}
	return nil
}

// serveProbes serves /healthz, which fails when the work queue of a namespace is stuck, and /readyz.
func serveProbes(
	ctx context.Context, mgr ctrl.Manager, address string, checks map[string]healthz.Checker, namespaces []*namespace,
) error {
	if address == "0" || address == "" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("--health-probe-bind-address: %w", err)
	}
	mux := http.NewServeMux()
	live := http.StripPrefix("/healthz", &healthz.Handler{Checks: checks})
	mux.Handle("/healthz", live)
	mux.Handle("/healthz/", live)
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		serveReadyz(w, r.URL.Query().Has("verbose"), namespaces)
	})
	return mgr.Add(&manager.Server{
		Name: "health probe", Server: &http.Server{Handler: mux, ReadHeaderTimeout: probeTimeout}, Listener: listener,
	})
}

// serveReadyz tells which namespaces are watched. A process is ready when one of them could be: others keep no new
// version from taking over. Unlike the library's, the answer names what is amiss while the process is ready.
func serveReadyz(w http.ResponseWriter, isVerbose bool, namespaces []*namespace) {
	isReady := slices.ContainsFunc(namespaces, (*namespace).isReady)
	if !isReady {
		w.WriteHeader(http.StatusInternalServerError)
	}
	if isReady && !isVerbose {
		_, _ = io.WriteString(w, "ok")
		return
	}
	for _, n := range namespaces {
		if problem := n.problem(); problem != "" {
			_, _ = fmt.Fprintf(w, "[-]%s failed: %s\n", n.label("namespace"), problem)
		} else {
			_, _ = fmt.Fprintf(w, "[+]%s ok\n", n.label("namespace"))
		}
	}
}
