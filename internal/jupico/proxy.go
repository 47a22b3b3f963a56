// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// proxyPorts are the schemes that a proxy's URL may have, and the ports that they stand for.
var proxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// ProxyFromEnvironment returns the Proxy of a Config that HTTPS_PROXY and NO_PROXY ask for, in capitals or not. A value
// that cannot be used is refused: net/http drops it, and sends credentials another way than was meant. The error names
// the variable, and never its value, which may hold a password.
func ProxyFromEnvironment() (func(target *url.URL) *url.URL, error) {
	config := httpproxy.FromEnvironment()
	proxy, err := parseProxy(config.HTTPSProxy)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used: it %w", setVariable("HTTPS_PROXY"), err)
	}
	config.HTTPSProxy = proxy
	if err := checkNoProxy(config.NoProxy); err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w", setVariable("NO_PROXY"), err)
	}
	choose := config.ProxyFunc()
	return func(target *url.URL) *url.URL {
		proxy, _ := choose(target) // it fails for http:// targets alone
		return proxy
	}, nil
}

// setVariable is the spelling that httpproxy took the value from.
func setVariable(name string) string {
	if os.Getenv(name) == "" {
		return strings.ToLower(name)
	}
	return name
}

// parseProxy returns the URL of a proxy with its scheme and port, which may be left out. The error is a predicate.
func parseProxy(value string) (string, error) {
	if value == "" {
		return "", nil
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	proxy, err := url.Parse(value)
	if err != nil { // its text holds the value
		return "", errors.New("is not a URL such as http://proxy.example:3128; in a user or password, characters other " +
			"than letters and digits must be percent-encoded")
	}
	port := cmp.Or(proxy.Port(), proxyPorts[proxy.Scheme])
	_, err = strconv.ParseUint(port, 10, 16)
	switch {
	case proxyPorts[proxy.Scheme] == "":
		return "", errors.New("has a scheme other than http, https, socks5 and socks5h")
	case proxy.Hostname() == "":
		return "", errors.New("names no host")
	case err != nil:
		return "", errors.New("has a port above 65535")
	case strings.Trim(proxy.Path, "/") != "", proxy.RawQuery != "", proxy.Fragment != "":
		return "", errors.New("has something behind the host and port; in a user or password, the characters / ? and # " +
			"must be percent-encoded")
	}
	proxy.Host = net.JoinHostPort(proxy.Hostname(), port)
	return proxy.String(), nil
}

// checkNoProxy refuses what httpproxy would take for the name of a host, although it cannot be one.
func checkNoProxy(list string) error {
	for i, entry := range strings.Split(list, ",") {
		entry = strings.TrimSpace(entry)
		_, _, err := net.ParseCIDR(entry)
		if err != nil && strings.ContainsAny(entry, "/@ \t\r\n") {
			return fmt.Errorf("entry %d is not a host, a domain, an address or a network such as 10.0.0.0/8; between entries "+
				"there are commas", i+1)
		}
	}
	return nil
}
