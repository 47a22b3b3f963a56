// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template/parse"
)

// inspection walks a template, which may consist of text, values, functions and conditions, and of nothing that repeats
// or names anything: so its time is bounded by its length. It keeps the first problem that it finds.
type inspection struct {
	text     string
	used     map[string]bool
	hasLogin bool

	pos     int
	problem string
}

func (i *inspection) refuse(pos int, format string, args ...any) {
	if i.problem == "" {
		i.pos, i.problem = pos, fmt.Sprintf(format, args...)
	}
}

// actionAt is where the action around a position begins.
func (i *inspection) actionAt(pos parse.Pos) int {
	return max(0, strings.LastIndex(i.text[:pos], "{{"))
}

func (i *inspection) list(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, node := range list.Nodes {
		switch node := node.(type) {
		case *parse.TextNode:
		case *parse.ActionNode:
			i.pipe(node.Pipe)
		case *parse.IfNode:
			i.pipe(node.Pipe)
			i.list(node.List)
			i.list(node.ElseList)
		default:
			i.refuse(i.actionAt(node.Position()), "%s cannot be used", construct(node))
		}
	}
}

func construct(node parse.Node) string {
	switch node.Type() {
	case parse.NodeRange:
		return "{{ range }}"
	case parse.NodeWith:
		return "{{ with }}"
	case parse.NodeTemplate:
		return "{{ template }} and {{ block }}"
	default:
		return "this"
	}
}

func (i *inspection) pipe(pipe *parse.PipeNode) {
	if len(pipe.Decl) > 0 {
		i.refuse(int(pipe.Pos), "variables cannot be used")
	}
	for n, command := range pipe.Cmds {
		i.command(command, min(n, 1))
	}
}

// command is a function with its arguments, of which one may come through a pipe, or a value.
func (i *inspection) command(command *parse.CommandNode, piped int) {
	given := len(command.Args) - 1 + piped
	if name, ok := command.Args[0].(*parse.IdentifierNode); ok {
		i.function(name, given)
	} else {
		i.argument(command.Args[0])
		if given > 0 {
			i.refuse(int(command.Args[0].Position()), "this is no function, and is given an argument")
		}
	}
	for _, argument := range command.Args[1:] {
		i.argument(argument)
	}
}

func (i *inspection) function(name *parse.IdentifierNode, given int) {
	arity, known := arities[name.Ident]
	switch {
	case !known:
		i.refuse(int(name.Pos), "the function %q is unknown: there are %s", clip(name.Ident),
			strings.Join(slices.Sorted(maps.Keys(arities)), ", "))
	case given < arity.least || given > arity.most:
		i.refuse(int(name.Pos), "the function %q takes %s, and is given %d", name.Ident, arity, given)
	}
}

func (i *inspection) argument(node parse.Node) {
	pos := int(node.Position())
	switch node := node.(type) {
	case *parse.StringNode, *parse.BoolNode:
	case *parse.FieldNode:
		i.field(node)
	case *parse.PipeNode:
		i.pipe(node)
	case *parse.IdentifierNode:
		i.function(node, 0)
	case *parse.DotNode:
		i.refuse(pos, "a lone dot cannot be used: name a value")
	case *parse.VariableNode:
		i.refuse(pos, "variables cannot be used")
	case *parse.NumberNode:
		i.refuse(pos, "numbers cannot be used: put it into quotes")
	default:
		i.refuse(pos, "this cannot be used")
	}
}

func (i *inspection) field(field *parse.FieldNode) {
	name, pos := field.Ident[0], int(field.Pos)
	switch {
	case len(field.Ident) > 1 || !slices.Contains(valueNames, name):
		i.refuse(pos, "the value .%s is unknown: there are .%s", clip(strings.Join(field.Ident, ".")),
			strings.Join(valueNames, ", ."))
	case (name == valueUsername || name == valuePassword) && !i.hasLogin:
		i.refuse(pos, "the value .%s comes with a username and a password only, and spec.credentials has an API key", name)
	}
	i.used[name] = true
}

// clip bounds a name that is repeated.
func clip(name string) string {
	const longest = 40
	if runes := []rune(name); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return name
}
