// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import "testing"

func TestThePublishedLoginMakesThePublishedTokens(t *testing.T) {
	if got := newlineToken(PublishedUsername, PublishedPassword); got != PublishedAPIKey {
		t.Errorf("the login with a newline makes %s, but the published key is %s", got, PublishedAPIKey)
	}
	if got := standardToken(PublishedUsername, PublishedPassword); got != PublishedStandardToken {
		t.Errorf("the login makes %s, but the standard token is %s", got, PublishedStandardToken)
	}
}

func TestATrailingNewlineMakesAnotherToken(t *testing.T) {
	tests := []struct {
		name                      string
		accept                    Forms
		wantStandard, wantNewline string
	}{
		{"Standard", Standard, "", "auth_invalid_api_token"},
		{"TrailingNewline", TrailingNewline, "auth_invalid_api_token", ""},
		{"Both", Both, "", ""},
		{"neither", 0, "auth_invalid_api_token", "auth_invalid_api_token"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := start(t)
			s.AddAccount("shop", "pass:word", test.accept)
			s.wantCode(standardToken("shop", "pass:word"), test.wantStandard)
			s.wantCode(newlineToken("shop", "pass:word"), test.wantNewline)
			s.wantCode(standardToken("shop", "password"), "auth_invalid_api_token")
		})
	}
}

func TestAnotherEncodingOfTheSameLoginIsRejected(t *testing.T) {
	s := start(t)
	s.AddAccount("shop", "word", Both)
	token := standardToken("shop", "word") // c2hvcDp3b3Jk
	s.AddAccount("ab", "c", Both)
	padded := standardToken("ab", "c") // YWI6Yw==
	for _, other := range []string{token + " ", token + "=", padded[:6], "YWI6Yx=="} {
		s.wantCode(other, "auth_invalid_api_token")
	}
}

func TestAnAPIKeyIsOpaque(t *testing.T) {
	s := start(t)
	for _, key := range []string{"key", "KEY-2", "not=base64~at.all"} {
		s.wantCode(key, "auth_invalid_api_token")
		s.AddKey(key)
		s.wantCode(key, "")
	}
	s.wantCode("Key", "auth_invalid_api_token")
}

func TestOnlyThePublishedFormOfThePublishedAccountIsAccepted(t *testing.T) {
	s := start(t)
	s.wantCode(PublishedAPIKey, "")
	s.wantCode(PublishedStandardToken, "auth_invalid_api_token")
}

func TestAResetKeepsThePublishedForms(t *testing.T) {
	s := start(t)
	s.SetPublishedForms(Standard)
	s.wantCode(PublishedStandardToken, "")
	s.wantCode(PublishedAPIKey, "auth_invalid_api_token")
	s.Reset()
	s.wantCode(PublishedStandardToken, "")
	s.wantCode(PublishedAPIKey, "auth_invalid_api_token")
}

func TestARevokedCredentialIsUnknownUntilItIsRestored(t *testing.T) {
	s := start(t)
	s.AddAccount("shop", "word", Standard)
	s.AddKey("key")
	tokens := map[string]string{"shop": standardToken("shop", "word"), "key": "key"}
	for name, token := range tokens {
		if !s.Revoke(name) {
			t.Errorf("%s is not known", name)
		}
		s.wantCode(token, "auth_invalid_api_token")
		s.Restore(name)
		s.wantCode(token, "")
	}
}

func TestARevokedKeyIsRejectedEvenIfALoginHasTheSameToken(t *testing.T) {
	s := start(t)
	s.AddKey(PublishedAPIKey)
	s.Revoke(PublishedAPIKey)
	s.wantCode(PublishedAPIKey, "auth_invalid_api_token")
}

func TestTheCodeOfAStateIsTheAnswer(t *testing.T) {
	s := start(t)
	s.AddKey("key")
	for _, code := range []string{
		"auth_invalid_api_user", "auth_invalid_role", "auth_invalid_submerchant", "auth_invalid_facilitator",
		"auth_invalid_product", "auth_token_session", "auth_not_documented",
	} {
		for name, token := range map[string]string{PublishedUsername: PublishedAPIKey, "key": "key"} {
			s.SetState(name, code)
			response, body := s.do(s.request(token))
			wantAnswer(t, response, body, 401, code)
			s.SetState(name, "")
			s.wantCode(token, "")
		}
	}
}

func TestARestoredCredentialKeepsItsState(t *testing.T) {
	s := start(t)
	s.SetState(PublishedUsername, "auth_invalid_role")
	s.Revoke(PublishedUsername)
	s.wantCode(PublishedAPIKey, "auth_invalid_api_token")
	s.Restore(PublishedUsername)
	s.wantCode(PublishedAPIKey, "auth_invalid_role")
}

func TestAnotherAccountOfTheSameNameReplacesTheFirst(t *testing.T) {
	s := start(t)
	s.AddAccount("shop", "old", Both)
	s.Revoke("shop")
	s.AddAccount("shop", "new", Standard)
	s.wantCode(standardToken("shop", "old"), "auth_invalid_api_token")
	s.wantCode(standardToken("shop", "new"), "")
	s.wantCode(newlineToken("shop", "new"), "auth_invalid_api_token")
}

func TestAnUnknownNameIsReported(t *testing.T) {
	e := New()
	changes := map[string]bool{
		"Revoke":   e.Revoke("nobody"),
		"Restore":  e.Restore("nobody"),
		"SetState": e.SetState("nobody", ""),
	}
	for change, known := range changes {
		if known {
			t.Errorf("%s found an account or a key", change)
		}
	}
}

func TestAResetLeavesOnlyThePublishedAccount(t *testing.T) {
	s := start(t)
	s.AddAccount("shop", "word", Standard)
	s.AddKey("key")
	s.AddAccount(PublishedUsername, "changed", Standard)
	s.SetState(PublishedUsername, "auth_invalid_role")
	s.Revoke(PublishedUsername)
	s.Reset()
	s.wantCode(PublishedAPIKey, "")
	s.wantCode(standardToken("shop", "word"), "auth_invalid_api_token")
	s.wantCode("key", "auth_invalid_api_token")
}

func TestAWipeLeavesNobodyUntilTheReset(t *testing.T) {
	s := start(t)
	s.AddKey("key")
	s.Wipe()
	s.wantCode(PublishedAPIKey, "auth_invalid_api_token")
	s.wantCode("key", "auth_invalid_api_token")
	s.Reset()
	s.wantCode(PublishedAPIKey, "")
}

func TestParseFormsKnowsTheNamesOfTheForms(t *testing.T) {
	tests := []struct {
		names []string
		want  Forms
	}{
		{[]string{"Standard"}, Standard},
		{[]string{"TrailingNewline"}, TrailingNewline},
		{[]string{"Both"}, Both},
		{[]string{"Standard", "TrailingNewline"}, Both},
		{nil, 0},
		{[]string{"standard"}, 0},
		{[]string{"Standard", ""}, 0},
	}
	for _, test := range tests {
		got, err := ParseForms(test.names...)
		if got != test.want || (err == nil) != (test.want != 0) {
			t.Errorf("%q gives %d and %v, want %d", test.names, got, err, test.want)
		}
	}
}
