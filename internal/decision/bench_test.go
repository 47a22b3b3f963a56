// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"context"
	"testing"
)

// BenchmarkUnchangedRound does the round of a token that is accepted once more.
func BenchmarkUnchangedRound(b *testing.B) {
	w := newWorld(b, sandbox)
	delivered(w)
	b.ReportAllocs()
	for b.Loop() {
		w.now, w.requests, w.before = w.now.Add(5*m), nil, 0
		round, err := w.state.Run(context.Background(), w.observe(), w.calls())
		if err != nil || len(round.Answers) != 1 {
			b.Fatal("nothing was due")
		}
		w.resource.Status = round.Status
		w.state.Commit(round, w.resource.ResourceVersion)
	}
}
