// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command picture runs another command, shows its output, and draws it as an animated SVG, in which the lines appear
// one after the other as they did, but for long waits.
package main

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

const (
	columns, rows = 116, 32
	charWidth     = 7.8 // of a font of 13 pixels
	lineHeight    = 18
	margin        = 14
	// longestWait is what a longer time between two lines is shortened to.
	longestWait = 1500 * time.Millisecond
	// reading is how much later each heading appears, so that there is time to read what was before.
	reading = 1500 * time.Millisecond
	// end is how long the last line stays before the picture begins again.
	end = 6 * time.Second
)

// line is one of the output, and when it appears in the picture.
type line struct {
	text string
	at   time.Duration
}

func main() {
	out := flag.String("out", "", "`file` to draw into")
	title := flag.String("title", "", "`text` above the output: the command that the reader would type")
	flag.Parse()
	if err := run(*out, *title, flag.Args()); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "picture: %v\n", err)
		os.Exit(1)
	}
}

func run(out, title string, command []string) error {
	if out == "" || len(command) == 0 {
		return errors.New("-out and a command are needed")
	}
	lines, err := record(exec.CommandContext(context.Background(), command[0], command[1:]...))
	if err != nil {
		return err
	}
	var picture strings.Builder
	draw(&picture, title, lines)
	return os.WriteFile(out, []byte(picture.String()), 0o600)
}

// record runs a command, and returns what it printed. An error is that of the command.
func record(command *exec.Cmd) ([]line, error) {
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, err
	}
	var lines []line
	var at time.Duration
	last := time.Now()
	for scanner := bufio.NewScanner(output); scanner.Scan(); {
		fmt.Println(scanner.Text())
		at += min(time.Since(last), longestWait)
		if heading.MatchString(scanner.Text()) {
			at += reading
		}
		last = time.Now()
		lines = append(lines, line{scanner.Text(), at})
	}
	return lines, command.Wait()
}

var heading = regexp.MustCompile(`^\d+\. `)

// draw moves all lines up at once whenever another one appears at the bottom. Whoever wants no motion sees the end.
func draw(w io.Writer, title string, lines []line) {
	width, height := columns*charWidth+2*margin, (rows+2)*lineHeight+2*margin
	printf := func(format string, values ...any) { _, _ = fmt.Fprintf(w, format, values...) }
	printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" role="img">`+"\n", width, height)
	printf("<title>%s</title>\n<style>\n", escape(title))
	printf("text { font: 13px ui-monospace, Menlo, Consolas, monospace; fill: #c9d1d9 }\n" +
		".title { fill: #8b949e } .heading { fill: #79c0ff; font-weight: bold } .command { fill: #7ee787 }\n")
	printf("#lines { transform: translateY(%dpx) }\n", position(len(lines)-1))
	total := end
	if len(lines) > 0 {
		total += lines[len(lines)-1].at
	}
	printf("@media (prefers-reduced-motion: no-preference) {\n"+
		"#lines { animation: lines %.2fs step-end infinite }\n@keyframes lines {\n", total.Seconds())
	for i, line := range lines {
		if i+1 == len(lines) || lines[i+1].at > line.at { // of several at once, the last one counts
			printf("%.3f%% { transform: translateY(%dpx) }\n", 100*line.at.Seconds()/total.Seconds(), position(i))
		}
	}
	printf("}\n}\n</style>\n")
	printf(`<rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>`+"\n"+
		`<text class="title" x="%d" y="%d">$ %s</text>`+"\n", margin, margin+lineHeight, escape(title))
	printf(`<svg x="%d" y="%d" width="%.0f" height="%d"><g id="lines">`+"\n",
		margin, margin+2*lineHeight, columns*charWidth, rows*lineHeight)
	for i, line := range lines {
		text, class := line.text, ""
		switch {
		case heading.MatchString(text):
			class = ` class="heading"`
		case strings.HasPrefix(strings.TrimSpace(text), "$ "):
			class = ` class="command"`
		}
		printf(`<text%s y="%d">%s</text>`+"\n", class, (i+1)*lineHeight-4, escape(text))
	}
	printf("</g></svg>\n</svg>\n")
}

// position is how far the lines are moved when the i-th of them is at the bottom.
func position(i int) int { return (rows - 1 - i) * lineHeight }

// escape makes text that XML takes, and in which no renderer drops the spaces.
func escape(text string) string {
	var escaped strings.Builder
	if err := xml.EscapeText(&escaped, []byte(strings.ReplaceAll(text, " ", "\u00a0"))); err != nil {
		panic(err) // a strings.Builder never fails
	}
	return escaped.String()
}
