// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/base64"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"text/template"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// The values of a template.
const (
	valueToken         = "Token"
	valueAuthorization = "Authorization"
	valueUsername      = "Username"
	valuePassword      = "Password"
	valueURL           = "URL"
	valueHost          = "Host"
	valueEnvironment   = "Environment"
	valueCredential    = "Credential"
	valueNamespace     = "Namespace"
	valueName          = "Name"
)

var valueNames = []string{
	valueToken, valueAuthorization, valueUsername, valuePassword, valueURL, valueHost, valueEnvironment, valueCredential,
	valueNamespace, valueName,
}

// valuesOf has no entry for what is not known.
func valuesOf(resource *v1alpha1.JupicoCredential, proven Proven) map[string]string {
	values := map[string]string{
		valueToken:         proven.Token.Reveal(),
		valueAuthorization: proven.Token.Authorization(),
		valueURL:           proven.URL,
		valueCredential:    proven.Entry,
		valueNamespace:     resource.Namespace,
		valueName:          resource.Name,
	}
	if parsed, err := url.Parse(proven.URL); err == nil {
		values[valueHost] = parsed.Hostname()
	}
	if proven.Environment != "" {
		values[valueEnvironment] = string(proven.Environment)
	}
	if username, password, ok := proven.Credential.RevealLogin(); ok {
		values[valueUsername], values[valuePassword] = username, password
	}
	return values
}

// arity is how many arguments a function takes.
type arity struct{ least, most int }

func (a arity) String() string {
	switch {
	case a.least < a.most:
		return fmt.Sprintf("at least %d", a.least)
	case a.least == 1:
		return "1 argument"
	default:
		return fmt.Sprintf("%d arguments", a.least)
	}
}

// arities of all functions that may be used: those of text/template that only choose and compare, which are the
// engine's own, and ours.
var arities = map[string]arity{
	"and": {1, math.MaxInt}, "or": {1, math.MaxInt}, "not": {1, 1}, "eq": {2, math.MaxInt}, "ne": {2, 2},

	"b64enc": {1, 1}, "contains": {2, 2}, "hasPrefix": {2, 2}, "hasSuffix": {2, 2}, "lower": {1, 1}, "quote": {1, 1},
	"replace": {3, 3}, "squote": {1, 1}, "trim": {1, 1}, "trimPrefix": {2, 2}, "trimSuffix": {2, 2}, "upper": {1, 1},
}

// functions have the names, the order of arguments and the results of sprig's. They are not sprig's own, which have no
// bounds: a chain of quote or replace doubles its value with each link.
func (m *meter) functions() template.FuncMap {
	functions := template.FuncMap{}
	for name, function := range map[string]func(a []string) any{
		"b64enc":     func(a []string) any { return base64.StdEncoding.EncodeToString([]byte(a[0])) },
		"contains":   func(a []string) any { return strings.Contains(a[1], a[0]) },
		"hasPrefix":  func(a []string) any { return strings.HasPrefix(a[1], a[0]) },
		"hasSuffix":  func(a []string) any { return strings.HasSuffix(a[1], a[0]) },
		"lower":      func(a []string) any { return strings.ToLower(a[0]) },
		"quote":      func(a []string) any { return strconv.Quote(a[0]) },
		"squote":     func(a []string) any { return "'" + a[0] + "'" },
		"trim":       func(a []string) any { return strings.TrimSpace(a[0]) },
		"trimPrefix": func(a []string) any { return strings.TrimPrefix(a[1], a[0]) },
		"trimSuffix": func(a []string) any { return strings.TrimSuffix(a[1], a[0]) },
		"upper":      func(a []string) any { return strings.ToUpper(a[0]) },
	} {
		functions[name] = m.bounded(function)
	}
	functions["replace"] = m.replace
	return functions
}

// bounded wraps a function whose result is no more than some times as long as its argument.
func (m *meter) bounded(function func(a []string) any) func(a ...string) (any, error) {
	return func(a ...string) (any, error) {
		work := 0
		for _, argument := range a {
			work += len(argument)
		}
		if err := m.spend(work); err != nil {
			return nil, err
		}
		result := function(a)
		if text, ok := result.(string); ok && len(text) > maxValue {
			return nil, errTooLarge
		}
		return result, nil
	}
}

// replace knows the length of its result before it makes it, since that is a product of two lengths.
func (m *meter) replace(old, replacement, text string) (string, error) {
	length := len(text) + strings.Count(text, old)*(len(replacement)-len(old))
	if length > maxValue {
		return "", errTooLarge
	}
	if err := m.spend(len(text) + length); err != nil {
		return "", err
	}
	return strings.ReplaceAll(text, old, replacement), nil
}
