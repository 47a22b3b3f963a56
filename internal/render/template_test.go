// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
)

const (
	publishedUsername = "demoApiUser"
	publishedPassword = "V8m!xP#l2Qz3"
	publishedToken    = "ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXoz"
	publishedKey      = "ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXozCg=="
)

func loginOf(t testing.TB, username, password string) credential.Credential {
	t.Helper()
	login, _, err := credential.Login([]byte(username), []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return login
}

// proven is what is known of the published login's token.
func proven(t testing.TB) Proven {
	t.Helper()
	login := loginOf(t, publishedUsername, publishedPassword)
	return Proven{
		Token: login.Token(credential.Standard), URL: baseURL, Entry: "main",
		Environment: v1alpha1.EnvironmentSharedSandbox, Credential: login,
	}
}

// templatedResource has a login, and templates written as pairs.
func templatedResource(pairs ...string) *v1alpha1.JupicoCredential {
	resource := newResource("payments")
	resource.Spec.Credentials = []v1alpha1.Credential{{
		Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: "jupico-login"},
	}}
	templates := map[string]v1alpha1.DataTemplate{}
	for pair := range slices.Chunk(pairs, 2) {
		templates[pair[0]] = v1alpha1.DataTemplate(pair[1])
	}
	resource.Spec.Target.Template = &v1alpha1.TargetTemplate{Data: templates}
	return resource
}

// withKey adds an entry with an API key.
func withKey(resource *v1alpha1.JupicoCredential) *v1alpha1.JupicoCredential {
	resource.Spec.Credentials = append(resource.Spec.Credentials, v1alpha1.Credential{
		Name: "key", APIKeySecretRef: &v1alpha1.APIKeySecretReference{Name: "jupico-key"},
	})
	return resource
}

func renderOnce(resource *v1alpha1.JupicoCredential, p Proven) (map[string][]byte, error) {
	templates, err := Compile(resource)
	if err != nil {
		return nil, err
	}
	return templates.Render(p)
}

func TestWithoutTemplatesTheContentIsTheAcceptedTokenByteForByte(t *testing.T) {
	login := loginOf(t, publishedUsername, publishedPassword)
	key, _, err := credential.APIKey([]byte("a-key._~+/=="))
	if err != nil {
		t.Fatal(err)
	}
	noTemplate := newResource("payments")
	for _, tc := range []struct {
		sentence string
		resource *v1alpha1.JupicoCredential
		token    credential.Token
		encoded  string
	}{
		{"a login", noTemplate, login.Token(credential.Standard), publishedToken},
		{"a login with a newline", noTemplate, login.Token(credential.TrailingNewline), publishedKey},
		{"an API key", noTemplate, key.Token(credential.Standard), "a-key._~+/=="},
		{"a template without data", templatedResource(), login.Token(credential.Standard), publishedToken},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			got, err := renderOnce(tc.resource, Proven{Token: tc.token, URL: baseURL})
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "data", got, data("authorization", "Basic "+tc.encoded, "token", tc.encoded, "url", baseURL))
			for key, value := range got {
				if bytes.HasSuffix(value, []byte("\n")) {
					t.Errorf("%s ends in a newline", key)
				}
			}
		})
	}
}

func TestTemplatesMakeWhatTheySay(t *testing.T) {
	for _, tc := range []struct{ sentence, text, want string }{
		{"text stays as it is", "a = b\n\tc\n", "a = b\n\tc\n"},
		{"nothing makes nothing", "", ""},
		{"a comment makes nothing", "{{/* nothing */}}", ""},
		{"space is cut where it says so", "a \n {{- .Name -}} \n b", "apaymentsb"},
		{"braces can be written", `{{ "{{" }}`, "{{"},
		{"the token", "{{ .Token }}", publishedToken},
		{"the header", "Authorization: {{ .Authorization }}", "Authorization: Basic " + publishedToken},
		{"the username", "{{.Username}}", publishedUsername},
		{"the password", "{{.Password}}", publishedPassword},
		{"the URL", "{{ .URL }}/status", baseURL + "/status"},
		{"the host", "{{ .Host }}", "sandbox-platform.jupico.com"},
		{"the environment", "{{ .Environment }}", "SharedSandbox"},
		{"the credential's name", "{{ .Credential }}", "main"},
		{"the namespace and the name", "{{ .Namespace }}/{{ .Name }}", "shop/payments"},

		{"b64enc", `{{ .Username | b64enc }}`, "ZGVtb0FwaVVzZXI="},
		{"quote", `{{ "a\"b\\" | quote }}`, `"a\"b\\"`},
		{"squote", `{{ .Name | squote }}`, "'payments'"},
		{"upper and lower", `{{ upper .Name }}{{ lower .Username }}`, "PAYMENTSdemoapiuser"},
		{"trim", `{{ trim " a\n" }}`, "a"},
		{"trimPrefix and trimSuffix", `{{ .Authorization | trimPrefix "Basic " | trimSuffix "z" }}`, strings.TrimSuffix(publishedToken, "z")},
		{"replace", `{{ .Password | replace "#" "%23" }}`, "V8m!xP%23l2Qz3"},
		{"contains", `{{ if contains "sandbox" .Host }}yes{{ end }}`, "yes"},
		{"hasPrefix and hasSuffix", `{{ hasPrefix "https" .URL }} {{ hasSuffix "/" .URL }}`, "true false"},
		{"eq and ne", `{{ eq .Environment "Production" "SharedSandbox" }} {{ ne .Name "payments" }}`, "true false"},
		{"and, or and not", `{{ and .Name .Token }} {{ or "" .Name }} {{ not true }}`, publishedToken + " payments false"},
		{"functions in parentheses", `{{ trim (replace "a" " " "abca") | upper }}`, "BC"},
		{"conditions", `{{ if eq .Environment "Production" }}live{{ else if eq .Name "x" }}x{{ else }}test{{ end }}`, "test"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			got, err := renderOnce(templatedResource("key", tc.text), proven(t))
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "data", got, data("key", tc.want, "token", publishedToken))
		})
	}
}

func TestTheHostHasNoPort(t *testing.T) {
	p := proven(t)
	for url, host := range map[string]string{
		"https://gateway.example:8443/jupico": "gateway.example", "https://[::1]:8443": "::1",
	} {
		p.URL = url
		got, err := renderOnce(templatedResource("host", "{{ .Host }}", "url", "{{ .URL }}"), p)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "data", got, data("host", host, "url", url, "token", publishedToken))
	}
}

func TestATemplateErrorSaysWhereAndWhat(t *testing.T) {
	for _, tc := range []struct {
		sentence, text string
		line, column   int    // column 0: not known
		problem        string // part of it
	}{
		{"range", "a\n b {{ range .Token }}{{ end }}", 2, 4, "{{ range }} cannot be used"},
		{"with", "{{ with .Token }}{{ end }}", 1, 1, "{{ with }} cannot be used"},
		{"template", `a {{ template "x" }}`, 1, 3, "{{ template }} and {{ block }} cannot be used"},
		{"block", `{{ block "x" . }}{{ end }}`, 1, 1, "{{ template }} and {{ block }} cannot be used"},
		{"define", "a\n{{ define \"x\" }}b{{ end }}c", 2, 1, "{{ define }} and {{ block }} cannot be used"},
		{"an empty define", `a {{ define "x" }}{{ end }}`, 1, 3, "{{ define }} and {{ block }} cannot be used"},
		{"a define in our place", `{{ define "value" }}b{{ end }}`, 1, 1, "{{ define }} and {{ block }} cannot be used"},
		{"a define beside us", `{{ define "value" }}b{{ end }}c`, 1, 0, "this cannot be parsed"},
		{"a variable", "{{ $x := .Token }}", 1, 4, "variables cannot be used"},
		{"the root", "{{ $.Token }}", 1, 5, "variables cannot be used"},
		{"a lone dot", "{{ . }}", 1, 4, "a lone dot cannot be used"},
		{"a number", "{{ upper 1 }}", 1, 10, "numbers cannot be used"},
		{"nil", "{{ eq .Name nil }}", 1, 13, "this cannot be used"},
		{"a field of a pipeline", "{{ (upper .Name).Foo }}", 1, 17, "this cannot be used"},
		{"an unknown value", "ä\nöü {{ .Foo }}", 2, 7, "the value .Foo is unknown: there are .Token, .Authorization, .Username"},
		{"a field of a value", "{{ .Token.Foo }}", 1, 10, "the value .Token.Foo is unknown"},
		{"a value in another case", "{{ .token }}", 1, 4, "the value .token is unknown"},
		{"an unknown value in a branch that is not taken", "{{ if false }}{{ .Foo }}{{ end }}", 1, 18, "the value .Foo is unknown"},
		{"an unknown value in the other branch", "{{ if true }}{{ else }}{{ .Foo }}{{ end }}", 1, 27, "the value .Foo is unknown"},
		{"an unknown value in a condition", "{{ if .Foo }}{{ end }}", 1, 7, "the value .Foo is unknown"},
		{"an unknown value in parentheses", "{{ upper (lower .Foo) }}", 1, 17, "the value .Foo is unknown"},
		{"a long name", "{{ ." + strings.Repeat("x", 100) + " }}", 1, 4, "the value ." + strings.Repeat("x", 40) + " is unknown"},
		{"a long name of a function", "{{ " + strings.Repeat("x", 100) + " }}", 1, 4, `the function "` + strings.Repeat("x", 40) + `" is unknown`},
		{"an unknown function", `{{ env "HOME" }}`, 1, 4, `the function "env" is unknown: there are and, b64enc, contains`},
		{"printf, which allocates by a number", `{{ printf "%1000000000d" .Token }}`, 1, 4, `the function "printf" is unknown`},
		{"index, slice, len, call, html, js, print, urlquery", `{{ index .Token }}`, 1, 4, `the function "index" is unknown`},
		{"an unknown function at the end of a pipe", `{{ .Token | repeat }}`, 1, 13, `the function "repeat" is unknown`},
		{"an unknown function as an argument", `{{ upper now }}`, 1, 10, `the function "now" is unknown`},
		{"too few arguments", "{{ replace .Token }}", 1, 4, `the function "replace" takes 3 arguments, and is given 1`},
		{"too many arguments", `{{ .Token | upper "x" }}`, 1, 13, `the function "upper" takes 1 argument, and is given 2`},
		{"no arguments", `{{ eq }}`, 1, 4, `the function "eq" takes at least 2, and is given 0`},
		{"a function without arguments as an argument", `{{ upper trim }}`, 1, 10, `the function "trim" takes 1 argument, and is given 0`},
		{"a value with an argument", `{{ .Token "x" }}`, 1, 4, "this is no function"},
		{"a text that is piped into a text", `{{ "a" | "b" }}`, 1, 0, "this cannot be parsed"},
		{"a pipe into a value", `{{ .Name | .Token }}`, 1, 12, "this is no function"},
		{"a condition as text", `a {{ upper true }}`, 1, 12, "a function got something that it cannot work with"},
		{"a comparison of unlike things", "\n {{ eq .Name true }}", 2, 5, "a function got something that it cannot work with"},

		{"an action without an end", "a\nb {{ .Token }\nc", 2, 0, "this cannot be parsed"},
		{"an action without an end at the end", "{{ .Name }}\nb {{ .Token", 2, 0, "this cannot be parsed"},
		{"a quote without an end", "{{ .Name }}\n{{ \"a }}\n{{ .Name }}", 2, 0, "this cannot be parsed"},
		{"a condition without an end", "{{ if .Token }}a\nb", 2, 0, "this cannot be parsed"},
		{"an end without a condition", "a {{ .Name }} {{ end }} {{ .Name }}", 1, 0, "this cannot be parsed"},
		{"the third of four actions", `{{ "{{" }} {{ .Name }} {{ .Name ) }} {{ .Name }}`, 1, 0, "this cannot be parsed"},
		{"a break without a loop", "{{ break }}", 1, 0, "this cannot be parsed"},
		{"a variable that is unknown", "{{ $x }}", 1, 0, "this cannot be parsed"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			_, err := renderOnce(templatedResource("a-key", "fine", "the-key", tc.text), proven(t))
			got, ok := errors.AsType[*TemplateError](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if got.Key != "the-key" || got.Line != tc.line || got.Column != tc.column {
				t.Errorf("it is of %s:%d:%d, want %d:%d", got.Key, got.Line, got.Column, tc.line, tc.column)
			}
			if !strings.HasPrefix(got.Problem, tc.problem) {
				t.Errorf("the problem is %q", got.Problem)
			}
			where := fmt.Sprintf(`template of key "the-key", line %d, column %d: `, tc.line, tc.column)
			if !strings.HasPrefix(err.Error(), strings.Replace(where, ", column 0", "", 1)) {
				t.Errorf("the error is %q", err)
			}
		})
	}
}

func TestNoFunctionOfTheEngineIsKnownThatIsNotOnTheList(t *testing.T) {
	for _, name := range []string{"call", "html", "index", "slice", "js", "len", "print", "printf", "println", "urlquery",
		"ge", "gt", "le", "lt", "repeat", "env", "now", "randAlpha", "regexMatch", "b64dec", "indent", "lookup"} {
		_, err := Compile(templatedResource("key", "{{ "+name+" .Token }}"))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the function %q is unknown", name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryFunctionOnTheListIsTheEnginesOrOurs(t *testing.T) {
	ours := (&meter{}).functions()
	for name := range functions {
		_, isOurs := ours[name]
		if isEngines := strings.Contains(" and or not eq ne ", " "+name+" "); isOurs == isEngines {
			t.Errorf("%s is ours: %t", name, isOurs)
		}
	}
}

func TestOneOfSeveralProblemsIsAlwaysTheSame(t *testing.T) {
	text := `{{ define "b" }}{{ end }}{{ define "a" }}{{ end }}{{ define "c" }}{{ end }}`
	_, want := Compile(templatedResource("key", text))
	for range 50 {
		if _, err := Compile(templatedResource("key", text)); err == nil || err.Error() != want.Error() {
			t.Fatalf("got %v, after %v", err, want)
		}
	}
}

func TestALoginsValuesAreOfLoginsOnly(t *testing.T) {
	for _, name := range []string{"Username", "Password"} {
		resource := withKey(templatedResource("key", "{{ ."+name+" }}"))
		problem := "spec.credentials has an API key"
		if _, err := Compile(resource); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("with a login and a key, .%s makes %v", name, err)
		}
		resource.Spec.Credentials = resource.Spec.Credentials[1:]
		if _, err := Compile(resource); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("with a key, .%s makes %v", name, err)
		}
	}
}

func TestWhatIsNotKnownOfATokenIsNotMadeUp(t *testing.T) {
	readBack := Proven{Token: proven(t).Token, URL: baseURL, Entry: "main"}
	for text, known := range map[string]bool{
		"{{ .Username }}": false, "{{ .Password }}": false, "{{ .Environment }}": false,
		"{{ if false }}{{ .Password }}{{ end }}": false,
		"{{ .Authorization }}":                   true, "{{ .URL }} {{ .Host }} {{ .Credential }}": true,
	} {
		got, err := renderOnce(templatedResource("key", text, "other", "text"), readBack)
		if errors.Is(err, ErrNotKnown) == known || (got != nil) != known {
			t.Errorf("%s makes %q, %v", text, got, err)
		}
	}
}

func TestWhatIsMadeIsBounded(t *testing.T) {
	p := proven(t)
	p.Credential = loginOf(t, "u", strings.Repeat(`"`, 4000))
	long := strings.Repeat("x", 4000)
	many := []string{}
	for i := range 62 {
		many = append(many, fmt.Sprintf("key-%02d", i), strings.Repeat("{{ .Password }}", 16))
	}
	for _, tc := range []struct {
		sentence  string
		templates []string
		key       string
	}{
		{"quotes of quotes", []string{"key", "{{ .Password" + strings.Repeat("|quote", 600) + " }}"}, "key"},
		{"replaced letters", []string{"key", `{{ "x"` + strings.Repeat(`|replace "x" "xxxxxxxxxx"`, 100) + " }}"}, "key"},
		{"replaced nothings", []string{"key", `{{ .Password | replace "" "` + long[:3000] + `" }}`}, "key"},
		{"quotes on the way", []string{"key", "{{ if contains `a` (.Password" + strings.Repeat("|quote", 5) + ") }}{{ end }}"}, "key"},
		{"replaced letters on the way", []string{"key", "{{ if contains `a` (.Password|replace `\"` `xxxxxxxxxxxxxxxxx`) }}{{ end }}"}, "key"},
		{"one value", []string{"a", "a", "key", strings.Repeat("{{ .Password }}", 17)}, "key"},
		{"all values", many, "key-08"},
		{"work", []string{"key", "{{ if contains `a` (" + strings.Repeat("trim (", 500) + "replace `\"` `xxxxxxxxxxxxxxxx` .Password" +
			strings.Repeat(")", 500) + ") }}{{ end }}"}, "key"},
		{"work of replace", []string{"key", "{{ if contains `a` (.Password" + strings.Repeat("|replace `c` `d`", 240) +
			strings.Repeat("|replace `\"` `xxxxxxxxxxxxxxxx`|replace `xxxxxxxxxxxxxxxx` `\"`", 60) + ") }}{{ end }}"}, "key"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			began := time.Now()
			_, err := renderOnce(templatedResource(tc.templates...), p)
			got, ok := errors.AsType[*TemplateError](err)
			const bounds = "this makes too much: a value may have 64 KiB, and all together 512 KiB"
			if !ok || got.Problem != bounds || got.Key != tc.key || got.Line != 1 {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("that took %s", took)
			}
		})
	}
	t.Run("what is just within the bounds is made", func(t *testing.T) {
		got, err := renderOnce(templatedResource(many[:16]...), p)
		if err != nil || len(got) != 9 || len(got["key-07"]) != 64000 {
			t.Errorf("got %d keys, %v", len(got), err)
		}
	})
}

func TestTheBoundsThemselvesAreNotTooMuch(t *testing.T) {
	full := strings.Repeat("x", 64<<10)
	for sentence, text := range map[string]string{
		"text": full, "a text that a function makes": "{{ trim `" + full + " ` }}",
		"replaced letters":        "{{ replace `x` `xx` `" + full[:32<<10] + "` }}",
		"what replace made short": "{{ replace `xx` `x` `" + full + full + "` }}",
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := renderOnce(templatedResource("key", text), proven(t))
			if err != nil || string(got["key"]) != full {
				t.Errorf("got %d bytes, %v", len(got["key"]), err)
			}
			if _, err := renderOnce(templatedResource("key", text+"x"), proven(t)); err == nil {
				t.Error("one byte more is not too much")
			}
		})
	}
	t.Run("all values", func(t *testing.T) {
		var templates []string
		for i := range 8 {
			templates = append(templates, fmt.Sprintf("key-%d", i), full)
		}
		if _, err := renderOnce(templatedResource(templates...), proven(t)); err != nil {
			t.Error(err)
		}
		if _, err := renderOnce(templatedResource(append(templates, "key-8", "x")...), proven(t)); err == nil {
			t.Error("one byte more is not too much")
		}
	})
}

func TestReplaceDoesNotMakeWhatIsTooMuch(t *testing.T) {
	long := strings.Repeat("x", 1000)
	if replace([]string{"x", long, long}) != nil || replace([]string{"", long, long}) != nil {
		t.Error("it made a million bytes")
	}
	wantEqual(t, "a shorter result", replace([]string{long, "", long + "y"}), any("y"))
}

func TestTheSamplesMakeTheFilesThatTheyShow(t *testing.T) {
	want := map[string]map[string][]byte{
		"env-file.yaml": data("token", publishedToken, "jupico.env",
			"JUPICO_URL=https://sandbox-platform.jupico.com\n"+
				"JUPICO_AUTHORIZATION='Basic ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXoz'\n"),
		"netrc.yaml": data("token", publishedToken, "netrc",
			"machine sandbox-platform.jupico.com\nlogin demoApiUser\npassword \"V8m!xP#l2Qz3\"\n"),
		"curl.yaml": data("token", publishedToken, "curlrc",
			"url = \"https://sandbox-platform.jupico.com/status\"\n"+
				"header = \"Authorization: Basic ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXoz\"\n"+
				"header = \"Content-Type: application/json\"\n"),
		"java-properties.yaml": data("token", publishedToken, "jupico.properties",
			"jupico.url=https://sandbox-platform.jupico.com\njupico.environment=SharedSandbox\njupico.live=false\n"+
				"jupico.username=demoApiUser\njupico.password=V8m!xP#l2Qz3\n"),
		"envoy-sds.yaml": data("token", publishedToken, "sds.yaml",
			"resources:\n- \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\n"+
				"  name: jupico-authorization\n  generic_secret:\n    secret:\n"+
				"      inline_string: \"Basic ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXoz\"\n"),
	}
	files, err := filepath.Glob("../../config/samples/templates/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if name == "kustomization.yaml" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			manifest, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			resource := &v1alpha1.JupicoCredential{}
			if err := yaml.UnmarshalStrict(manifest, resource); err != nil {
				t.Fatal(err)
			}
			got, err := renderOnce(resource, proven(t))
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "data", asText(got), asText(want[name]))
			delete(want, name)
		})
	}
	if len(want) > 0 {
		t.Errorf("there are no samples for %v", want)
	}
}

func asText(content map[string][]byte) map[string]string {
	text := map[string]string{}
	for key, value := range content {
		text[key] = string(value)
	}
	return text
}

func TestThePageOnTheTargetListsEveryValueAndFunction(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/target.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range functions {
		if !strings.Contains(string(page), "`"+name) {
			t.Errorf("target.md does not tell of the function %s", name)
		}
	}
	for _, name := range valueNames {
		if !strings.Contains(string(page), "| `."+name+"` |") {
			t.Errorf("target.md has no row for .%s", name)
		}
	}
}

// copies is how many keys have the same template: as many as may come to more than all keys together may hold.
const copies = maxData/maxValue + 1

func FuzzTemplatesAreBoundedAndTheirErrorsHoldNoValue(f *testing.F) {
	for _, text := range []string{
		"{{ .Token }}", "{{ .Password | quote }}", `{{ define "x" }}{{ end }}`, `{{ .Token | replace "" "x" | b64enc }}`,
		"{{ if and .Username (not .URL) }}a{{ else }}{{ .Host }}{{ end }}", "{{- /* a */ -}}", `{{ eq .Password true }}`,
		"{{ range }}{{ break }}{{ end }}", "{{ block `value` . }}{{ end }}", "{{ (upper .Password).Foo }}", "{{ \"{{\" | }}",
		"{{ template .Password }}", "{{ .Password.Foo }}", "{{ call .Password }}", "{{ `\n` | trim }}\n{{ .Password", "{{",
		`{{ replace "a" "` + strings.Repeat("b", 1000) + `" "` + strings.Repeat("a", 60) + `" }}`,
		"{{ .Token" + strings.Repeat(" | quote", 20) + " }}", "{{ if true }}{{ .Password | trim | lower }}", "\xff{{ .Nope }}",
		`{{ contains .Password "V8m" | not | eq true }}`, `{{ "a" | .Token }}`, "{{ $x := .Token }}{{ $x }}", "{{ 1 | quote }}",
	} {
		f.Add(text)
	}
	p := proven(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 16<<10 {
			t.Skip()
		}
		var pairs []string
		for i := range copies {
			pairs = append(pairs, fmt.Sprint("key", i), text)
		}
		resource := templatedResource(pairs...)
		templates, err := Compile(resource)
		if err != nil { // and so before any value was known
			expectSoundError(t, text, err)
			return
		}
		got, err := templates.Render(p)
		again, errAgain := templates.Render(p)
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || !maps.EqualFunc(got, again, bytes.Equal) {
			t.Fatalf("it is %q and %v once, and then %q and %v", got, err, again, errAgain)
		}
		if err != nil {
			expectSoundError(t, text, err)
			expectNothingRendered(t, got, err)
			return
		}
		total := 0
		for i := range copies {
			value, exists := got[fmt.Sprint("key", i)]
			if total += len(value); !exists || len(value) > maxValue || total > maxData {
				t.Fatalf("key %d has %d bytes of %d", i, len(value), total)
			}
		}
		if string(got["token"]) != publishedToken || len(got) != copies+1 {
			t.Fatalf("made %d keys, with the token %q", len(got), got["token"])
		}
	})
}

func expectSoundError(t *testing.T, text string, err error) {
	t.Helper()
	problem, ok := errors.AsType[*TemplateError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if problem.Line < 1 || problem.Line > 1+strings.Count(text, "\n") || problem.Column < 0 ||
		problem.Column > 1+len(text) {
		t.Fatalf("it is at %d:%d of %q", problem.Line, problem.Column, text)
	}
	if len(err.Error()) > 1000 {
		t.Fatalf("the error is %q", err)
	}
	if utf8.ValidString(text) && !utf8.ValidString(err.Error()) {
		t.Fatalf("the error is no text: %q", err)
	}
}

// expectNothingRendered looks whether an error that comes while values are known is made of our own words alone.
func expectNothingRendered(t *testing.T, got map[string][]byte, err error) {
	t.Helper()
	problem, _ := errors.AsType[*TemplateError](err)
	isOurs := problem.Problem == "a function got something that it cannot work with" ||
		strings.HasPrefix(problem.Problem, "this makes too much: a value may have 64 KiB, and all together 512 KiB")
	if !isOurs || got != nil {
		t.Fatalf("made %q, with the error %q", got, err)
	}
}
