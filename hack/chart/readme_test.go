// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	source     = "../../config/chart"
	tableBegin = "| Value | Default | What it is |\n| --- | --- | --- |\n"
)

// comment returns the words of the comment above a key. An empty line ends a comment that is about something else.
func comment(key *yaml.Node) string {
	paragraphs := strings.Split(key.HeadComment, "\n\n")
	var words []string
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(line, "#")))
	}
	return strings.Join(words, " ")
}

// flow returns a value on one line.
func flow(t *testing.T, value *yaml.Node) string {
	t.Helper()
	plain := *value
	plain.Style = yaml.FlowStyle
	text, err := yaml.Marshal(&plain)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// rows are those of the table: one for each value with a comment. A value whose parts have comments is left to these.
func rows(t *testing.T, prefix string, values *yaml.Node) string {
	t.Helper()
	var table strings.Builder
	for i := 0; i < len(values.Content); i += 2 {
		key, value := values.Content[i], values.Content[i+1]
		path, words := prefix+key.Value, comment(key)
		switch {
		case words != "":
			words = strings.ReplaceAll(words, "|", `\|`)
			fmt.Fprintf(&table, "| `%s` | `%s` | %s |\n", path, strings.ReplaceAll(flow(t, value), "|", `\|`), words)
		case value.Kind == yaml.MappingNode && len(value.Content) > 0:
			table.WriteString(rows(t, path+".", value))
		default:
			t.Errorf("values.yaml does not say what %s is", path)
		}
	}
	return table.String()
}

func TestTheReadmeListsTheValuesWithTheirComments(t *testing.T) {
	text, err := os.ReadFile(source + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	want := tableBegin + rows(t, "", document.Content[0])

	readme, err := os.ReadFile(source + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(readme), tableBegin)
	if !found {
		t.Fatalf("README.md has no table that begins with\n%s", tableBegin)
	}
	_, after, _ := strings.Cut(rest, "\n\n")
	if page := before + want + "\n" + after; page != string(readme) {
		if os.Getenv("UPDATE_DOCS") != "1" {
			t.Fatal("README.md is not made of values.yaml: run UPDATE_DOCS=1 go test -run Readme . here, and make build-installer")
		}
		if err := os.WriteFile(source+"/README.md", []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheExamplesOfTheReadmeChangeWhatTheChartMakes(t *testing.T) {
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(readFile(t, source+"/README.md"), -1)
	if len(blocks) == 0 {
		t.Fatal("README.md has no examples")
	}
	byDefault := mustHelm(t, values{})
	for _, block := range blocks {
		if made := mustHelm(t, parse(t, block[1])); reflect.DeepEqual(made, byDefault) {
			t.Errorf("nothing follows from\n%s", block[1])
		}
	}
}
