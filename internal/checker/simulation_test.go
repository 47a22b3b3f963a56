// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"container/heap"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/check"
)

// agenda is a heap of callers, by the time at which they ask.
type agenda []appointment

type appointment struct {
	at  time.Time
	who int
}

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(appointment)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// simulate lets n callers ask one after the other, and sets the clock to the time of each. ask returns when the same
// caller asks again, or zero when it is done. The simulation ends when nobody asks any more within the given time.
func (f *fixture) simulate(n int, lasting time.Duration, first func(who int) time.Duration, ask func(who int) time.Time) {
	f.t.Helper()
	start := f.clock.Now()
	var next agenda
	for who := range n {
		heap.Push(&next, appointment{start.Add(first(who)), who})
	}
	for len(next) > 0 && next[0].at.Before(start.Add(lasting)) {
		turn := heap.Pop(&next).(appointment)
		f.clock.SetTime(turn.at)
		again := ask(turn.who)
		if again.IsZero() {
			continue
		}
		if !again.After(turn.at) {
			f.t.Fatalf("caller %d asks again at once", turn.who)
		}
		heap.Push(&next, appointment{again, turn.who})
	}
}

func atOnce(int) time.Duration { return 0 }

// together makes many requests at the same time, and returns the answers in the same order.
func (f *fixture) together(requests []check.Request) []check.Answer {
	answers := make([]check.Answer, len(requests))
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() { answers[i] = f.ask(requests[i]) })
	}
	all.Wait()
	return answers
}

// holdBack lets the test answer the requests with goodToken: each one sends a channel to arrived, and is answered by the
// handler that it receives from that channel.
type holdBack struct {
	arrived chan chan http.HandlerFunc
	all     atomic.Bool // requests, also those with other tokens
}

func newHoldBack() *holdBack { return &holdBack{arrived: make(chan chan http.HandlerFunc)} }

func (h *holdBack) wrap(emulator http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Basic "+goodToken && !h.all.Load() {
			emulator.ServeHTTP(w, r)
			return
		}
		answer := make(chan http.HandlerFunc)
		select {
		case h.arrived <- answer:
		case <-r.Context().Done():
			return
		}
		select {
		case write := <-answer:
			write(w, r)
		case <-r.Context().Done():
		}
	})
}

func accept(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"success":true}`)
}

func refuse(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }

func fail(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

// begin makes a request in the background.
func (f *fixture) begin(request check.Request) <-chan check.Answer {
	answer := make(chan check.Answer, 1)
	go func() { answer <- f.ask(request) }()
	return answer
}

// eventually waits until another goroutine has done something.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		runtime.Gosched()
	}
}

// inFlight is how many callers are in flight to the fixture's endpoint.
func (f *fixture) inFlight() int {
	at, _ := f.checker.find(f.at)
	at.site.mu.Lock()
	defer at.site.mu.Unlock()
	return len(at.site.bucket.inFlight)
}
