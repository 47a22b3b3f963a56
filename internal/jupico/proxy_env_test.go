// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"net/url"
	"strings"
	"testing"
)

// setProxy sets the environment of one test.
func setProxy(t *testing.T, values map[string]string) {
	t.Helper()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} {
		t.Setenv(name, values[name])
	}
}

func TestAProxyThatCannotBeUsedIsRefusedByTheNameOfItsVariableAlone(t *testing.T) {
	for sentence, value := range map[string]string{
		"with a percent sign in its password":      "http://svc:hunter%ss@proxy.corp:3128",
		"with that and no scheme":                  "svc:hunter%ss@proxy.corp:3128",
		"with a slash in its password":             "http://svc:hunter/2@proxy.corp:3128",
		"with a slash behind digits":               "http://svc:1/hunter@proxy.corp:3128",
		"with a question mark behind digits":       "http://svc:1?hunter@proxy.corp:3128",
		"with a number sign behind digits":         "http://svc:1#hunter@proxy.corp:3128",
		"with a number sign in its password":       "http://svc:hunter#2@proxy.corp:3128",
		"with a backslash in its user":             `http://CORP\svc:hunter@proxy.corp:3128`,
		"with a space in its password":             "http://svc:hunter 2@proxy.corp:3128",
		"in quotes":                                `"http://svc:hunter@proxy.corp:3128"`,
		"behind a space":                           " http://svc:hunter@proxy.corp:3128",
		"with a newline at its end":                "http://svc:hunter@proxy.corp:3128\n",
		"of a scheme that no proxy has":            "ftp://svc:hunter@proxy.corp:3128",
		"of a scheme that no proxy has, and a tab": "http\t://svc:hunter@proxy.corp:3128",
		"of a scheme that is misspelt":             "htps://svc:hunter@proxy.corp:3128",
		"without a host":                           "http://svc:hunter@",
		"without a host but with a port":           "http://svc:hunter@:3128",
		"that is a scheme":                         "http://",
		"that is a port":                           ":3128",
		"that is a space":                          " ",
		"without a scheme but with slashes":        "//svc:hunter@proxy.corp:3128",
		"with a path":                              "http://svc:hunter@proxy.corp:3128/proxy.pac",
		"with a word for a port":                   "http://svc:hunter@proxy.corp:squid",
		"with a port beyond all":                   "http://svc:hunter@proxy.corp:65536",
		"that is an IPv6 address without brackets": "http://svc:hunter@fd00::1:3128",
	} {
		for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
			t.Run(sentence+", in "+name, func(t *testing.T) {
				setProxy(t, map[string]string{name: value})
				wantRefused(t, name+" cannot be used: it ", "svc", "hunter", "corp", "fd00", "squid")
			})
		}
	}
}

func TestAListOfExceptionsThatCannotBeOneIsRefused(t *testing.T) {
	for sentence, list := range map[string]string{
		"with spaces between":          "localhost .corp 10.0.0.0/8",
		"with a network that is none":  ".corp,10.0.0.0/33",
		"with a URL":                   ".corp,https://gateway.corp",
		"with somebody's word":         ".corp,svc:hunter@gateway.corp",
		"with a line break between":    ".corp\ngateway.corp",
		"with a mask instead of a /24": "10.0.0.0/255.255.255.0",
	} {
		for _, name := range []string{"NO_PROXY", "no_proxy"} {
			t.Run(sentence+", in "+name, func(t *testing.T) {
				setProxy(t, map[string]string{name: list})
				wantRefused(t, name+" cannot be used: entry ", "corp", "hunter", "255")
			})
		}
	}
}

// wantRefused wants an error that begins in one way and shows nothing of the value.
func wantRefused(t *testing.T, prefix string, hidden ...string) {
	t.Helper()
	proxy, err := ProxyFromEnvironment()
	if err == nil || proxy != nil {
		t.Fatal("it was not refused")
	}
	message := err.Error()
	if !strings.HasPrefix(message, prefix) {
		t.Errorf("got %q, want something that begins with %q", message, prefix)
	}
	for _, part := range hidden {
		if strings.Contains(strings.ReplaceAll(message, "http://proxy.example:3128", ""), part) {
			t.Errorf("%q shows %q", message, part)
		}
	}
}

func TestAProxyIsUsedAsTheEnvironmentSays(t *testing.T) {
	list := map[string]string{"HTTPS_PROXY": "http://proxy.corp:3128", "NO_PROXY": " localhost, .corp:8443,10.0.0.0/8,[fd00::1]:443 ,"}
	for _, tc := range []struct {
		sentence string
		values   map[string]string
		target   string
		want     string
	}{
		{"without one", nil, productionURL, ""},
		{"in capitals", map[string]string{"HTTPS_PROXY": "http://proxy.corp:3128"}, productionURL, "http://proxy.corp:3128"},
		{"in small letters", map[string]string{"https_proxy": "http://proxy.corp:3128"}, productionURL, "http://proxy.corp:3128"},
		{"in capitals first", map[string]string{"HTTPS_PROXY": "proxy.corp:1", "https_proxy": "%"}, productionURL, "http://proxy.corp:1"},
		{"without its scheme", map[string]string{"HTTPS_PROXY": "proxy.corp:3128"}, productionURL, "http://proxy.corp:3128"},
		{"without its port", map[string]string{"HTTPS_PROXY": "http://proxy.corp"}, productionURL, "http://proxy.corp:80"},
		{"over TLS without its port", map[string]string{"HTTPS_PROXY": "HTTPS://proxy.corp/"}, productionURL, "https://proxy.corp:443/"},
		{"of SOCKS", map[string]string{"HTTPS_PROXY": "socks5://proxy.corp"}, productionURL, "socks5://proxy.corp:1080"},
		{"with an address", map[string]string{"HTTPS_PROXY": "http://[fd00::1]:3128"}, productionURL, "http://[fd00::1]:3128"},
		{"with a password", map[string]string{"HTTPS_PROXY": "svc:pa%25ss%2F%40@proxy.corp:3128"}, productionURL,
			"http://svc:pa%25ss%2F%40@proxy.corp:3128"},
		{"but on this machine", list, "https://localhost:9443", ""},
		{"but for a domain", list, "https://gateway.corp:8443", ""},
		{"but for a domain on another port", list, "https://gateway.corp", "http://proxy.corp:3128"},
		{"but for a network", list, "https://10.1.2.3", ""},
		{"but for an address", list, "https://[fd00::1]", ""},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			setProxy(t, tc.values)
			proxy, err := ProxyFromEnvironment()
			if err != nil {
				t.Fatal(err)
			}
			target, err := url.Parse(tc.target)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if chosen := proxy(target); chosen != nil {
				got = chosen.String()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
