// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
)

// Redacted is what is printed in place of plaintext.
const Redacted = "[redacted]"

// Token is what follows "Basic " in an Authorization header (RFC 7617). It prints as Redacted, whatever the verb, the
// encoder or the logger. The zero Token is no token.
type Token struct {
	// A pointer, because fmt reaches into unexported fields of surrounding structs without calling any method: there it
	// finds an address.
	value *string
}

func newToken(value string) Token { return Token{value: &value} }

// ParseToken takes a token that is already encoded. It reports false when the bytes are not token68 (RFC 7235), the
// only characters that may follow "Basic ".
func ParseToken(encoded []byte) (Token, bool) {
	if !isToken68(encoded) {
		return Token{}, false
	}
	return newToken(string(encoded)), true
}

// RandomToken returns a token, in the shape of a login's, that no API has ever issued.
func RandomToken() Token {
	return encodeLogin(rand.Text(), rand.Text(), Standard)
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.value == nil }

// Equal reports whether both are the same string of bytes, in a time that does not depend on where they differ.
func (t Token) Equal(other Token) bool {
	if t.IsZero() || other.IsZero() {
		return t.IsZero() == other.IsZero()
	}
	return subtle.ConstantTimeCompare([]byte(*t.value), []byte(*other.value)) == 1
}

// Reveal returns the plaintext. Only a request's header and the target Secret may receive it.
func (t Token) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// Digest tells tokens apart without keeping them: equal tokens have equal digests under the same key in the same scope,
// and without the key nothing can be learned from one.
func (t Token) Digest(key []byte, scope string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, key)
	inScope := sha256.Sum256([]byte(scope)) // of fixed length, so that no scope runs into a token
	_, _ = mac.Write(inScope[:])
	_, _ = mac.Write([]byte(t.Reveal()))
	return [sha256.Size]byte(mac.Sum(nil))
}

// Authorization returns the value of an Authorization header in plaintext.
func (t Token) Authorization() string { return "Basic " + t.Reveal() }

// Format implements fmt.Formatter for every verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// MarshalText implements encoding.TextMarshaler, and so covers JSON, YAML and XML.
func (t Token) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue implements slog.LogValuer.
func (t Token) LogValue() slog.Value { return slog.StringValue(Redacted) }

func encodeLogin(username, password string, form Form) Token {
	plain := username + ":" + password
	if form == TrailingNewline {
		plain += "\n"
	}
	return newToken(base64.StdEncoding.EncodeToString([]byte(plain)))
}

// isToken68 follows RFC 7235, section 2.1: at least one of the characters, then any number of "=".
func isToken68(b []byte) bool {
	body := strings.TrimRight(string(b), "=")
	if body == "" {
		return false
	}
	for _, c := range []byte(body) {
		letterOrDigit := 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !letterOrDigit && !strings.ContainsRune("-._~+/", rune(c)) {
			return false
		}
	}
	return true
}
