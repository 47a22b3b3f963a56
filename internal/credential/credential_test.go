// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	publishedUsername = "demoApiUser"
	publishedPassword = "V8m!xP#l2Qz3"
	publishedKey      = "ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXozCg=="
	publishedToken    = "ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXoz"
)

func TestThePublishedLoginMakesTheRFCTokenAndThePublishedKey(t *testing.T) {
	login, warnings, err := Login([]byte(publishedUsername), []byte(publishedPassword))
	if err != nil || len(warnings) != 0 {
		t.Fatalf("Login: %v, warnings %v", err, warnings)
	}
	if got := login.Token(Standard).Reveal(); got != publishedToken {
		t.Errorf("Standard: %s", got)
	}
	if got := login.Token(TrailingNewline).Reveal(); got != publishedKey {
		t.Errorf("TrailingNewline: %s", got)
	}
	if got := login.Token(Standard).Authorization(); got != "Basic "+publishedToken {
		t.Errorf("Authorization: %s", got)
	}
	if !login.IsLogin() {
		t.Error("IsLogin is false for a login")
	}
}

func TestALoginIsCleanedOrTheErrorExplainsTheProblem(t *testing.T) {
	for _, tc := range []struct {
		name, username, password string
		problem                  string // part of the error, or empty
		token                    string // the decoded token, if there is no error
		warnings                 int
	}{
		{name: "a plain login", username: "u", password: "p", token: "u:p"},
		{name: "a colon in the password is fine", username: "u", password: "p:q", token: "u:p:q"},
		{name: "bytes beyond ASCII are sent as they are", username: "ü", password: "\xe9", token: "ü:\xe9"},
		{name: "inner and outer spaces are part of a password", username: "u", password: " p ", token: "u: p "},
		{name: "a trailing LF is removed from the password", username: "u", password: "p\n", token: "u:p", warnings: 1},
		{name: "a trailing CRLF is removed from both", username: "u\r\n", password: "p\r\n", token: "u:p", warnings: 2},
		{name: "only one newline is removed", username: "u", password: "p\n\n", problem: "the password contains a control character (0x0a)"},
		{name: "a lone CR is a control character", username: "u", password: "p\r", problem: "control character (0x0d)"},
		{name: "a newline inside", username: "u\nv", password: "p", problem: "the username contains a control character (0x0a)"},
		{name: "a NUL", username: "u", password: "p\x00", problem: "control character (0x00)"},
		{name: "a DEL", username: "u", password: "p\x7f", problem: "control character (0x7f)"},
		{name: "a byte order mark", username: "\uFEFFu", password: "p", problem: "the username contains a byte order mark"},
		{name: "an empty username", username: "", password: "p", problem: "the username is empty"},
		{name: "an empty password", username: "u", password: "", problem: "the password is empty"},
		{name: "only a newline", username: "u", password: "\n", problem: "the password is empty"},
		{name: "a colon in the username", username: "u:v", password: "p", problem: "the username contains a colon"},
		{name: "a password that is too long", username: "u", password: strings.Repeat("p", MaxLength+1), problem: "is longer than 4096 bytes"},
		{name: "the longest password", username: "u", password: strings.Repeat("p", MaxLength), token: "u:" + strings.Repeat("p", MaxLength)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, warnings, err := Login([]byte(tc.username), []byte(tc.password))
			expect(t, got, err, tc.problem, base64.StdEncoding.EncodeToString([]byte(tc.token)))
			if tc.problem == "" && len(warnings) != tc.warnings {
				t.Errorf("warnings: %v", warnings)
			}
		})
	}
}

func TestAnAPIKeyIsCleanedOrTheErrorExplainsTheProblem(t *testing.T) {
	for _, tc := range []struct {
		name, key string
		problem   string
		token     string
		warnings  int
	}{
		{name: "the published key", key: publishedKey, token: publishedKey},
		{name: "every character of token68", key: "aZ09-._~+/==", token: "aZ09-._~+/=="},
		{name: "white space around it", key: " \t" + publishedKey + "\r\n", token: publishedKey, warnings: 1},
		{name: "a pasted prefix", key: "Basic " + publishedKey, token: publishedKey, warnings: 1},
		{name: "a pasted prefix in lower case and a newline", key: "basic  " + publishedKey + "\n", token: publishedKey, warnings: 2},
		{name: "an empty key", key: "", problem: "the API key is empty"},
		{name: "only white space", key: " \n", problem: "the API key is empty"},
		{name: "only a prefix", key: "Basic ", problem: ""},
		{name: "only padding", key: "==", problem: "the API key contains characters"},
		{name: "padding inside", key: "a=b", problem: "the API key contains characters"},
		{name: "a space inside", key: "a b", problem: "the API key contains characters"},
		{name: "a whole header", key: "Authorization: Basic abc", problem: "the API key contains characters"},
		{name: "a login pasted as a key", key: "user:password", problem: "the API key contains characters"},
		{name: "a byte order mark", key: "\uFEFFabc", problem: "byte order mark"},
		{name: "a control character inside", key: "ab\x01c", problem: "control character (0x01)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, warnings, err := APIKey([]byte(tc.key))
			if tc.name == "only a prefix" {
				// "Basic" alone is token68. A key is opaque, so the API must decide.
				tc.token, tc.warnings = "Basic", 1
			}
			expect(t, got, err, tc.problem, tc.token)
			if tc.problem == "" && len(warnings) != tc.warnings {
				t.Errorf("warnings: %v", warnings)
			}
		})
	}
}

func expect(t *testing.T, got Credential, err error, problem, token string) {
	t.Helper()
	if problem != "" {
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Fatalf("got error %v, want one with %q", err, problem)
		}
		if got != (Credential{}) {
			t.Fatal("there is a credential as well as an error")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got.Token(Standard).Reveal() != token {
		t.Errorf("token %q, want %q", got.Token(Standard).Reveal(), token)
	}
}

func TestAnAPIKeyIsTheSameTokenInEveryForm(t *testing.T) {
	key, _, err := APIKey([]byte(publishedKey))
	if err != nil {
		t.Fatal(err)
	}
	if key.IsLogin() {
		t.Error("IsLogin is true for an API key")
	}
	if got := key.Token(TrailingNewline).Reveal(); got != publishedKey {
		t.Errorf("TrailingNewline: %s", got)
	}
}

func TestOnlyALoginRevealsAUsernameAndAPassword(t *testing.T) {
	login, _, err := Login([]byte(publishedUsername+"\n"), []byte(publishedPassword))
	if err != nil {
		t.Fatal(err)
	}
	if username, password, ok := login.RevealLogin(); username != publishedUsername || password != publishedPassword || !ok {
		t.Errorf("got %q, %q, %t", username, password, ok)
	}
	key, _, err := APIKey([]byte(publishedKey))
	if err != nil {
		t.Fatal(err)
	}
	for sentence, none := range map[string]Credential{"an API key": key, "no credential": {}} {
		if username, password, ok := none.RevealLogin(); username != "" || password != "" || ok {
			t.Errorf("%s reveals %q, %q, %t", sentence, username, password, ok)
		}
	}
}

func TestOnlyToken68IsReadBackAsAToken(t *testing.T) {
	if token, ok := ParseToken([]byte(publishedKey)); !ok || token.Reveal() != publishedKey {
		t.Errorf("the published key: %v", ok)
	}
	for _, bad := range []string{"", "=", "a b", "a\n", "Basic abc", "ü"} {
		if token, ok := ParseToken([]byte(bad)); ok || !token.IsZero() {
			t.Errorf("%q was accepted as a token", bad)
		}
	}
}

func TestRandomTokensDiffer(t *testing.T) {
	a, b := RandomToken(), RandomToken()
	if a.Equal(b) {
		t.Error("two random tokens are equal")
	}
	if !token68.MatchString(a.Reveal()) {
		t.Error("a random token is not token68")
	}
}

func TestEqualMeansTheSameBytes(t *testing.T) {
	login := func(u, p string) Credential {
		c, _, err := Login([]byte(u), []byte(p))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if !login("u", "p").Equal(login("u", "p")) || !(Credential{}).Equal(Credential{}) {
		t.Error("equal credentials differ")
	}
	if login("u", "p").Equal(login("u", "q")) || login("u", "p").Equal(Credential{}) || login("u", "p").Equal(login("v", "p")) {
		t.Error("different credentials are equal")
	}
	token := func(value string) Token { return Token{value: &value} }
	if !token("a").Equal(token("a")) || !(Token{}).Equal(Token{}) {
		t.Error("equal tokens differ")
	}
	if token("a").Equal(token("b")) || token("a").Equal(Token{}) {
		t.Error("different tokens are equal")
	}
	if (Credential{}).Token(Standard).Reveal() != "" {
		t.Error("the zero credential has a token")
	}
}

func TestNothingPrintsPlaintext(t *testing.T) {
	login, _, err := Login([]byte(publishedUsername), []byte(publishedPassword))
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Shown  Credential
		hidden Credential
		token  Token
		Token  Token
	}
	h := holder{login, login, login.Token(Standard), login.Token(TrailingNewline)}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", &h)
		fmt.Fprintf(&out, verb+"\n", []any{h.Shown, h.Token, &h.Token})
	}
	encoded, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("Printed", "credential", login, "token", h.Token, "holder", h)
	}
	for _, plain := range []string{publishedUsername, publishedPassword, publishedToken, "V8m"} {
		for _, form := range []string{plain, fmt.Sprintf("%x", plain), base64.StdEncoding.EncodeToString([]byte(plain))} {
			if strings.Contains(out.String(), form) {
				t.Errorf("%q was printed:\n%s", form, out.String())
			}
		}
	}
	if !strings.Contains(out.String(), Redacted) {
		t.Error("the output does not say that anything was redacted")
	}
}

func TestADigestIdentifiesATokenInAScope(t *testing.T) {
	token := func(encoded string) Token {
		parsed, ok := ParseToken([]byte(encoded))
		if !ok {
			t.Fatalf("%q is not a token", encoded)
		}
		return parsed
	}
	digest := token("abc").Digest([]byte("key"), "scope")
	if digest != token("abc").Digest([]byte("key"), "scope") {
		t.Error("equal tokens have different digests")
	}
	for sentence, other := range map[string][32]byte{
		"another token":  token("abd").Digest([]byte("key"), "scope"),
		"another key":    token("abc").Digest([]byte("kez"), "scope"),
		"another scope":  token("abc").Digest([]byte("key"), "scopf"),
		"a longer scope": token("bc").Digest([]byte("key"), "scopea"),
		"no token":       Token{}.Digest([]byte("key"), "scope"),
	} {
		if digest == other {
			t.Errorf("%s has the same digest", sentence)
		}
	}
}

func TestDigestsTellUsernamesApartWithoutTheirBytes(t *testing.T) {
	digest := func(username, password, key string) [32]byte {
		login, _, err := Login([]byte(username), []byte(password))
		if err != nil {
			t.Fatal(err)
		}
		return login.UsernameDigest([]byte(key))
	}
	one := digest("user", "password", "key")
	if one != digest("user", "another password", "key") {
		t.Error("one username has different digests")
	}
	if one == digest("user2", "password", "key") || one == digest("user", "password", "kez") || one == ([32]byte{}) {
		t.Error("another username, another key or no username has the same digest")
	}
	apiKey, _, err := APIKey([]byte("user"))
	if err != nil {
		t.Fatal(err)
	}
	for _, none := range []Credential{{}, apiKey} {
		if none.UsernameDigest([]byte("key")) != ([32]byte{}) {
			t.Error("what is no login has a username")
		}
	}
}

// disguise replaces letters by others, and leaves alone those of "Basic" and all that has a meaning.
func disguise(value []byte) []byte {
	const from = "defghjklmnopqrtuvwxyzDEFGHJKLMNOPQRTUVWXYZ"
	return bytes.Map(func(r rune) rune {
		if i := strings.IndexRune(from, r); i >= 0 {
			return rune(from[(i+1)%len(from)])
		}
		return r
	}, value)
}

// expectSameAdvice looks whether what users are told is the same about values of other letters: then it holds none.
func expectSameAdvice(t *testing.T, warnings, others []Warning, err, other error) {
	t.Helper()
	if fmt.Sprint(err) != fmt.Sprint(other) || !slices.Equal(warnings, others) {
		t.Fatalf("of other letters it is said %v and %q, and not %v and %q", other, others, err, warnings)
	}
}

// isPlain reports whether a value is ASCII that can be printed, which needs no cleaning.
func isPlain(value []byte) bool {
	return len(value) > 0 && len(value) <= MaxLength &&
		!bytes.ContainsFunc(value, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

func FuzzALoginKeepsEveryByteExceptOneNewline(f *testing.F) {
	f.Add([]byte(publishedUsername), []byte(publishedPassword))
	f.Add([]byte("u"), []byte("p\r\n"))
	f.Add([]byte("u:v"), []byte("\x00"))
	f.Add([]byte("\ufeffu"), []byte("p"))
	f.Add([]byte("h\x00u\x00n\x00t\x00"), []byte("\x00h\x00u\x00n\x00t"))
	f.Add([]byte("u\n\n"), []byte("\r\n"))
	f.Add([]byte("\xe9"), bytes.Repeat([]byte("long"), MaxLength/4+1))
	f.Fuzz(func(t *testing.T, username, password []byte) {
		login, warnings, err := Login(username, password)
		if utf8.Valid(username) && utf8.Valid(password) {
			_, others, other := Login(disguise(username), disguise(password))
			expectSameAdvice(t, warnings, others, err, other)
		}
		if err != nil {
			if isPlain(username) && isPlain(password) && !bytes.ContainsRune(username, ':') {
				t.Fatalf("%q and %q are refused: %v", username, password, err)
			}
			return
		}
		cut := func(b []byte) string {
			s := string(b)
			if s, found := strings.CutSuffix(s, "\r\n"); found {
				return s
			}
			return strings.TrimSuffix(s, "\n")
		}
		plain := decodeBase64(t, login.Token(Standard).Reveal())
		if want := cut(username) + ":" + cut(password); plain != want {
			t.Fatalf("token of %q, want %q", plain, want)
		}
		if got := decodeBase64(t, login.Token(TrailingNewline).Reveal()); got != plain+"\n" {
			t.Fatalf("the other form is of %q, want %q and a newline", got, plain)
		}
		// A server takes the username to end at the first colon.
		name, word, isLogin := login.RevealLogin()
		if first, second, _ := strings.Cut(plain, ":"); !isLogin || name != first || word != second {
			t.Fatalf("a server reads %q and %q, and not %q and %q", first, second, name, word)
		}
		expectRedacted(t, login)
	})
}

func FuzzAnAPIKeyIsSentAsItWasPastedOrRefused(f *testing.F) {
	for _, key := range []string{
		publishedKey, "Basic abc=\n", "basic  Basic abc", "Basic", "Basic ", "two words", "a=b", "\ufeffabc", "a\x00b\x00",
		"\u00a0abc\u0085", "=", "ba\u017fic abc", strings.Repeat("a", MaxLength+1),
	} {
		f.Add([]byte(key))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		got, warnings, err := APIKey(key)
		if utf8.Valid(key) {
			_, others, other := APIKey(disguise(key))
			expectSameAdvice(t, warnings, others, err, other)
		}
		if err != nil {
			if token68.Match(key) && len(key) <= MaxLength {
				t.Fatalf("%q is refused: %v", key, err)
			}
			return
		}
		token := got.Token(Standard).Reveal()
		if !token68.MatchString(token) || !bytes.Contains(key, []byte(token)) || len(token) > MaxLength {
			t.Fatalf("%q made the token %q", key, token)
		}
		if (token != string(key)) != (len(warnings) > 0) {
			t.Fatalf("%q made the token %q, with the warnings %q", key, token, warnings)
		}
		again, _, err := APIKey([]byte(token))
		if err != nil || !again.Equal(got) || got.IsLogin() || got.Token(TrailingNewline).Reveal() != token {
			t.Fatalf("%q made the token %q, which is made another one (%v)", key, token, err)
		}
		expectRedacted(t, got)
	})
}

func decodeBase64(t *testing.T, text string) string {
	t.Helper()
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func expectRedacted(t *testing.T, c Credential) {
	t.Helper()
	if got := fmt.Sprintf("%v %+v %#v %s", c, c, c.Token(Standard), []Credential{c}); got !=
		strings.Join([]string{Redacted, Redacted, Redacted, "[" + Redacted + "]"}, " ") {
		t.Fatalf("it is printed as %s", got)
	}
}

func TestTextInUTF16IsSaidToBeThat(t *testing.T) {
	encode := func(text string, order binary.AppendByteOrder) []byte {
		var encoded []byte
		for _, unit := range utf16.Encode([]rune(text)) {
			encoded = order.AppendUint16(encoded, unit)
		}
		return encoded
	}
	for sentence, encoded := range map[string][]byte{
		"little-endian":                          encode("hunter2", binary.LittleEndian),
		"big-endian":                             encode("hunter2", binary.BigEndian),
		"little-endian with a mark":              encode("\uFEFFhunter2", binary.LittleEndian),
		"big-endian with a mark":                 encode("\uFEFFhunter2", binary.BigEndian),
		"little-endian with a newline":           encode("hunter2\r\n", binary.LittleEndian),
		"big-endian with a newline":              encode("hunter2\r\n", binary.BigEndian),
		"with a newline of another program":      append(encode("hunter2", binary.LittleEndian), '\n'),
		"with a mark and no letter beside ASCII": encode("\uFEFF密碼", binary.LittleEndian),
		"with letters beyond ASCII":              encode("pä€ss€wörd", binary.BigEndian),
		"with as many letters beyond ASCII":      encode("a密b碼", binary.LittleEndian),
		"a pasted key":                           encode("Basic "+publishedKey+"\r\n", binary.LittleEndian),
		"a word of two letters":                  encode("ab", binary.LittleEndian),
	} {
		t.Run(sentence, func(t *testing.T) {
			const advice = " is UTF-16: save it as UTF-8, without a byte order mark"
			_, _, err := Login(encoded, []byte("p"))
			expect(t, Credential{}, err, "the username"+advice, "")
			_, _, err = Login([]byte("u"), encoded)
			expect(t, Credential{}, err, "the password"+advice, "")
			_, _, err = APIKey(encoded)
			expect(t, Credential{}, err, "the API key"+advice, "")
		})
	}
	for _, other := range []string{"p\x00", "ab\x00", "\x00\x00\x00\x00", "a\x00b\x00c long password", "a\x00\x00b"} {
		if _, _, err := Login([]byte("u"), []byte(other)); err == nil || !strings.Contains(err.Error(), "control character (0x00)") {
			t.Errorf("%q gives %v", other, err)
		}
	}
}
