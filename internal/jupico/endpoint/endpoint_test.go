// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"net/url"
	"strings"
	"testing"
)

const (
	sandboxURL    = "https://sandbox-platform.jupico.com"
	productionURL = "https://platform.jupico.com"

	noURL   = "not a URL"
	noHTTPS = "not an https:// URL"
	noHost  = "a URL without a host"
	more    = "a URL with userinfo, query or fragment, of which a base URL has none"
)

func TestSpellingsOfABaseURLAreMadeOne(t *testing.T) {
	for _, tc := range []struct{ sentence, raw, want string }{
		{"Jupico's own sandbox", sandboxURL, sandboxURL},
		{"Jupico's own production", productionURL, productionURL},
		{"the scheme in capitals", "HTTPS://gw.example", "https://gw.example"},
		{"the host in capitals", "https://GW.Example", "https://gw.example"},
		{"the path in capitals stays", "https://gw.example/API", "https://gw.example/API"},
		{"the usual port", "https://gw.example:443", "https://gw.example"},
		{"an empty port", "https://gw.example:", "https://gw.example"},
		{"another port stays", "https://gw.example:8443", "https://gw.example:8443"},
		{"a port that begins like the usual one", "https://gw.example:4430", "https://gw.example:4430"},
		{"a trailing slash", "https://gw.example/", "https://gw.example"},
		{"trailing slashes", "https://gw.example///", "https://gw.example"},
		{"a trailing slash of a path", "https://gw.example/jupico/", "https://gw.example/jupico"},
		{"inner slashes stay", "https://gw.example//a//b", "https://gw.example//a//b"},
		{"an escaped path stays escaped", "https://gw.example/a%2Fb%2F", "https://gw.example/a%2Fb%2F"},
		{"a path that needs escaping", "https://gw.example/a b", "https://gw.example/a%20b"},
		{"dots in a path are not resolved", "https://gw.example/a/../b", "https://gw.example/a/../b"},
		{"everything at once", "hTTPS://Gw.Example:443/a/", "https://gw.example/a"},
		{"an IPv4 address", "https://127.0.0.1:8443", "https://127.0.0.1:8443"},
		{"an IPv6 address", "https://[FD00::1]", "https://[fd00::1]"},
		{"an IPv6 address with the usual port", "https://[fd00::1]:443/", "https://[fd00::1]"},
		{"an IPv6 address with another port", "https://[fd00::1]:8443/a", "https://[fd00::1]:8443/a"},
		{"a trailing dot is another name", "https://gw.example.", "https://gw.example."},
		{"a name beyond ASCII", "https://BÜCHER.example", "https://bücher.example"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			got, err := Canonical(tc.raw)
			if err != nil || got != tc.want {
				t.Errorf("%q gives %q and %v, want %q", tc.raw, got, err, tc.want)
			}
		})
	}
}

func TestWhatCannotBeABaseURLIsRefusedWithAReason(t *testing.T) {
	for _, tc := range []struct{ sentence, raw, problem string }{
		{"nothing", "", noHTTPS},
		{"a word", "sandbox", noHTTPS},
		{"a host", "platform.jupico.com", noHTTPS},
		{"a host and port", "platform.jupico.com:443", noHTTPS},
		{"plain HTTP", "http://platform.jupico.com", noHTTPS},
		{"another scheme", "ftp://platform.jupico.com", noHTTPS},
		{"no scheme", "//platform.jupico.com", noHTTPS},
		{"no host", "https://", noHost},
		{"no host but a port", "https://:443", noHost},
		{"no host but a path", "https:///status", noHost},
		{"no slashes", "https:platform.jupico.com", noHost},
		{"userinfo", "https://user:word@gw.example", more},
		{"a user", "https://user@gw.example", more},
		{"empty userinfo", "https://@gw.example", more},
		{"another host as userinfo", "https://platform.jupico.com@gw.example", more},
		{"a query", "https://gw.example/?a=b", more},
		{"an empty query", "https://gw.example?", more},
		{"an empty query after a path", "https://gw.example/a/?", more},
		{"a fragment", "https://gw.example/#a", more},
		{"an empty fragment", "https://gw.example#", more},
		{"white space before", " https://gw.example", noURL},
		{"a newline after", "https://gw.example\n", noURL},
		{"a space in the host", "https://gw example", noURL},
		{"a backslash in the host", `https://gw.example\a`, noURL},
		{"a port that is no number", "https://gw.example:https", noURL},
		{"two ports", "https://gw.example:1:2", noURL},
		{"an IPv6 address without brackets", "https://fd00::1", noURL},
		{"an IPv6 address with one bracket", "https://[fd00::1", noURL},
		{"brackets around a name", "https://[gw.example]", noURL},
		{"an escape that is none", "https://gw.example/%zz", noURL},
		{"a control character", "https://gw.example/\x00", noURL},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			got, err := Canonical(tc.raw)
			if err == nil || got != "" {
				t.Fatalf("%q gives %q and %v, want %q", tc.raw, got, err, tc.problem)
			}
			if err.Error() != tc.problem {
				t.Errorf("%q is refused as %q, want %q", tc.raw, err, tc.problem)
			}
		})
	}
}

// TestAHostWithAPercentSignIsRefused: unescaped it is no URL any more, or another one.
func TestAHostWithAPercentSignIsRefused(t *testing.T) {
	for sentence, raw := range map[string]string{
		"an IPv6 address with a zone":      "https://[fe80::1%25eth0]",
		"an escape that hides an escape":   "https://gw%2541.example",
		"an escape that hides half a rune": "https://gw%25e4.example",
	} {
		t.Run(sentence, func(t *testing.T) {
			if got, err := Canonical(raw); err == nil {
				t.Errorf("%q gives %q", raw, got)
			}
		})
	}
}

func TestOnlyListedBaseURLsAreAllowed(t *testing.T) {
	list, err := NewAllowList(sandboxURL, productionURL, "https://GW.example:443/Jupico/", "https://gw.example:8443")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		sentence, raw string
		want          bool
	}{
		{"the sandbox", sandboxURL, true},
		{"production", productionURL, true},
		{"production, spelled otherwise", "https://PLATFORM.jupico.com:443/", true},
		{"one that was added", "https://gw.example/Jupico", true},
		{"one that was added, spelled otherwise", "HTTPS://Gw.Example:443/Jupico//", true},
		{"another one that was added", "https://gw.example:8443/", true},
		{"the path in other letters", "https://gw.example/jupico", false},
		{"a path below", "https://gw.example/Jupico/v1", false},
		{"a path above", "https://gw.example", false},
		{"a path that begins the same", "https://gw.example/Jupico2", false},
		{"a path that leads out", "https://gw.example/Jupico/..", false},
		{"another port", "https://platform.jupico.com:8443", false},
		{"a path at Jupico's own", "https://platform.jupico.com/v1", false},
		{"a host below", "https://a.platform.jupico.com", false},
		{"a host that begins the same", "https://platform.jupico.com.gw.example", false},
		{"the same host with a dot", "https://platform.jupico.com.", false},
		{"another host", "https://gw2.example/Jupico", false},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			canonical, err := Canonical(tc.raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := list[canonical]; got != tc.want {
				t.Errorf("%s: %t, want %t", canonical, got, tc.want)
			}
		})
	}
}

func TestAnEmptyListAllowsNothing(t *testing.T) {
	if (AllowList{})[productionURL] {
		t.Error("the zero list allows production")
	}
	if list, err := NewAllowList(); err != nil || list[sandboxURL] || list[productionURL] {
		t.Errorf("%v, or a list of nothing allows an URL of Jupico's", err)
	}
}

func TestAListNamesTheURLThatItCannotHold(t *testing.T) {
	list, err := NewAllowList("https://gw.example", "http://gw.example")
	if want := `"http://gw.example": not an https:// URL`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if list["https://gw.example"] || list[productionURL] {
		t.Error("a list that could not be made allows something")
	}
}

func FuzzACanonicalIsItsOwnCanonicalForm(f *testing.F) {
	for _, raw := range []string{
		sandboxURL, "HTTPS://GW.example:443//a%2fb//", "https://[FD00::1]:8443/ä b", "https://[fe80::1%25eth0]",
		"https://gw%25e4.example", "https://%ff.example", "https://İ.example", "https://a<b>\"c/", "https://h:/?#", "http://h",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		canonical, err := Canonical(raw)
		if err != nil {
			if canonical != "" {
				t.Fatalf("%q gives %q beside an error", raw, canonical)
			}
			return
		}
		again, err := Canonical(canonical)
		if err != nil || again != canonical {
			t.Fatalf("%q gives %q, and that gives %q and %v", raw, canonical, again, err)
		}
		if !strings.HasPrefix(canonical, "https://") || strings.HasSuffix(canonical, "/") {
			t.Fatalf("%q gives %q", raw, canonical)
		}
		u, err := url.Parse(canonical + "/status")
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
			t.Fatalf("%q gives %q, of which /status is %#v and %v", raw, canonical, u, err)
		}
		if !strings.HasSuffix(u.Path, "/status") {
			t.Fatalf("%q gives %q, of which /status has the path %q", raw, canonical, u.Path)
		}
	})
}

// FuzzAnAllowListAllowsWhatItListsAlone compares what is asked with what is listed as a client would resolve both.
func FuzzAnAllowListAllowsWhatItListsAlone(f *testing.F) {
	for _, pair := range [][2]string{
		{productionURL, "https://PLATFORM.jupico.com:443/"}, {productionURL, "https://platform.jupico.com@gw.example"},
		{"https://gw.example/a", "https://gw.example/a/../b"}, {"https://gw.example/a", "https://gw.example/%61"},
		{"https://gw.example/a/b", "https://gw.example/a%2Fb"}, {"https://gw.example:", "https://gw.example:0443"},
		{"https://[fd00::1]:443", "https://[FD00::1]/"}, {"https://gw.example", "https://gw.example./"},
		{"https://gw.example/A", "https://gw.example/a"}, {"https://\u212a.example", "https://k.example"},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, listed, asked string) {
		list, err := NewAllowList(listed)
		if err != nil {
			if _, err := Canonical(listed); err == nil {
				t.Fatalf("%q cannot be listed", listed)
			}
			return
		}
		if canonical, _ := Canonical(listed); !list[canonical] || len(list) != 1 {
			t.Fatalf("a list of %q is %v", listed, list)
		}
		canonical, err := Canonical(asked)
		if err != nil || !list[canonical] {
			return
		}
		one, two := destination(t, listed), destination(t, asked)
		if one != two {
			t.Fatalf("a list of %q allows %q, which leads to %+v, and not to %+v", listed, asked, two, one)
		}
		if sent := destination(t, canonical); sent != one {
			t.Fatalf("what is sent to %q leads to %+v, and not to %+v", canonical, sent, one)
		}
	})
}

// place is where a request to a base URL goes.
type place struct{ host, port, path string }

func destination(t *testing.T, raw string) place {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" {
		t.Fatalf("%q: %v", raw, err)
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return place{strings.ToLower(u.Hostname()), port, strings.TrimRight(u.EscapedPath(), "/")}
}
