// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"strings"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// accepted makes tokens that the emulator knows and has accepted.
func (f *fixture) accepted(n int) []credential.Token {
	f.t.Helper()
	tokens := someTokens(f.t, n)
	for _, token := range tokens {
		f.AddKey(token.Reveal())
		wantResult(f.t, f.ask(Request{Token: token}).Result, outcome.Accepted, "HTTP 200")
	}
	return tokens
}

// reject revokes a token, and has it rejected as often. It returns the last answer.
func (f *fixture) reject(token credential.Token, times int) Answer {
	f.t.Helper()
	f.Revoke(token.Reveal())
	var last Answer
	for range times {
		f.advance(time.Second)
		last = f.ask(Request{Token: token, NotBefore: f.clock.Now(), Latch: time.Hour})
		wantResult(f.t, last.Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
	}
	return last
}

func (f *fixture) wantMass(sentence string, answer Answer, want bool) {
	f.t.Helper()
	if answer.MassRejection != want || (f.gauge("jupico_endpoint_mass_rejection") == 1) != want {
		f.t.Errorf("%s: got %+v, and the metric says %v", sentence, answer, f.gauge("jupico_endpoint_mass_rejection"))
	}
}

func TestMostTokensRejectedTogetherAreAMassRejection(t *testing.T) {
	f := start(t)
	tokens := f.accepted(5)
	f.wantMass("one", f.reject(tokens[0], 2), false)
	f.wantMass("two", f.reject(tokens[1], 2), false)
	f.wantMass("three, but one of them only once", f.reject(tokens[2], 1), false)
	f.wantMass("three of five", f.reject(tokens[2], 1), true)
	f.wantMass("four", f.reject(tokens[3], 2), true)
	f.wantMass("by a shared answer", f.ask(Request{Token: tokens[0], Latch: time.Hour}), true)
	if accepted := f.ask(Request{Token: tokens[4], NotBefore: f.clock.Now()}); accepted.MassRejection {
		t.Errorf("an acceptance says so too: %+v", accepted)
	}
	if len(f.logged) != 1 || !strings.Contains(f.logged[0], `"msg"="Noticed mass rejection"`) ||
		!strings.Contains(f.logged[0], `"rejected"=3 "tokens"=5`) {
		t.Errorf("logged: %q", f.logged)
	}

	for _, token := range tokens[:2] {
		f.Restore(token.Reveal())
		f.ask(Request{Token: token, NotBefore: f.clock.Now()})
	}
	f.wantMass("after acceptances came back", f.ask(Request{Token: tokens[3], Latch: time.Hour}), false)
	f.wantMass("when it begins again", f.reject(tokens[0], 2), true)
	if len(f.logged) != 2 {
		t.Errorf("logged: %q", f.logged)
	}
}

func TestWhatIsNoMassRejection(t *testing.T) {
	for sentence, last := range map[string]func(*fixture) Answer{
		"both of two tokens": func(f *fixture) Answer {
			tokens := f.accepted(2)
			f.reject(tokens[0], 2)
			return f.reject(tokens[1], 2)
		},
		"half of them": func(f *fixture) Answer {
			tokens := f.accepted(4)
			f.reject(tokens[0], 2)
			return f.reject(tokens[1], 2)
		},
		"all, once": func(f *fixture) (last Answer) {
			for _, token := range f.accepted(5) {
				last = f.reject(token, 1)
			}
			return last
		},
		"all, one after the other": func(f *fixture) (last Answer) {
			for _, token := range f.accepted(5) {
				f.advance(massWindow)
				last = f.reject(token, 2)
			}
			return last
		},
		"tokens that were never accepted": func(f *fixture) (last Answer) {
			for _, token := range someTokens(f.t, 5) {
				last = f.reject(token, 3)
			}
			return last
		},
		"all but those forgotten": func(f *fixture) Answer {
			tokens := f.accepted(5)
			f.advance(tokenKept / 2)
			f.ask(Request{Token: tokens[3], NotBefore: f.clock.Now()})
			f.ask(Request{Token: tokens[4], NotBefore: f.clock.Now()})
			f.advance(tokenKept/2 + 1)
			f.reject(tokens[3], 2)
			return f.reject(tokens[4], 2)
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			f := start(t)
			f.wantMass(sentence, last(f), false)
			if len(f.logged) != 0 {
				t.Errorf("logged: %q", f.logged)
			}
		})
	}
}

func TestAMassRejectionEndsWithItsWindow(t *testing.T) {
	f := start(t)
	tokens := f.accepted(3)
	for _, token := range tokens {
		f.reject(token, 2)
	}
	ask := func() Answer { return f.ask(Request{Token: tokens[2], Latch: time.Hour}) }
	f.advance(massWindow - 4*time.Second)
	f.wantMass("when the first's window is about to end", ask(), true)
	f.advance(1)
	f.wantMass("when only two are left", ask(), false)
}
