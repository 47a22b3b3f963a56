// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package endpoint says what an endpoint is, and which endpoints credentials may be sent to.
package endpoint

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Endpoint identifies an endpoint. Two endpoints with one URL and different authorities are different: an answer of one
// proves nothing about the other.
type Endpoint struct {
	URL string // the base URL in its canonical spelling
	// CA holds, in PEM, the authorities that must have signed the endpoint's certificate. Empty means the system's.
	CA string
}

// The lines around a block of PEM, or what was meant as one: hyphens may have become dashes, or fewer.
var (
	beginning = regexp.MustCompile(`[-‐-―−]{2,}BEGIN `)
	end       = regexp.MustCompile(`[-‐-―−]{2,}END `)
)

// Roots returns the authorities of CA, or nil for the system's. Text around the blocks is fine, but each block has to
// be a certificate: the standard library leaves out one that is damaged, which may be the one that is needed. The error
// contains nothing of CA.
func (e Endpoint) Roots() (*x509.CertPool, error) {
	if e.CA == "" {
		return nil, nil
	}
	starts := beginning.FindAllStringIndex(e.CA, -1)
	switch {
	case strings.Contains(e.CA, "\x00"):
		return nil, errors.New("it is not UTF-8: save it as that, in PEM")
	case len(starts) == 0:
		return nil, errors.New("it holds no PEM certificate")
	case end.MatchString(e.CA[:starts[0][0]]):
		return nil, errors.New("it holds an END line before block 1, without a BEGIN line")
	}
	roots := x509.NewCertPool()
	for i, start := range starts {
		stop := len(e.CA)
		if i+1 < len(starts) {
			stop = starts[i+1][0]
		}
		certificate, err := parseBlock(e.CA[start[0]:stop])
		if err != nil {
			return nil, fmt.Errorf("block %d of %d %w", i+1, len(starts), err)
		}
		roots.AddCert(certificate)
	}
	return roots, nil
}

// parseBlock parses one block of PEM, and what follows up to the next one. The error is a predicate.
func parseBlock(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil && !end.MatchString(text):
		return nil, errors.New("has no END line")
	case block == nil:
		return nil, errors.New("is damaged")
	case end.Match(rest):
		return nil, errors.New("is followed by an END line without a BEGIN line")
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, errors.New("is a private key, which others may know by now: take it out")
	case block.Type != "CERTIFICATE":
		return nil, errors.New("is not a CERTIFICATE: take it out, or convert it")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errors.New("is not a certificate, or a damaged one")
	}
	return certificate, nil
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
