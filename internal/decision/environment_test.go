// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
	"github.com/jupico-operator/jupico-operator/internal/options"
)

// expectation is what users are promised about an environment, and what the simulated months hold the operator to.
type expectation struct {
	url string
	// isReset: a rejection of a token that was accepted before is said to be a reset.
	isReset bool
	// longest is the longest wait before a rejected token is tried again.
	longest time.Duration
	// hint is said when the endpoint cannot be reached.
	hint string
}

var expectations = map[v1alpha1.Environment]expectation{
	shared:     {sandboxURL, true, 15 * m, ""},
	sandbox:    {sandboxURL, false, h, ""},
	production: {productionURL, false, h, "allow-listed source addresses"},
}

// rejected is the reason of a rejection after an acceptance.
func (e expectation) rejected(o outcome.Outcome) string {
	switch {
	case e.isReset:
		return v1alpha1.ReasonSandboxReset
	case o == outcome.Rejected:
		return v1alpha1.ReasonRevoked
	default:
		return string(o)
	}
}

func TestEveryEnvironmentIsEverywhere(t *testing.T) {
	t.Parallel()
	allowed, err := (&options.Options{}).AllowList()
	if err != nil {
		t.Fatal(err)
	}
	var inStates []v1alpha1.Environment
	for _, row := range states() {
		inStates = append(inStates, row.environment)
	}
	crd := read(t, "../../config/crd/bases/credentials.jupico.dev_jupicocredentials.yaml")
	schema := regexp.MustCompile(`\n +environment:\n(?: +[a-z].*\n)*? +enum:\n((?: +- \w+\n)+)`).FindStringSubmatch(crd)
	if schema == nil {
		t.Fatal("the CRD has no enumeration of environments")
	}
	names := decision.EnvironmentNames()
	for _, value := range slices.Concat(declared(t, "Environment"), strings.Fields(strings.ReplaceAll(schema[1], "-", ""))) {
		if !slices.Contains(names, v1alpha1.Environment(value)) {
			t.Errorf("%s has no row in the table of environments", value)
		}
	}
	for _, name := range names {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			expected, isExpected := expectations[name]
			url := decision.EnvironmentURL(name)
			for problem, isBad := range map[string]bool{
				"is not among the expectations of the simulated months": !isExpected,
				"has another URL than users expect":                     url == "" || url != expected.url,
				"has no state in the table of states":                   !slices.Contains(inStates, name),
				"has no URL on the allow list":                          !allowed[url],
				"is not in EnvironmentURLs":                             !slices.Contains(decision.EnvironmentURLs(), url),
				"is not in the schema":                                  !strings.Contains(schema[1], "- "+string(name)+"\n"),
				"is not in the README's spec":                           !strings.Contains(read(t, "../../README.md"), string(name)),
				"is not among the values of templates":                  !strings.Contains(read(t, "../../docs/reference/target.md"), "`"+string(name)+"`"),
				"has no row in docs/api.md":                             !strings.Contains(read(t, "../../docs/api.md"), "| `"+string(name)+"` |"),
				"is not mentioned in the sample of a JupicoCredential":  !regexp.MustCompile(`environment: .*\b` + string(name) + `\b`).MatchString(read(t, "../../config/samples/credentials_v1alpha1_jupicocredential.yaml")),
			} {
				if isBad {
					t.Error(problem)
				}
			}
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestAnUnknownEnvironmentHasNoURL(t *testing.T) {
	t.Parallel()
	for _, name := range []v1alpha1.Environment{"", "Staging", "production"} {
		if url := decision.EnvironmentURL(name); url != "" {
			t.Errorf("credentials of %q are sent to %s", name, url)
		}
	}
}

func TestARejectionMeansInEveryEnvironmentWhatIsPromised(t *testing.T) {
	t.Parallel()
	for name, expected := range expectations {
		for _, o := range outcome.All() {
			if o.Class() != outcome.Rejection {
				continue
			}
			t.Run(string(o)+" in "+string(name), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, name)
				delivered(w)
				w.comesTo(o)
				w.run(6 * m)
				w.expectReady("False/" + expected.rejected(o))
				if isStalled := w.condition(stalled) != ""; isStalled == expected.isReset {
					t.Errorf("stalled: %t", isStalled)
				}
				w.run(6 * h)
				requests := len(w.requests)
				w.run(24 * h)
				least, most := int(24*h/(expected.longest+expected.longest/10)), int(24*h/expected.longest)
				if got := len(w.requests) - requests; got < least || got > most {
					t.Errorf("%d requests a day, want %d to %d", got, least, most)
				}
			})
		}
	}
}

func TestAnUnreachableEndpointIsExplainedByItsEnvironment(t *testing.T) {
	t.Parallel()
	for name, expected := range expectations {
		w := newWorld(t, name)
		w.comesTo(outcome.Unreachable)
		w.writeSource("good")
		message := w.message(v1alpha1.ConditionReady)
		if isHinted := strings.Contains(message, "allow-listed"); !strings.Contains(message, expected.hint) || isHinted != (expected.hint != "") {
			t.Errorf("%s: %q", name, message)
		}
	}
}

func TestAProxyThatFailsIsExplainedInstead(t *testing.T) {
	t.Parallel()
	const detail = "the proxy proxy.corp:3128: the connection was refused"
	for name := range expectations {
		for _, o := range []outcome.Outcome{outcome.Unreachable, outcome.TLSFailure} {
			w := newWorld(t, name)
			w.down[w.endpoint().URL] = outcome.Result{Outcome: o, Detail: detail, AtProxy: true}
			w.writeSource("good")
			w.expectReady("False/" + string(o))
			message := w.message(v1alpha1.ConditionReady)
			for _, part := range []string{w.endpoint().URL + " cannot be asked (" + detail + ").", "HTTPS_PROXY of the operator."} {
				if !strings.Contains(message, part) {
					t.Errorf("%s: %q does not contain %q", name, message, part)
				}
			}
			if strings.Contains(message, "allow-listed") || strings.Contains(message, "spec.endpoint") ||
				strings.Contains(message, "SSL_CERT_FILE") != (o == outcome.TLSFailure) {
				t.Errorf("%s: %q blames the endpoint", name, message)
			}
		}
	}
}
