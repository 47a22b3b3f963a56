// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode/utf8"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
)

// TemplateError says, for the author of a template, what is wrong with it and where. It holds names that stand in the
// template, and nothing that was rendered: the engine's own errors can repeat values, and are dropped.
type TemplateError struct {
	// Key of spec.target.template.data.
	Key string
	// Line and Column, in characters, begin at 1.
	Line, Column int
	// Problem is a clause, without a full stop.
	Problem string
}

func (e *TemplateError) Error() string {
	return fmt.Sprintf("template of key %q, line %d, column %d: %s", e.Key, e.Line, e.Column, e.Problem)
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
	texts := resource.Spec.Target.Template.Data
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		text := string(texts[key])
		tree, err := compile(text, compiled.values, hasLoginsOnly(resource))
		if err != nil {
			err.Key = key
			return nil, err
		}
		compiled.trees[key] = tree
	}
	return compiled, nil
}

// hasLoginsOnly: a template that works with one entry alone would break the target when another takes over.
func hasLoginsOnly(resource *v1alpha1.JupicoCredential) bool {
	isKey := func(entry v1alpha1.Credential) bool { return entry.BasicAuthSecretRef == nil }
	return !slices.ContainsFunc(resource.Spec.Credentials, isKey)
}

// treeName stands for each template in the engine's errors.
const treeName = "value"

func compile(text string, used map[string]bool, hasLogin bool) (*parse.Tree, *TemplateError) {
	tree, defined, err := parseText(text)
	if err != nil {
		return nil, at(text, whereItBreaks(text, err), "no template can be made of this: look for a brace, a quote, a "+
			"parenthesis or an {{ end }} that is missing or out of place")
	}
	i := &inspection{text: text, used: used, hasLogin: hasLogin}
	i.list(tree.Root)
	for _, other := range defined {
		if other != tree {
			i.refuse(i.actionAt(other.Root.Pos), "{{ define }} and {{ block }} cannot be used")
		}
	}
	if i.problem != "" {
		return nil, at(text, i.pos, i.problem)
	}
	return tree, nil
}

// parseText leaves it to the inspection to say which functions there are.
func parseText(text string) (*parse.Tree, map[string]*parse.Tree, error) {
	defined := map[string]*parse.Tree{}
	tree := parse.New(treeName)
	tree.Mode = parse.SkipFuncCheck
	tree, err := tree.Parse(text, "", "", defined)
	return tree, defined, err
}

// at says where in a text a problem is.
func at(text string, pos int, problem string) *TemplateError {
	before := text[:pos]
	return &TemplateError{
		Line:    1 + strings.Count(before, "\n"),
		Column:  1 + utf8.RuneCountInString(before[1+strings.LastIndex(before, "\n"):]),
		Problem: problem,
	}
}

// incomplete are the ends of the parser's errors about a text that may be right so far.
var incomplete = regexp.MustCompile(`(unexpected EOF|unclosed action.*|unterminated .*|unclosed comment)$`)

// whereItBreaks finds the action at which the parser gave up. Its error tells only the line, which may have several.
func whereItBreaks(text string, err error) int {
	starts := []int{}
	for pos := 0; ; pos += 2 {
		next := strings.Index(text[pos:], "{{")
		if next < 0 {
			break
		}
		pos += next
		starts = append(starts, pos)
	}
	broken := sort.Search(len(starts), func(n int) bool {
		end := len(text)
		if n+1 < len(starts) {
			end = starts[n+1]
		}
		_, _, err := parseText(text[:end])
		return err != nil && !incomplete.MatchString(err.Error())
	})
	if broken < len(starts) {
		return starts[broken]
	}
	return lastBefore(text, starts, lineOf(err))
}

// lastBefore is the last action that begins on a line, or before it.
func lastBefore(text string, starts []int, line int) int {
	last := 0
	for _, start := range starts {
		if strings.Count(text[:start], "\n") < line {
			last = start
		}
	}
	return last
}

// place is how the engine's errors begin: with a line from 1 and, when executing, a number of bytes from 0.
var place = regexp.MustCompile(`^template: ` + treeName + `:(\d+)(?::(\d+))?: `)

func lineOf(err error) int {
	line, _ := placeOf(err)
	return line
}

func placeOf(err error) (line, offset int) {
	match := place.FindStringSubmatch(err.Error())
	if match == nil {
		return 1, 0
	}
	line, _ = strconv.Atoi(match[1])
	offset, _ = strconv.Atoi(match[2]) // which may be missing
	return line, offset
}

// Render makes the data of the target: what the templates say, and the token always, by which it is known after a
// restart. Without templates there are the token, the header and the URL, none of which ends in a newline. The error is
// a *TemplateError or ErrNotKnown.
func (t *Templates) Render(proven Proven) (map[string][]byte, error) {
	data := map[string][]byte{v1alpha1.TargetKeyToken: []byte(proven.Token.Reveal())}
	values := valuesOf(t.resource, proven)
	if len(t.trees) == 0 {
		data[v1alpha1.TargetKeyAuthorization] = []byte(values[valueAuthorization])
		data[v1alpha1.TargetKeyURL] = []byte(values[valueURL])
		return data, nil
	}
	for name := range t.values {
		if _, known := values[name]; !known {
			return nil, ErrNotKnown
		}
	}
	m := &meter{work: maxWork, data: maxData}
	for _, key := range slices.Sorted(maps.Keys(t.trees)) {
		value, err := m.execute(t.trees[key], values)
		if err != nil {
			err.Key = key
			return nil, err
		}
		data[key] = value
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
type meter struct{ work, data int }

func (m *meter) spend(work int) error {
	m.work -= work
	if m.work < 0 {
		return errTooLarge
	}
	return nil
}

// output is one value.
type output struct {
	bytes.Buffer

	meter *meter
}

func (o *output) Write(p []byte) (int, error) {
	if o.Len()+len(p) > min(maxValue, o.meter.data) {
		return 0, errTooLarge
	}
	return o.Buffer.Write(p)
}

func (m *meter) execute(tree *parse.Tree, values map[string]string) ([]byte, *TemplateError) {
	engine, err := template.New(treeName).Funcs(m.functions()).AddParseTree(treeName, tree)
	out := &output{meter: m}
	if err == nil {
		err = engine.Execute(out, values)
	}
	if err != nil {
		return nil, failed(err)
	}
	m.data -= out.Len()
	return append([]byte{}, out.Bytes()...), nil // not nil, which JSON has another word for
}

// failed keeps of the engine's error only where it happened.
func failed(err error) *TemplateError {
	line, offset := placeOf(err)
	problem := "a function got something that it cannot work with"
	if errors.Is(err, errTooLarge) {
		problem = fmt.Sprintf("this makes too much: a value may have %d KiB, and all together %d KiB",
			maxValue>>10, maxData>>10)
	}
	return &TemplateError{Line: line, Column: offset + 1, Problem: problem}
}
