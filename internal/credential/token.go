// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"regexp"
)

// Redacted is printed instead of plaintext.
const Redacted = "[redacted]"

// redacted makes a struct that embeds it print as Redacted with every verb, encoder and logger.
type redacted struct{}

// Format implements fmt.Formatter for every verb.
func (redacted) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// MarshalText implements encoding.TextMarshaler, and so covers JSON, YAML and XML.
func (redacted) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// Token is what follows "Basic " in an Authorization header (RFC 7617). It redacts itself. The zero Token is no token.
type Token struct {
	redacted
	// This is a pointer because fmt prints unexported fields of an enclosing struct without calling their methods. It
	// then prints only an address.
	value *string
}

// token68 is what may follow "Basic " (RFC 7235, section 2.1).
var token68 = regexp.MustCompile(`^[-._~+/A-Za-z0-9]+=*$`)

// ParseToken returns a token that is already encoded. It returns false if the bytes cannot follow "Basic ".
func ParseToken(encoded []byte) (Token, bool) {
	if !token68.Match(encoded) {
		return Token{}, false
	}
	return Token{value: new(string(encoded))}, true
}

// RandomToken returns a random token, in the form of a login's, that no API has issued.
func RandomToken() Token { return newLogin(rand.Text(), rand.Text()).Token(Standard) }

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.value == nil }

// Equal reports whether both tokens are the same bytes. Its running time does not depend on where they differ.
func (t Token) Equal(other Token) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// Reveal returns the plaintext. Only the header of a request and the target Secret may receive it.
func (t Token) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// Digest identifies a token without revealing it. With the same key and scope, equal tokens have equal digests. Without
// the key, a digest reveals nothing about its token.
func (t Token) Digest(key []byte, scope string) [sha256.Size]byte {
	inScope := sha256.Sum256([]byte(scope)) // its length is fixed, so that scope and token cannot be confused
	return digest(key, string(inScope[:])+t.Reveal())
}

func digest(key []byte, text string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(text))
	return [sha256.Size]byte(mac.Sum(nil))
}

// Authorization returns the value of an Authorization header in plaintext.
func (t Token) Authorization() string { return "Basic " + t.Reveal() }
