// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package credential is where plaintext lives: it parses what a Secret holds, cleans it of what people paste along with
// it, and makes the tokens that are sent. Whatever it returns redacts itself.
package credential

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// MaxLength bounds a username, a password and an API key, in bytes. Header fields beyond it are refused by common
// servers anyway.
const MaxLength = 4096

// Form is the way a token is made of a username and a password.
type Form string

const (
	// Standard is base64(username:password), as RFC 7617 has it.
	Standard Form = "Standard"
	// TrailingNewline is base64(username:password and a line feed): the form of Jupico's published API key.
	TrailingNewline Form = "TrailingNewline"
)

// Warning says, for a user, what was cut off a value that was read.
type Warning string

// InvalidError says, for a user, why bytes cannot be a credential. It holds nothing of their value.
type InvalidError struct {
	// Field is "username", "password" or "API key".
	Field string
	// Problem completes a sentence that begins with the field.
	Problem string
}

func (e *InvalidError) Error() string { return "the " + e.Field + " " + e.Problem }

// Credential is a username and a password, or an API key. It prints as Redacted. The zero Credential is none.
type Credential struct {
	// A function, for the same reason as Token's pointer: fmt follows a pointer to a struct, but calls nothing.
	plain func() plaintext
}

type plaintext struct {
	username, password string
	apiKey             string
}

// Login makes a credential of a username and a password. One trailing LF or CRLF is cut off each, with a warning. The
// error is an *InvalidError.
func Login(username, password []byte) (Credential, []Warning, error) {
	var warnings []Warning
	user, warnings := cutNewline("username", username, warnings)
	pass, warnings := cutNewline("password", password, warnings)
	if err := checkText("username", user); err != nil {
		return Credential{}, warnings, err
	}
	if bytes.ContainsRune(user, ':') {
		return Credential{}, warnings, &InvalidError{"username", "contains a colon, which HTTP Basic authentication " +
			"cannot carry (RFC 7617): check that username and password are not both in it"}
	}
	if err := checkText("password", pass); err != nil {
		return Credential{}, warnings, err
	}
	return newCredential(plaintext{username: string(user), password: string(pass)}), warnings, nil
}

// APIKey makes a credential of an API key, which is opaque. Surrounding white space and a pasted "Basic " are cut off,
// with a warning. The error is an *InvalidError.
func APIKey(key []byte) (Credential, []Warning, error) {
	var warnings []Warning
	value := bytes.TrimSpace(key)
	if len(value) != len(key) {
		warnings = append(warnings, "white space around the API key was cut off")
	}
	if scheme, rest, found := bytes.Cut(value, []byte(" ")); found && bytes.EqualFold(scheme, []byte("Basic")) {
		value = bytes.TrimSpace(rest)
		warnings = append(warnings, `the prefix "Basic " was cut off the API key`)
	}
	if err := checkText("API key", value); err != nil {
		return Credential{}, warnings, err
	}
	if !isToken68(value) {
		return Credential{}, warnings, &InvalidError{"API key", "holds characters that cannot stand in an Authorization " +
			"header: copy it again from Backoffice, just the key"}
	}
	return newCredential(plaintext{apiKey: string(value)}), warnings, nil
}

func newCredential(plain plaintext) Credential {
	return Credential{plain: func() plaintext { return plain }}
}

// IsZero reports whether there is no credential.
func (c Credential) IsZero() bool { return c.plain == nil }

// IsLogin reports whether it is a username and a password, which make a token in more than one form.
func (c Credential) IsLogin() bool { return c.plain != nil && c.plain().apiKey == "" }

// RevealLogin returns the username and the password in plaintext, and false when it is no login. Only the target Secret
// may receive them.
func (c Credential) RevealLogin() (username, password string, ok bool) {
	if !c.IsLogin() {
		return "", "", false
	}
	return c.plain().username, c.plain().password, true
}

// Equal reports whether both are made of the same bytes.
func (c Credential) Equal(other Credential) bool {
	if c.IsZero() || other.IsZero() {
		return c.IsZero() == other.IsZero()
	}
	same := func(a, b string) int { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) }
	one, two := c.plain(), other.plain()
	return same(one.username, two.username)&same(one.password, two.password)&same(one.apiKey, two.apiKey) == 1
}

// Token encodes a login in a form. An API key is its own token, in whatever form.
func (c Credential) Token(form Form) Token {
	switch {
	case c.IsZero():
		return Token{}
	case c.IsLogin():
		return encodeLogin(c.plain().username, c.plain().password, form)
	default:
		return newToken(c.plain().apiKey)
	}
}

// Format implements fmt.Formatter for every verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// MarshalText implements encoding.TextMarshaler, and so covers JSON, YAML and XML.
func (c Credential) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue implements slog.LogValuer.
func (c Credential) LogValue() slog.Value { return slog.StringValue(Redacted) }

// cutNewline mends the classic slip of `echo secret | base64`.
func cutNewline(field string, value []byte, warnings []Warning) ([]byte, []Warning) {
	cut, found := bytes.CutSuffix(value, []byte("\n"))
	if !found {
		return value, warnings
	}
	cut = bytes.TrimSuffix(cut, []byte("\r"))
	return cut, append(warnings, Warning("a trailing newline was cut off the "+field+
		": write it without one (printf, or echo -n)"))
}

func checkText(field string, value []byte) error {
	switch {
	case len(value) == 0:
		return &InvalidError{field, "is empty"}
	case len(value) > MaxLength:
		return &InvalidError{field, fmt.Sprintf("is longer than %d bytes", MaxLength)}
	case bytes.Contains(value, []byte("\uFEFF")):
		return &InvalidError{field, "contains a byte order mark: save it as UTF-8 without one"}
	}
	for _, c := range value {
		if c < 0x20 || c == 0x7f {
			return &InvalidError{field, fmt.Sprintf("contains a control character (0x%02x), which HTTP Basic "+
				"authentication cannot carry (RFC 7617)", c)}
		}
	}
	return nil
}
