// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"encoding/base64"
	"errors"
	"strings"
)

// The shared sandbox account, as Jupico publishes it. All of this is public.
const (
	PublishedUsername = "demoApiUser"
	PublishedPassword = "V8m!xP#l2Qz3"
	// PublishedAPIKey is the base64 form of username, colon, password and a newline.
	PublishedAPIKey = "ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXozCg=="
	// PublishedStandardToken is the token that RFC 7617 makes of the same login: without the newline.
	PublishedStandardToken = "ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXoz"
)

// Forms is a set of the ways in which a login may be made into a token.
type Forms uint8

const (
	// Standard is base64("user:password"), as RFC 7617 has it.
	Standard Forms = 1 << iota
	// TrailingNewline is base64("user:password\n"), as Jupico's published API key has it.
	TrailingNewline
	// Both is either of the two.
	Both = Standard | TrailingNewline
)

var errForm = errors.New("a token form must be given, and be Standard, TrailingNewline or Both")

// ParseForms returns the set of the named forms: Standard, TrailingNewline and Both.
func ParseForms(names ...string) (Forms, error) {
	var forms Forms
	for _, name := range names {
		switch name {
		case "Standard":
			forms |= Standard
		case "TrailingNewline":
			forms |= TrailingNewline
		case "Both":
			forms |= Both
		default:
			return 0, errForm
		}
	}
	if forms == 0 {
		return 0, errForm
	}
	return forms, nil
}

// standing is what the API thinks of a credential. A nil standing is that of one that it does not know.
type standing struct {
	revoked bool
	code    string // the error code that it is answered with, or "" when it is active
}

// refusal returns the code of the error that the credential is answered with, or "" when it is accepted.
func (s *standing) refusal() string {
	if s == nil || s.revoked {
		return "auth_invalid_api_token"
	}
	return s.code
}

type account struct {
	standing
	password string
	forms    Forms
}

// accepts compares token with the account's own tokens, and not what they decode to, because the difference between
// the forms is the point.
func (a *account) accepts(username, token string) bool {
	login := username + ":" + a.password
	return a.forms&Standard != 0 && token == base64.StdEncoding.EncodeToString([]byte(login)) ||
		a.forms&TrailingNewline != 0 && token == base64.StdEncoding.EncodeToString([]byte(login+"\n"))
}

// standingOf returns the standing of the key or account that token belongs to, or nil. The caller holds the lock.
func (e *Emulator) standingOf(token string) *standing {
	if key, known := e.keys[token]; known {
		return key
	}
	// Decoding only finds the account; whether the token is one of its own is up to the account.
	login, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return nil
	}
	username, _, _ := strings.Cut(string(login), ":")
	if account, known := e.accounts[username]; known && account.accepts(username, token) {
		return &account.standing
	}
	return nil
}

// standingNamed returns the standing of the account with that username, or of the key that is that token, or nil. The
// caller holds the lock.
func (e *Emulator) standingNamed(name string) *standing {
	if account, known := e.accounts[name]; known {
		return &account.standing
	}
	return e.keys[name]
}

// AddAccount adds an active account, in place of one with the same username. A username with a colon is never
// accepted, because HTTP Basic cannot carry it.
func (e *Emulator) AddAccount(username, password string, accept Forms) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.accounts[username] = &account{password: password, forms: accept}
}

// AddKey adds an active API key: an opaque token that is accepted byte for byte. Where a login has the same token, the
// standing of the key counts.
func (e *Emulator) AddKey(token string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys[token] = &standing{}
}

// Revoke makes the API answer as if it had never known the account with that username, or the key that is that token,
// and says whether there is one.
func (e *Emulator) Revoke(name string) bool {
	return e.change(name, func(s *standing) { s.revoked = true })
}

// Restore undoes Revoke, and says whether there is an account or key of that name. A state that was set stays.
func (e *Emulator) Restore(name string) bool {
	return e.change(name, func(s *standing) { s.revoked = false })
}

// SetState makes the API answer the account or key of that name with an error code such as auth_invalid_api_user, and
// the status that the code is documented with (401 when it is not), or accept it again when code is "". It says
// whether there is an account or key of that name.
func (e *Emulator) SetState(name, code string) bool {
	return e.change(name, func(s *standing) { s.code = code })
}

func (e *Emulator) change(name string, change func(*standing)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.standingNamed(name)
	if s == nil {
		return false
	}
	change(s)
	return true
}

// SetPassword changes an account's password and nothing else, and says whether there is such an account.
func (e *Emulator) SetPassword(username, password string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	account, known := e.accounts[username]
	if known {
		account.password = password
	}
	return known
}

// SetPublishedForms sets the forms that the published account accepts, from now on and after each Reset. Like Reset,
// it restores that account.
func (e *Emulator) SetPublishedForms(accept Forms) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.publishedForms = accept
	e.addPublished()
}

// Reset does what happens to the shared sandbox every 24 hours: every account and key that was added is gone, and the
// published account is as it was published. Faults, modes and counters stay.
func (e *Emulator) Reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.removeAll()
	e.addPublished()
}

// Wipe removes every account and key, the published account too: what a reset looks like that is in progress, or was
// interrupted.
func (e *Emulator) Wipe() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.removeAll()
}

func (e *Emulator) removeAll() {
	e.accounts = map[string]*account{}
	e.keys = map[string]*standing{}
}

func (e *Emulator) addPublished() {
	e.accounts[PublishedUsername] = &account{password: PublishedPassword, forms: e.publishedForms}
}
