// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/template"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

var valueNames = []string{
	"Token", "Authorization", "Username", "Password", "URL", "Host", "Environment", "Credential", "Namespace", "Name",
}

// valuesOf has no entry for what is not known.
func valuesOf(resource *v1alpha1.JupicoCredential, proven Proven) map[string]string {
	values := map[string]string{
		"Token":         proven.Token.Reveal(),
		"Authorization": proven.Token.Authorization(),
		"URL":           proven.URL,
		"Credential":    proven.Entry,
		"Namespace":     resource.Namespace,
		"Name":          resource.Name,
	}
	if parsed, err := url.Parse(proven.URL); err == nil {
		values["Host"] = parsed.Hostname()
	}
	if proven.Environment != "" {
		values["Environment"] = string(proven.Environment)
	}
	if username, password, ok := proven.Credential.RevealLogin(); ok {
		values["Username"], values["Password"] = username, password
	}
	return values
}

// function is one that a template may call.
type function struct {
	least     int // number of arguments
	takesMore bool
	// call gets the arguments. It returns nil instead of making too much. The engine has its own call of a function that
	// has none here.
	call func(a []string) any
}

func (f function) arguments() string {
	switch {
	case f.takesMore:
		return fmt.Sprintf("at least %d", f.least)
	case f.least == 1:
		return "1 argument"
	default:
		return fmt.Sprintf("%d arguments", f.least)
	}
}

// functions are all that may be used: those of text/template that only choose and compare, and ours, which have the
// names, the order of arguments and the results of sprig's. Sprig's own have no bounds: a chain of quote or replace
// doubles its value with each link.
var functions = map[string]function{
	"and": {least: 1, takesMore: true},
	"or":  {least: 1, takesMore: true},
	"not": {least: 1},
	"eq":  {least: 2, takesMore: true},
	"ne":  {least: 2},

	"b64enc":     {least: 1, call: func(a []string) any { return base64.StdEncoding.EncodeToString([]byte(a[0])) }},
	"contains":   {least: 2, call: func(a []string) any { return strings.Contains(a[1], a[0]) }},
	"hasPrefix":  {least: 2, call: func(a []string) any { return strings.HasPrefix(a[1], a[0]) }},
	"hasSuffix":  {least: 2, call: func(a []string) any { return strings.HasSuffix(a[1], a[0]) }},
	"lower":      {least: 1, call: func(a []string) any { return strings.ToLower(a[0]) }},
	"quote":      {least: 1, call: func(a []string) any { return strconv.Quote(a[0]) }},
	"replace":    {least: 3, call: replace},
	"squote":     {least: 1, call: func(a []string) any { return "'" + a[0] + "'" }},
	"trim":       {least: 1, call: func(a []string) any { return strings.TrimSpace(a[0]) }},
	"trimPrefix": {least: 2, call: func(a []string) any { return strings.TrimPrefix(a[1], a[0]) }},
	"trimSuffix": {least: 2, call: func(a []string) any { return strings.TrimSuffix(a[1], a[0]) }},
	"upper":      {least: 1, call: func(a []string) any { return strings.ToUpper(a[0]) }},
}

// replace computes the length of its result first: the others make a few times their arguments at most, but this one
// multiplies two lengths.
func replace(a []string) any {
	old, replacement, text := a[0], a[1], a[2]
	if len(text)+strings.Count(text, old)*(len(replacement)-len(old)) > maxValue {
		return nil
	}
	return strings.ReplaceAll(text, old, replacement)
}

// functions holds ours to the bounds.
func (m *meter) functions() template.FuncMap {
	bounded := template.FuncMap{}
	for name, function := range functions {
		if function.call == nil {
			continue
		}
		bounded[name] = func(a ...string) (any, error) {
			result := function.call(a)
			text, _ := result.(string)
			m.work -= len(text)
			for _, argument := range a {
				m.work -= len(argument)
			}
			if result == nil || len(text) > maxValue || m.work < 0 {
				return nil, errTooLarge
			}
			return result, nil
		}
	}
	return bounded
}
