// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Base URLs of Jupico's own endpoints, as its public documentation gives them.
const (
	SandboxURL    = "https://sandbox-platform.jupico.com"
	ProductionURL = "https://platform.jupico.com"
)

// AllowList holds the base URLs that credentials may be sent to. Jupico's own are always on it.
type AllowList struct {
	urls map[string]bool
}

// NewAllowList adds base URLs to Jupico's own. The error names the URL that cannot be one.
func NewAllowList(baseURLs ...string) (AllowList, error) {
	list := AllowList{urls: map[string]bool{SandboxURL: true, ProductionURL: true}}
	for _, raw := range baseURLs {
		canonical, err := CanonicalBaseURL(raw)
		if err != nil {
			return AllowList{}, fmt.Errorf("%q: %w", raw, err)
		}
		list.urls[canonical] = true
	}
	return list, nil
}

// Allows reports whether credentials may be sent to a canonical base URL.
func (l AllowList) Allows(canonical string) bool { return l.urls[canonical] }

// CanonicalBaseURL brings base URLs that mean the same (scheme, host, port, path) to one spelling, with no trailing
// slash. The error says what a base URL must be.
func CanonicalBaseURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("not a URL")
	}
	hasMore := u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(raw, "#")
	switch {
	case u.Scheme != "https":
		return "", errors.New("not an https:// URL")
	case u.Hostname() == "":
		return "", errors.New("a URL without a host")
	case strings.Contains(u.Host, "%"):
		return "", errors.New("a URL with a percent sign in its host")
	case hasMore:
		return "", errors.New("a URL with userinfo, query or fragment, of which a base URL has none")
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" && port != "443" {
		host += ":" + port
	}
	return "https://" + host + strings.TrimRight(u.EscapedPath(), "/"), nil
}
