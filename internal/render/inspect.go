// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template/parse"
	"unicode/utf8"
)

// inspection walks all branches of a template. A template may consist of text, values, functions and conditions, and of
// nothing that repeats or names anything: so its length bounds its time.
type inspection struct {
	text     string
	hasLogin bool
	used     map[string]bool
	err      *TemplateError // the first
}

func (i *inspection) refuse(pos parse.Pos, format string, args ...any) {
	if i.err != nil {
		return
	}
	before := i.text[:pos]
	i.err = &TemplateError{
		Line:    1 + strings.Count(before, "\n"),
		Column:  1 + utf8.RuneCountInString(before[1+strings.LastIndex(before, "\n"):]),
		Problem: fmt.Sprintf(format, args...),
	}
}

// refuseAction refuses the whole action around a position.
func (i *inspection) refuseAction(pos parse.Pos, problem string) {
	begin := max(0, strings.LastIndex(i.text[:pos], "{{"))
	i.refuse(parse.Pos(begin), "%s", problem)
}

var refused = map[parse.NodeType]string{
	parse.NodeRange:    "{{ range }} cannot be used",
	parse.NodeWith:     "{{ with }} cannot be used",
	parse.NodeTemplate: "{{ template }} and {{ block }} cannot be used",
	parse.NodeDot:      "a lone dot cannot be used: name a value",
	parse.NodeVariable: "variables cannot be used",
	parse.NodeNumber:   "numbers cannot be used: put it into quotes",
}

func (i *inspection) node(node parse.Node) {
	switch node := node.(type) {
	case *parse.TextNode, *parse.StringNode, *parse.BoolNode:
	case *parse.ListNode:
		for _, element := range node.Nodes {
			i.node(element)
		}
	case *parse.ActionNode:
		i.pipe(node.Pipe)
	case *parse.IfNode:
		i.pipe(node.Pipe)
		i.node(node.List)
		if node.ElseList != nil {
			i.node(node.ElseList)
		}
	case *parse.PipeNode:
		i.pipe(node)
	case *parse.FieldNode:
		i.field(node)
	case *parse.IdentifierNode:
		i.function(node, 0)
	case *parse.RangeNode, *parse.WithNode, *parse.TemplateNode:
		i.refuseAction(node.Position(), refused[node.Type()])
	default:
		i.refuse(node.Position(), "%s", cmp.Or(refused[node.Type()], "this cannot be used"))
	}
}

func (i *inspection) pipe(pipe *parse.PipeNode) {
	for _, variable := range pipe.Decl {
		i.node(variable)
	}
	for n, command := range pipe.Cmds {
		first, given := command.Args[0], len(command.Args)-1
		if n > 0 {
			given++ // through the pipe
		}
		if name, ok := first.(*parse.IdentifierNode); ok {
			i.function(name, given)
		} else {
			i.node(first)
			if given > 0 {
				i.refuse(first.Position(), "this is no function, and is given an argument")
			}
		}
		for _, argument := range command.Args[1:] {
			i.node(argument)
		}
	}
}

func (i *inspection) function(name *parse.IdentifierNode, given int) {
	function, known := functions[name.Ident]
	switch {
	case !known:
		i.refuse(name.Pos, "the function %.40q is unknown: there are %s", name.Ident,
			strings.Join(slices.Sorted(maps.Keys(functions)), ", "))
	case given < function.least || given > function.least && !function.takesMore:
		i.refuse(name.Pos, "the function %q takes %s, and is given %d", name.Ident, function.arguments(), given)
	}
}

func (i *inspection) field(field *parse.FieldNode) {
	name := strings.Join(field.Ident, ".")
	switch {
	case !slices.Contains(valueNames, name):
		i.refuse(field.Pos, "the value .%.40s is unknown: there are .%s", name, strings.Join(valueNames, ", ."))
	case (name == "Username" || name == "Password") && !i.hasLogin:
		i.refuse(field.Pos, "the value .%s comes with a username and a password only, and spec.credentials has an API key",
			name)
	}
	i.used[name] = true
}
