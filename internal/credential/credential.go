// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package credential is the only package that holds plaintext. It parses the values of a Secret, removes what people
// often paste along with them, and makes the tokens that are sent. The values that it returns redact themselves.
package credential

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// MaxLength bounds a username, a password and an API key, in bytes. Servers refuse longer header fields anyway.
const MaxLength = 4096

// Form is the way in which a token is made from a username and a password.
type Form string

// The forms.
const (
	Standard        Form = "Standard"        // base64(username:password), as in RFC 7617
	TrailingNewline Form = "TrailingNewline" // with a line feed at the end, as in Jupico's published API key
)

// Warning tells a user what was removed from a value that was read.
type Warning string

// Credential is a username and a password, or an API key. It redacts itself. The zero Credential is no credential.
type Credential struct {
	redacted
	username, password, apiKey *string // pointers for the same reason as in Token
}

// Login makes a credential from a username and a password. It removes one trailing LF or CRLF from each, with a
// warning. The error tells a user why they cannot be a login. It contains no part of them.
func Login(username, password []byte) (Credential, []Warning, error) {
	if err := cmp.Or(checkEncoding("username", username), checkEncoding("password", password)); err != nil {
		return Credential{}, nil, err
	}
	username, warnings := cutNewline("username", username, nil)
	password, warnings = cutNewline("password", password, warnings)
	if err := cmp.Or(checkText("username", username), checkText("password", password)); err != nil {
		return Credential{}, warnings, err
	}
	return newLogin(string(username), string(password)), warnings, nil
}

func newLogin(username, password string) Credential {
	return Credential{username: &username, password: &password}
}

// APIKey makes a credential from an API key, which is opaque. It removes surrounding white space and a pasted "Basic ",
// with a warning for each. The error tells a user why it cannot be an API key. It contains no part of it.
func APIKey(key []byte) (Credential, []Warning, error) {
	if err := checkEncoding("API key", key); err != nil {
		return Credential{}, nil, err
	}
	var warnings []Warning
	value := bytes.TrimSpace(key)
	if len(value) != len(key) {
		warnings = append(warnings, "white space around the API key was removed")
	}
	if scheme, rest, found := bytes.Cut(value, []byte(" ")); found && bytes.EqualFold(scheme, []byte("Basic")) {
		value = bytes.TrimSpace(rest)
		warnings = append(warnings, `the prefix "Basic " was removed from the API key`)
	}
	if err := checkText("API key", value); err != nil {
		return Credential{}, warnings, err
	}
	if !token68.Match(value) {
		return Credential{}, warnings, errors.New("the API key contains characters that are not allowed in an " +
			"Authorization header: copy it again from Backoffice, only the key")
	}
	return Credential{apiKey: new(string(value))}, warnings, nil
}

// IsLogin reports whether the credential is a username and a password. Only these have more than one token form.
func (c Credential) IsLogin() bool { return c.username != nil }

// RevealLogin returns the username and the password in plaintext, and false if the credential is not a login. Only the
// target Secret may receive them.
func (c Credential) RevealLogin() (username, password string, ok bool) {
	if !c.IsLogin() {
		return "", "", false
	}
	return *c.username, *c.password, true
}

// UsernameDigest tells usernames apart, as Token.Digest does tokens. It is zero when the credential is no login.
func (c Credential) UsernameDigest(key []byte) [sha256.Size]byte {
	if !c.IsLogin() {
		return [sha256.Size]byte{}
	}
	return digest(key, *c.username)
}

// Equal reports whether both credentials were made from the same bytes.
func (c Credential) Equal(other Credential) bool {
	return c.IsLogin() == other.IsLogin() && c.Token(Standard).Equal(other.Token(Standard))
}

// Token encodes a login in the given form. An API key is its own token in every form.
func (c Credential) Token(form Form) Token {
	if !c.IsLogin() {
		return Token{value: c.apiKey}
	}
	login := *c.username + ":" + *c.password
	if form == TrailingNewline {
		login += "\n"
	}
	return Token{value: new(base64.StdEncoding.EncodeToString([]byte(login)))}
}

// cutNewline removes the newline that `echo secret | base64` adds by mistake.
func cutNewline(field string, value []byte, warnings []Warning) ([]byte, []Warning) {
	cut, found := bytes.CutSuffix(value, []byte("\n"))
	if !found {
		return value, warnings
	}
	cut = bytes.TrimSuffix(cut, []byte("\r"))
	return cut, append(warnings, Warning("a trailing newline was removed from the "+field+
		": write it without one (printf, or echo -n)"))
}

// checkEncoding recognises UTF-16 by its byte order mark, or by the zeros of at least two characters: beside ASCII, all
// that it has are on one side.
func checkEncoding(field string, value []byte) error {
	isMarked := bytes.HasPrefix(value, []byte("\xff\xfe")) || bytes.HasPrefix(value, []byte("\xfe\xff"))
	var zeros [2]int // at even and at odd positions
	for i, b := range value {
		if b == 0 {
			zeros[i%2]++
		}
	}
	most := max(zeros[0], zeros[1])
	if isMarked || min(zeros[0], zeros[1]) == 0 && most >= 2 && most >= len(value)/4 {
		return fmt.Errorf("the %s is UTF-16: save it as UTF-8, without a byte order mark", field)
	}
	return nil
}

func checkText(field string, value []byte) error {
	control := bytes.IndexFunc(value, func(r rune) bool { return r < 0x20 || r == 0x7f })
	switch {
	case len(value) == 0:
		return fmt.Errorf("the %s is empty", field)
	case len(value) > MaxLength:
		return fmt.Errorf("the %s is longer than %d bytes", field, MaxLength)
	case bytes.Contains(value, []byte("\uFEFF")):
		return fmt.Errorf("the %s contains a byte order mark: save it as UTF-8 without one", field)
	case control >= 0:
		return fmt.Errorf("the %s contains a control character (0x%02x), which HTTP Basic authentication cannot carry "+
			"(RFC 7617)", field, value[control])
	case field == "username" && bytes.ContainsRune(value, ':'):
		return errors.New("the username contains a colon, which HTTP Basic authentication cannot carry (RFC 7617): check " +
			"that username and password are not both in it")
	default:
		return nil
	}
}
