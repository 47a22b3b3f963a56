// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"fmt"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// accepted makes API keys that the emulator has accepted, each in a namespace of its own.
func (f *fixture) accepted(n int) []check.Request {
	f.t.Helper()
	requests := make([]check.Request, n)
	for i, token := range someTokens(f.t, n) {
		requests[i] = check.Request{Token: token, Namespace: fmt.Sprintf("n%d", i)}
		f.accept(requests[i])
	}
	return requests
}

func (f *fixture) accept(request check.Request) {
	f.t.Helper()
	f.AddKey(request.Token.Reveal())
	wantResult(f.t, f.ask(request).Result, outcome.Accepted, "HTTP 200")
}

// reject revokes a token, and has it checked some times. It returns the last answer.
func (f *fixture) reject(request check.Request, times int) check.Answer {
	f.t.Helper()
	f.Revoke(request.Token.Reveal())
	var last check.Answer
	for range times {
		f.advance(time.Second)
		request.NotBefore, request.LongestBackoff = f.clock.Now(), time.Hour
		last = f.ask(request)
		wantResult(f.t, last.Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
	}
	return last
}

// again has a token checked again.
func (f *fixture) again(request check.Request) check.Answer {
	f.t.Helper()
	request.NotBefore = f.clock.Now()
	return f.ask(request)
}

// backedOff asks again, and is answered by the last rejection.
func (f *fixture) backedOff(request check.Request) check.Answer {
	f.t.Helper()
	request.LongestBackoff = time.Hour
	return f.ask(request)
}

func (f *fixture) wantMass(sentence string, answer check.Answer, want bool) {
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
	f.wantMass("by a shared answer", f.backedOff(tokens[0]), true)
	if accepted := f.again(tokens[4]); accepted.MassRejection {
		t.Errorf("an acceptance says so too: %+v", accepted)
	}

	for _, token := range tokens[:2] {
		f.Restore(token.Token.Reveal())
		f.again(token)
	}
	f.wantMass("after acceptances came back", f.backedOff(tokens[3]), false)
	f.wantMass("when it begins again", f.reject(tokens[0], 2), true)
}

func TestWhatIsNoMassRejection(t *testing.T) {
	for sentence, last := range map[string]func(*fixture) check.Answer{
		"both of two tokens": func(f *fixture) check.Answer {
			tokens := f.accepted(2)
			f.reject(tokens[0], 2)
			return f.reject(tokens[1], 2)
		},
		"half of them": func(f *fixture) (last check.Answer) {
			for _, token := range f.accepted(6)[:3] {
				last = f.reject(token, 2)
			}
			return last
		},
		"all, once": func(f *fixture) (last check.Answer) {
			for _, token := range f.accepted(5) {
				last = f.reject(token, 1)
			}
			return last
		},
		"all, one after the other": func(f *fixture) (last check.Answer) {
			for _, token := range f.accepted(5) {
				f.advance(massWindow)
				last = f.reject(token, 2)
			}
			return last
		},
		"tokens that were never accepted": func(f *fixture) (last check.Answer) {
			for i, token := range someTokens(f.t, 5) {
				last = f.reject(check.Request{Token: token, Namespace: fmt.Sprintf("n%d", i)}, 3)
			}
			return last
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			f := start(t)
			f.wantMass(sentence, last(f), false)
		})
	}
}

func TestTokensThatAreNoLongerInUseHideNoMassRejection(t *testing.T) {
	f := start(t)
	tokens := f.accepted(8)
	inUse := tokens[:3]
	for range 2 {
		f.advance(time.Hour)
		for _, token := range inUse {
			f.again(token)
		}
	}
	f.advance(time.Second)
	var last check.Answer
	for _, token := range inUse {
		last = f.reject(token, 2)
	}
	f.wantMass("of eight tokens, five were replaced two hours ago", last, true)
}

func TestTokensThatAreSeldomCheckedAreInUseToo(t *testing.T) {
	f := start(t)
	often, seldom := f.accepted(8)[:3], f.accepted(8)[3:]
	for i := range seldom {
		seldom[i].LongestBackoff = day
		f.again(seldom[i])
	}
	for range 24 {
		f.advance(time.Hour)
		for _, token := range often {
			f.again(token)
		}
	}
	var last check.Answer
	for _, token := range often {
		last = f.reject(token, 2)
	}
	f.wantMass("three of eight tokens", last, false)
	f.advance(2 * time.Hour)
	for _, token := range seldom {
		last = f.reject(token, 2)
	}
	f.wantMass("after a day, the five others", last, true)
}

func TestAMassRejectionEndsWithItsWindow(t *testing.T) {
	f := start(t)
	tokens := f.accepted(3)
	for _, token := range tokens {
		f.reject(token, 2)
	}
	ask := func() check.Answer { return f.backedOff(tokens[2]) }
	f.advance(massWindow - 4*time.Second)
	f.wantMass("when the first's window is about to end", ask(), true)
	f.advance(1)
	f.wantMass("when only two are left", ask(), false)
}

func TestAMassRejectionConcernsSeveralNamespacesOrUsernames(t *testing.T) {
	f := start(t)
	login := func(username, password string) check.Request {
		made, _, err := credential.Login([]byte(username), []byte(password))
		if err != nil {
			t.Fatal(err)
		}
		return check.Request{Token: made.Token(credential.Standard), Credential: made, Namespace: "shop"}
	}
	made := 0
	key := func(namespace string) check.Request {
		made++
		key, _, err := credential.APIKey(fmt.Appendf(nil, "key-%d", made))
		if err != nil {
			t.Fatal(err)
		}
		return check.Request{Token: key.Token(""), Credential: key, Namespace: namespace}
	}
	readBack := func(namespace string) check.Request { // as from a target, whose token was made of something unknown
		request := key(namespace)
		request.Credential = credential.Credential{}
		return request
	}
	for _, tc := range []struct {
		sentence       string
		rejected, left []check.Request
		isMass         bool
	}{
		{"two of three tokens of one resource", []check.Request{key("shop"), login("a", "1")}, []check.Request{key("shop")}, false},
		{"two of two tokens in two namespaces", []check.Request{key("shop"), key("bank")}, nil, false},
		{"three tokens in two namespaces", []check.Request{key("shop"), key("shop"), key("bank")}, nil, true},
		{"three of five tokens in two namespaces", []check.Request{key("shop"), key("shop"), key("bank")}, []check.Request{key("shop"), key("bank")}, true},
		{"three of six tokens in three namespaces", []check.Request{key("shop"), key("bank"), key("club")}, []check.Request{key("shop"), key("shop"), key("bank")}, false},
		{"three API keys of one namespace", []check.Request{key("shop"), key("shop"), key("shop")}, nil, false},
		{"three logins of two usernames in one namespace", []check.Request{login("a", "1"), login("a", "2"), login("b", "1")}, nil, true},
		{"three passwords of one username in one namespace", []check.Request{login("a", "1"), login("a", "2"), login("a", "3")}, nil, false},
		{"a login and two API keys of one namespace", []check.Request{login("a", "1"), key("shop"), key("shop")}, nil, false},
		{"three tokens of which nobody knows the username", []check.Request{readBack("shop"), readBack("shop"), readBack("shop")}, nil, false},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			f.use(f.checker.options)
			f.t = t
			for _, request := range append(tc.left, tc.rejected...) {
				f.accept(request)
			}
			for i, request := range tc.rejected {
				answer := f.reject(request, 2)
				f.wantMass(tc.sentence, answer, tc.isMass && i == len(tc.rejected)-1)
			}
		})
	}
}

func TestATokenThatTwoNamespacesUseCountsForBoth(t *testing.T) {
	f := start(t)
	tokens := f.accepted(3)
	for i := range tokens {
		tokens[i].Namespace = "shop"
	}
	f.use(f.checker.options)
	for _, token := range tokens {
		f.accept(token)
	}
	other := tokens[0]
	other.Namespace = "bank"
	f.ask(other)
	f.reject(tokens[0], 2)
	f.reject(tokens[1], 2)
	f.wantMass("three tokens, one of which is of another namespace too", f.reject(tokens[2], 2), true)
}
