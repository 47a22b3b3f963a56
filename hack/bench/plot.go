// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// point is what one run with a number of resources has shown.
type point struct {
	size int
	rate float64 // resources made Ready, a second
	cpu  float64 // of each, in ms
	peak float64 // RSS, in MiB
	heap float64 // live at the end, in KiB. Zero when it was not measured.
}

// series are the points of all runs.
type series struct{ points []point }

func (s *series) add(p point) { s.points = append(s.points, p) }

func rate(p point) float64 { return p.rate }
func cpu(p point) float64  { return p.cpu }
func peak(p point) float64 { return p.peak }

// sizes returns the numbers of resources that were tried, from small to large.
func (s *series) sizes() []int {
	var sizes []int
	for _, p := range s.points {
		sizes = append(sizes, p.size)
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// median returns the median of a figure in the runs with this number of resources.
func (s *series) median(size int, of func(point) float64) float64 {
	var values []float64
	for _, p := range s.points {
		if p.size == size {
			values = append(values, of(p))
		}
	}
	return median(values)
}

// plot writes a picture for each figure.
func (s *series) plot(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil { //nolint:gosec // pictures are for everybody
		return err
	}
	for _, figure := range []struct {
		file, title string
		of          func(point) float64
	}{
		{"rate.svg", "Resources made Ready, a second", rate},
		{"cpu.svg", "CPU for each, in ms", cpu},
		{"memory.svg", "Peak RSS, in MiB", peak},
	} {
		picture := s.draw(figure.title, figure.of)
		path := filepath.Join(directory, figure.file)
		if err := os.WriteFile(path, []byte(picture), 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	return nil
}

// The picture's measures, in pixels.
const (
	width, height = 480, 270
	left, bottom  = 56, 40
	right, top    = 24, 36
)

// draw makes a picture of a figure against the number of resources. Both axes begin at 0, so that flat looks flat.
func (s *series) draw(title string, of func(point) float64) string {
	most, widest := 0.0, 0
	for _, size := range s.sizes() {
		most, widest = max(most, s.median(size, of)*1.15), size
	}
	x := func(size int) float64 { return left + float64(size)/float64(max(widest, 1))*(width-left-right) }
	y := func(value float64) float64 { return height - bottom - value/max(most, 1e-9)*(height-bottom-top) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+
		"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="14">%s</text>`+"\n", left, title)
	fmt.Fprintf(&b, `<path d="M%d %d V%d H%d" fill="none" stroke="black"/>`+"\n", left, top, height-bottom, width-right)
	var line []string
	for _, size := range s.sizes() {
		value := s.median(size, of)
		px, py := x(size), y(value)
		line = append(line, fmt.Sprintf("%.0f,%.0f", px, py))
		fmt.Fprintf(&b, `<circle cx="%.0f" cy="%.0f" r="4" fill="#1565c0"/>`+"\n", px, py)
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="middle">%.3g</text>`+"\n", px, py-10, value)
		fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle">%d</text>`+"\n", px, height-bottom+18, size)
	}
	fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="#1565c0" stroke-width="2"/>`+"\n", strings.Join(line, " "))
	return b.String() + "</svg>\n"
}
