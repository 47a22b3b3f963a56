// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package endpoint says what an endpoint is, and which endpoints credentials may be sent to.
package endpoint

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Endpoint identifies an endpoint. Two endpoints with one URL and different authorities are different: an answer of one
// proves nothing about the other.
type Endpoint struct {
	URL string // the base URL in its canonical spelling
	// CA holds, in PEM, the authorities that must have signed the endpoint's certificate. Empty means the system's.
	CA string
}

// AllowList holds the canonical base URLs that credentials may be sent to. The zero AllowList allows nothing.
type AllowList map[string]bool

// NewAllowList makes a list of base URLs in any spelling. The error names the URL that cannot be a base URL.
func NewAllowList(urls ...string) (AllowList, error) {
	list := AllowList{}
	for _, raw := range urls {
		canonical, err := Canonical(raw)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", raw, err)
		}
		list[canonical] = true
	}
	return list, nil
}

// Canonical returns the one spelling of all base URLs that mean the same: lower-case scheme and host, no default port,
// no trailing slash. The error completes a sentence that begins with "it is".
func Canonical(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("not a URL")
	}
	switch {
	case u.Scheme != "https":
		return "", errors.New("not an https:// URL")
	case u.Hostname() == "":
		return "", errors.New("a URL without a host")
	case strings.Contains(u.Host, "%"):
		return "", errors.New("a URL with a percent sign in its host")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, strings.Contains(raw, "#"):
		return "", errors.New("a URL with userinfo, query or fragment, of which a base URL has none")
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":443")
	host = strings.TrimSuffix(host, ":") // an empty port
	return "https://" + host + strings.TrimRight(u.EscapedPath(), "/"), nil
}
