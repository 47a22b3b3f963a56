// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/template"
	"text/template/parse"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
)

// TemplateError says, for the author of a template, what is wrong with it and where. It holds names that stand in the
// template, and nothing that was rendered: the engine's own errors can repeat values, and are dropped.
type TemplateError struct {
	// Key of spec.target.template.data.
	Key string
	// Line and Column, in characters, begin at 1. Column is 0 where the template cannot be parsed: only the line is known.
	Line, Column int
	// Problem is a clause, without a full stop.
	Problem string
}

func (e *TemplateError) Error() string {
	where := fmt.Sprintf("line %d", e.Line)
	if e.Column > 0 {
		where += fmt.Sprintf(", column %d", e.Column)
	}
	return fmt.Sprintf("template of key %q, %s: %s", e.Key, where, e.Problem)
}

// ErrNotKnown means that the templates need more than is known of the token: one that was read back from a target has
// no username and password, and did not say in which environment it was proven. Nothing is wrong with the templates,
// and what was rendered before stays as it is: a target is never made of one token and the words of another.
var ErrNotKnown = errors.New("the templates need what is not known of the token")

// Proven is an accepted token and what it was made of.
type Proven struct {
	Token credential.Token
	// URL is the base URL of the endpoint that accepted it.
	URL string
	// Entry of spec.credentials.
	Entry string
	// Environment is empty when it is not known.
	Environment v1alpha1.Environment
	// Credential is zero when it is not known.
	Credential credential.Credential
}

// Templates are those of one resource, and can be rendered.
type Templates struct {
	resource *v1alpha1.JupicoCredential
	trees    map[string]*parse.Tree
	values   map[string]bool // that they use
}

// Compile reads the templates of a resource. All that can be wrong with them, but for what depends on the values, is
// found here: before there is a token, and in every branch. The error is a *TemplateError.
func Compile(resource *v1alpha1.JupicoCredential) (*Templates, error) {
	compiled := &Templates{resource: resource, trees: map[string]*parse.Tree{}, values: map[string]bool{}}
	if resource.Spec.Target.Template == nil {
		return compiled, nil
	}
	// A template that works with one entry alone would break the target when another entry takes over.
	isKey := func(entry v1alpha1.Credential) bool { return entry.BasicAuthSecretRef == nil }
	hasLogin := !slices.ContainsFunc(resource.Spec.Credentials, isKey)
	texts := resource.Spec.Target.Template.Data
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		i := &inspection{text: string(texts[key]), hasLogin: hasLogin, used: compiled.values}
		compiled.trees[key] = i.compile()
		if i.err != nil {
			i.err.Key = key
			return nil, i.err
		}
	}
	return compiled, nil
}

// treeName stands for each template in the engine's errors.
const treeName = "value"

func (i *inspection) compile() *parse.Tree {
	tree, defined := parse.New(treeName), map[string]*parse.Tree{}
	tree.Mode = parse.SkipFuncCheck // the inspection says which functions there are
	if _, err := tree.Parse(i.text, "", "", defined); err != nil {
		line, _ := placeOf(err)
		i.err = &TemplateError{Line: line, Problem: "this cannot be parsed: look here and above " +
			"for a brace, a quote, a parenthesis or an {{ end }} that is missing or out of place"}
		return nil
	}
	i.node(tree.Root)
	for _, name := range slices.Sorted(maps.Keys(defined)) {
		if other := defined[name]; other != tree {
			i.refuseAction(other.Root.Pos, "{{ define }} and {{ block }} cannot be used")
		}
	}
	return tree
}

// placeOf returns where an error of the engine is, as TemplateError has it. Errors of parsing have no column.
func placeOf(err error) (line, column int) {
	line, column = 1, -1
	_, _ = fmt.Sscanf(err.Error(), "template: "+treeName+":%d:%d", &line, &column)
	return line, column + 1
}

// Render makes the data of the target: what the templates say, and the token always, by which it is known after a
// restart. Without templates there are the token, the header and the URL, none of which ends in a newline. The error is
// a *TemplateError or ErrNotKnown.
func (t *Templates) Render(proven Proven) (map[string][]byte, error) {
	data := map[string][]byte{v1alpha1.TargetKeyToken: []byte(proven.Token.Reveal())}
	if len(t.trees) == 0 {
		data[v1alpha1.TargetKeyAuthorization] = []byte(proven.Token.Authorization())
		data[v1alpha1.TargetKeyURL] = []byte(proven.URL)
		return data, nil
	}
	values := valuesOf(t.resource, proven)
	for name := range t.values {
		if _, known := values[name]; !known {
			return nil, ErrNotKnown
		}
	}
	m := &meter{work: maxWork, data: maxData}
	for _, key := range slices.Sorted(maps.Keys(t.trees)) {
		if err := m.execute(t.trees[key], values); err != nil {
			err.Key = key
			return nil, err
		}
		data[key] = m.value
	}
	return data, nil
}

// The bounds of what templates make. A Secret holds 1 MiB, of which others may need some.
const (
	maxValue = 64 << 10
	maxData  = 512 << 10
	// maxWork bounds what all functions together read and write, and so the time that they take.
	maxWork = 8 << 20
)

var errTooLarge = errors.New("too large")

// meter is what is left of the bounds.
type meter struct {
	work, data int
	value      []byte // that is being made
}

func (m *meter) Write(p []byte) (int, error) {
	if len(m.value)+len(p) > min(maxValue, m.data) {
		return 0, errTooLarge
	}
	m.value = append(m.value, p...)
	return len(p), nil
}

func (m *meter) execute(tree *parse.Tree, values map[string]string) *TemplateError {
	m.value = []byte{} // not nil, which JSON has another word for
	engine := template.Must(template.New(treeName).Funcs(m.functions()).AddParseTree(treeName, tree))
	err := engine.Execute(m, values)
	m.data -= len(m.value)
	if err == nil {
		return nil
	}
	// Of the engine's error, only the place is kept.
	line, column := placeOf(err)
	problem := "a function got something that it cannot work with"
	if errors.Is(err, errTooLarge) {
		problem = fmt.Sprintf("this makes too much: a value may have %d KiB, and all together %d KiB",
			maxValue>>10, maxData>>10)
	}
	return &TemplateError{Line: line, Column: column, Problem: problem}
}
