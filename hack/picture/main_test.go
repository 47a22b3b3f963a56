// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAPictureIsXMLWithEachLineThatWasPrinted(t *testing.T) {
	lines, err := record(exec.CommandContext(t.Context(), "printf", `1. <A> & "B"\n   $ kubectl get jcred\n\nthe end`))
	if err != nil {
		t.Fatal(err)
	}
	var picture strings.Builder
	draw(&picture, "make demo", lines)
	var texts []string
	for decoder := xml.NewDecoder(strings.NewReader(picture.String())); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, picture.String())
		}
		if text, isText := token.(xml.CharData); isText {
			texts = append(texts, strings.ReplaceAll(string(text), "\u00a0", " "))
		}
	}
	for _, want := range []string{"$ make demo", `1. <A> & "B"`, "   $ kubectl get jcred", "the end"} {
		if !slices.Contains(texts, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}

func TestEachLineAppearsAtItsTime(t *testing.T) {
	var picture strings.Builder
	draw(&picture, "x", []line{{"a", 0}, {"b", time.Second}, {"c", time.Second}, {"d", 4 * time.Second}})
	for _, want := range []string{ // the whole takes 10 s
		"animation: lines 10.00s", "\n0.000% { transform: translateY(558px) }", "\n10.000% { transform: translateY(522px) }",
		"\n40.000% { transform: translateY(504px) }", "#lines { transform: translateY(504px) }",
	} {
		if !strings.Contains(picture.String(), want) {
			t.Errorf("the picture lacks %q:\n%s", want, picture.String())
		}
	}
}

func TestACommandThatFailsIsNotDrawn(t *testing.T) {
	if err := run(t.TempDir()+"/picture.svg", "x", []string{"false"}); err == nil {
		t.Error("there is no error")
	}
}
