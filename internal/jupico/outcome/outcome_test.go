// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package outcome

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// declared reads the constants of type Outcome, so that none is forgotten.
func declared(t *testing.T) []Outcome {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "outcome.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []Outcome
	ast.Inspect(file, func(node ast.Node) bool {
		spec, isValue := node.(*ast.ValueSpec)
		if !isValue {
			return true
		}
		if name, isNamed := spec.Type.(*ast.Ident); isNamed && name.Name == "Outcome" {
			for _, value := range spec.Values {
				outcomes = append(outcomes, Outcome(text(t, value)))
			}
		}
		return true
	})
	return outcomes
}

func text(t *testing.T, value ast.Expr) string {
	t.Helper()
	literal, isLiteral := value.(*ast.BasicLit)
	if !isLiteral || literal.Kind != token.STRING {
		return ""
	}
	unquoted, err := strconv.Unquote(literal.Value)
	if err != nil {
		t.Fatal(err)
	}
	return unquoted
}

// inScenarios returns the strings in the scenarios of internal/controller, which run against a real kube-apiserver.
func inScenarios(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../controller/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no scenarios: %v", err)
	}
	var found []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			call, isCall := node.(*ast.CallExpr)
			if !isCall {
				return true
			}
			if name, isNamed := call.Fun.(*ast.Ident); !isNamed || name.Name != "It" && name.Name != "Entry" {
				return true
			}
			ast.Inspect(call, func(node ast.Node) bool {
				if value, isExpression := node.(ast.Expr); isExpression {
					found = append(found, text(t, value))
				}
				return true
			})
			return false
		})
	}
	return found
}

func TestEveryOutcomeIsEverywhere(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reference/conditions.md")
	if err != nil {
		t.Fatal(err)
	}
	outcomes, scenarios := declared(t), inScenarios(t)
	if len(outcomes) != len(All()) {
		t.Errorf("%d outcomes are declared, and the table has %d rows", len(outcomes), len(All()))
	}
	for _, o := range outcomes {
		if !slices.Contains(All(), o) {
			t.Errorf("%s has no row in the table", o)
		}
		if !strings.Contains(string(page), "| `"+string(o)+"` |") {
			t.Errorf("conditions.md does not say what to do about %s", o)
		}
		isNamed := regexp.MustCompile(`(^|/)` + string(o) + `$`).MatchString
		if !slices.ContainsFunc(scenarios, isNamed) {
			t.Errorf("no scenario of internal/controller expects %s", o)
		}
	}
}

func TestEveryRowOfTheTableIsWhole(t *testing.T) {
	for o, row := range table {
		if !slices.Contains([]Class{Acceptance, Rejection, NoEvidence, Transient}, row.class) {
			t.Errorf("%s has the class %q", o, row.class)
		}
		if isEvidence := row.class == Acceptance || row.class == Rejection; o.IsEvidence() != isEvidence {
			t.Errorf("%s: IsEvidence is %t", o, o.IsEvidence())
		}
		if row.needsUser && row.class != NoEvidence {
			t.Errorf("%s passes by itself, or is an answer about the token, and yet needs a user", o)
		}
		plain, detailed := o.Message("https://gw.example", ""), o.Message("https://gw.example", "HTTP 999")
		if strings.Contains(plain+detailed, "%!") || strings.Contains(plain, "()") ||
			!strings.Contains(plain, "https://gw.example") || !strings.Contains(detailed, " (HTTP 999)") {
			t.Errorf("%s says %q and %q", o, plain, detailed)
		}
		for other := range table {
			if other != o && table[other].message == row.message {
				t.Errorf("%s and %s are the same", o, other)
			}
		}
	}
}

// TestWhatFollowsFromTheTable spells the table out a second time, so that a slip in a row is noticed.
func TestWhatFollowsFromTheTable(t *testing.T) {
	want := map[Class][]Outcome{
		Acceptance: {Accepted, LimitedPermissions},
		Rejection:  {Rejected, UserInactive, AccountInactive},
		NoEvidence: {RequestAltered, Forbidden, UnexpectedResponse, ProxyRefused, EndpointDoesNotAuthenticate, EndpointDenied, CAInvalid},
		Transient:  {TLSFailure, RateLimited, Unavailable, Unreachable},
	}
	for _, o := range All() {
		if !slices.Contains(want[o.Class()], o) {
			t.Errorf("%s is %s", o, o.Class())
		}
		needsUser := o == EndpointDenied || o == CAInvalid || o == EndpointDoesNotAuthenticate
		if o.NeedsUser() != needsUser {
			t.Errorf("%s: NeedsUser is %t", o, o.NeedsUser())
		}
	}
}

func TestAWordThatIsNotInTheTableIsNoEvidence(t *testing.T) {
	for _, o := range []Outcome{"", "WordOfAnotherVersion"} {
		if o.Class() != NoEvidence || o.IsEvidence() || o.NeedsUser() {
			t.Errorf("%q is %s, NeedsUser %t", o, o.Class(), o.NeedsUser())
		}
		if got, want := o.Message("https://gw.example", ""), UnexpectedResponse.Message("https://gw.example", ""); got != want {
			t.Errorf("%q says %q", o, got)
		}
	}
}

func TestEveryStatusHasAnOutcomeByItself(t *testing.T) {
	for status := -1; status < 1000; status++ {
		want := UnexpectedResponse
		switch {
		case status >= 200 && status < 300:
			want = Accepted
		case status == 401:
			want = Rejected
		case status == 403:
			want = Forbidden
		case status == 407:
			want = ProxyRefused
		case status == 429:
			want = RateLimited
		case status == 408, status >= 500 && status < 600:
			want = Unavailable
		}
		if got := Classify(Response{Status: status}, time.Now()).Outcome; got != want {
			t.Errorf("%d is %s, want %s", status, got, want)
		}
	}
}

func TestACodeMeansSomethingBesideItsOwnStatusOnly(t *testing.T) {
	for code := range codes {
		for _, status := range []int{200, 400, 401, 403, 404, 418, 429, 500, 503} {
			want := Classify(Response{Status: status, Body: []byte(`{"success":false}`)}, time.Now()).Outcome
			switch status {
			case codes[code].status:
				want = codes[code].outcome
			case 401:
				want = UnexpectedResponse
			}
			got := Classify(Response{Status: status, ContentType: jsonType, Body: []byte(failure(code))}, time.Now()).Outcome
			if got != want {
				t.Errorf("%d with %s is %s, want %s", status, code, got, want)
			}
		}
	}
}
