// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
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

// rejections has what a rejection of a token that was accepted before means in each environment, and how long it stands
// at the most before it is looked at again.
var rejections = map[v1alpha1.Environment]struct {
	of      func(outcome.Outcome) string
	stalled bool
	longest time.Duration
}{
	shared:     {func(outcome.Outcome) string { return v1alpha1.ReasonSandboxReset }, false, 15 * m},
	sandbox:    {revocation, true, h},
	production: {revocation, true, h},
}

func revocation(o outcome.Outcome) string {
	if o == outcome.Rejected {
		return v1alpha1.ReasonRevoked
	}
	return string(o)
}

func TestEveryEnvironmentHasARow(t *testing.T) {
	t.Parallel()
	inStates := map[v1alpha1.Environment]bool{}
	for _, row := range states() {
		inStates[row.environment] = true
	}
	for _, value := range declared(t, "Environment") {
		environment := v1alpha1.Environment(value)
		row, exists := rejections[environment]
		if !exists || !inStates[environment] {
			t.Errorf("%s has no row", environment)
			continue
		}
		for _, o := range outcome.All() {
			if o.Class() != outcome.Rejection {
				continue
			}
			t.Run(value+" and "+string(o)+" after an acceptance", func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, environment)
				delivered(w)
				w.comesTo(o)
				w.run(6 * m)
				w.expectReady("False/" + row.of(o))
				if isStalled := w.condition(stalled) != ""; isStalled != row.stalled {
					t.Errorf("stalled: %t", isStalled)
				}
				w.run(6 * h)
				requests := len(w.requests)
				w.run(24 * h)
				if got, least := len(w.requests)-requests, int(24*h/(row.longest+row.longest/10)); got < least || got > 24*int(h/row.longest) {
					t.Errorf("%d requests a day, want about %d", got, least)
				}
			})
		}
	}
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
