// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// separator of the fields of a survivor.
const separator = " | "

// locate finds the function and the expression of each mutant.
func locate(directory string, mutants []*mutant, coverage []block) error {
	files := map[string]*source{}
	for _, m := range mutants {
		if files[m.file] == nil {
			s, err := readSource(filepath.Join(directory, m.file))
			if err != nil {
				return err
			}
			files[m.file] = s
		}
		files[m.file].locate(m)
		m.isCovered = isCovered(coverage, m)
	}
	return nil
}

// source is a parsed file.
type source struct {
	positions *token.FileSet
	file      *ast.File
}

func readSource(path string) (*source, error) {
	s := &source{positions: token.NewFileSet()}
	var err error
	s.file, err = parser.ParseFile(s.positions, path, nil, parser.SkipObjectResolution)
	return s, err
}

func (s *source) locate(m *mutant) {
	isHere := func(position token.Pos) bool {
		p := s.positions.Position(position)
		return p.Line == m.Line && p.Column == m.Column
	}
	for _, declaration := range s.file.Decls {
		ast.Inspect(declaration, func(node ast.Node) bool {
			if node == nil || m.function != "" {
				return false
			}
			if position := operator(node); position.IsValid() && isHere(position) {
				m.function, m.expression = nameOf(declaration), s.print(node)
			}
			return true
		})
	}
}

// operator is where the operator of an expression or a statement is, if it has one.
func operator(node ast.Node) token.Pos {
	switch node := node.(type) {
	case *ast.BinaryExpr:
		return node.OpPos
	case *ast.UnaryExpr:
		return node.OpPos
	case *ast.IncDecStmt:
		return node.TokPos
	case *ast.AssignStmt:
		return node.TokPos
	case *ast.BranchStmt:
		return node.TokPos
	default:
		return token.NoPos
	}
}

// nameOf returns the name of a function, with that of its receiver.
func nameOf(declaration ast.Decl) string {
	function, isFunction := declaration.(*ast.FuncDecl)
	if !isFunction {
		return "declaration"
	}
	name := function.Name.Name
	if function.Recv != nil {
		receiver := function.Recv.List[0].Type
		if star, isPointer := receiver.(*ast.StarExpr); isPointer {
			receiver = star.X
		}
		if receiver, isNamed := receiver.(*ast.Ident); isNamed {
			name = receiver.Name + "." + name
		}
	}
	return name
}

// print prints a node in one line.
func (s *source) print(node ast.Node) string {
	var text bytes.Buffer
	_ = printer.Fprint(&text, s.positions, node) // it never fails: the node was parsed, and a buffer takes everything
	return strings.Join(strings.Fields(text.String()), " ")
}

// readListed reads the survivors of a package that mean nothing. Each line has the package, the function, the mutation,
// the expression and the reason.
func readListed(path, pkg string) (map[string]bool, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, separator)
		if len(fields) != 5 {
			return nil, fmt.Errorf("%s: %q does not have 5 fields", path, line)
		}
		if fields[0] == pkg {
			listed[strings.Join(fields[1:4], separator)] = true
		}
	}
	return listed, nil
}

// block is a part of a file that the tests do not reach.
type block struct {
	file                                   string
	fromLine, fromColumn, toLine, toColumn int
}

// readCoverage returns the blocks of a coverage profile that no test reaches.
func readCoverage(path string) ([]block, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var blocks []block
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		file, rest, found := strings.Cut(lines.Text(), ".go:")
		if !found { // the first line
			continue
		}
		b := block{file: filepath.Base(file) + ".go"}
		var statements, count int
		_, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &b.fromLine, &b.fromColumn, &b.toLine, &b.toColumn,
			&statements, &count)
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", path, lines.Text(), err)
		}
		if count == 0 {
			blocks = append(blocks, b)
		}
	}
	return blocks, lines.Err()
}

func isCovered(missed []block, m *mutant) bool {
	for _, b := range missed {
		isAfter := m.Line > b.fromLine || m.Line == b.fromLine && m.Column >= b.fromColumn
		isBefore := m.Line < b.toLine || m.Line == b.toLine && m.Column <= b.toColumn
		if b.file == m.file && isAfter && isBefore {
			return false
		}
	}
	return true
}
