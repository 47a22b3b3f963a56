// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// declared reads the values of an enumeration, so that a new one is not forgotten.
func declared(t *testing.T, enumeration string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/jupicocredential_types.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, isNamed := spec.Type.(*ast.Ident); !isNamed || name.Name != enumeration {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is no literal", spec.Names[0].Name)
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
		return true
	})
	if len(values) < 2 {
		t.Fatalf("found only %q of %s", values, enumeration)
	}
	return values
}

func TestNoCreationPolicyChangesAState(t *testing.T) {
	t.Parallel()
	for _, policy := range declared(t, "CreationPolicy") {
		for _, row := range states() {
			w := newWorld(t, row.environment)
			w.resource.Spec.Target.CreationPolicy = v1alpha1.CreationPolicy(policy)
			row.history(w)
			if got := w.conditions(); got != row.want {
				t.Errorf("%s, with the policy %s: got  %+v\nwant %+v", row.sentence, policy, got, row.want)
			}
		}
	}
}
