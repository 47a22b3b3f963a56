// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"encoding/base64"
	"errors"
	"slices"
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

// Forms is a set of ways to make a token from a login.
type Forms uint8

const (
	// Standard is base64("user:password"), as in RFC 7617.
	Standard Forms = 1 << iota
	// TrailingNewline is base64("user:password\n"), as in Jupico's published API key.
	TrailingNewline
	// Both is either of the two.
	Both = Standard | TrailingNewline
)

var formNames = map[string]Forms{"Standard": Standard, "TrailingNewline": TrailingNewline, "Both": Both}

// ParseForms returns the set of the named forms. The names are Standard, TrailingNewline and Both.
func ParseForms(names ...string) (Forms, error) {
	var forms Forms
	known := len(names) > 0
	for _, name := range names {
		known = known && formNames[name] != 0
		forms |= formNames[name]
	}
	if !known {
		return 0, errors.New("a token form is required: Standard, TrailingNewline or Both")
	}
	return forms, nil
}

// credential is an account or a key.
type credential struct {
	tokens  []string // that are accepted for an account
	revoked bool
	code    string // the error code of the answer, or "" if the credential is active
}

// credentialOf returns the key or account that token belongs to, or nil. The caller holds the lock.
func (e *Emulator) credentialOf(token string) *credential {
	if key, known := e.keys[token]; known {
		return key
	}
	// The login only finds the account. Because it is the same for both forms, the tokens are compared too.
	login, _ := base64.StdEncoding.DecodeString(token)
	username, _, _ := strings.Cut(string(login), ":")
	if account, known := e.accounts[username]; known && slices.Contains(account.tokens, token) {
		return account
	}
	return nil
}

// addAccount is AddAccount for a caller that holds the lock.
func (e *Emulator) addAccount(username, password string, accept Forms) {
	added := &credential{}
	for form, ending := range map[Forms]string{Standard: "", TrailingNewline: "\n"} {
		if accept&form != 0 {
			login := username + ":" + password + ending
			added.tokens = append(added.tokens, base64.StdEncoding.EncodeToString([]byte(login)))
		}
	}
	e.accounts[username] = added
}

// AddAccount adds an active account, or replaces the one with the same username. An account whose username contains a
// colon is never accepted, because HTTP Basic cannot carry it.
func (e *Emulator) AddAccount(username, password string, accept Forms) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.addAccount(username, password, accept)
}

// AddKey adds an active API key: an opaque token that is accepted byte for byte. If a login has the same token, only
// the state of the key counts.
func (e *Emulator) AddKey(token string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys[token] = &credential{}
}

// Revoke makes the API answer as if it had never known the account with that username, or the key with that token. It
// says whether there is one.
func (e *Emulator) Revoke(name string) bool {
	return e.update(name, func(c *credential) { c.revoked = true })
}

// Restore undoes Revoke, and says whether there is an account or key with that name. It does not undo SetState.
func (e *Emulator) Restore(name string) bool {
	return e.update(name, func(c *credential) { c.revoked = false })
}

// SetState makes the API answer the account or key with that name with an error code such as auth_invalid_api_user, and
// with the status that is documented for the code (401 if none is). An empty code makes the API accept it again.
// SetState says whether there is an account or key with that name.
func (e *Emulator) SetState(name, code string) bool {
	return e.update(name, func(c *credential) { c.code = code })
}

func (e *Emulator) update(name string, change func(*credential)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	named, known := e.accounts[name]
	if !known {
		named, known = e.keys[name]
	}
	if known {
		change(named)
	}
	return known
}

// SetPublishedForms sets the forms that the published account accepts, now and after each Reset. Like Reset, it
// restores that account.
func (e *Emulator) SetPublishedForms(accept Forms) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.publishedForms = accept
	e.addAccount(PublishedUsername, PublishedPassword, accept)
}

// Reset does what Jupico does to the shared sandbox every 24 hours: it removes every account and key that was added,
// and restores the published account. Faults, modes and counters stay.
func (e *Emulator) Reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.accounts)
	clear(e.keys)
	e.addAccount(PublishedUsername, PublishedPassword, e.publishedForms)
}

// Wipe removes every account and key, and the published account too. This is what a reset looks like while it is in
// progress, or if it was interrupted.
func (e *Emulator) Wipe() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.accounts)
	clear(e.keys)
}
