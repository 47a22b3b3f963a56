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

// point is the result of one run with a number of resources.
type point struct {
	size int
	rate float64 // resources that became Ready per second
	cpu  float64 // ms per resource
	peak float64 // highest RSS, in MiB
	heap float64 // live heap at the end, in KiB, or zero if it was not measured
}

// series holds the points of all runs.
type series struct{ points []point }

func (s *series) add(p point) { s.points = append(s.points, p) }

func rate(p point) float64 { return p.rate }
func cpu(p point) float64  { return p.cpu }
func peak(p point) float64 { return p.peak }

// sizes returns the numbers of resources, each once, from small to large.
func (s *series) sizes() []int {
	var sizes []int
	for _, p := range s.points {
		sizes = append(sizes, p.size)
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// median returns the median of a figure over the runs with this number of resources.
func (s *series) median(size int, figure func(point) float64) float64 {
	var values []float64
	for _, p := range s.points {
		if p.size == size {
			values = append(values, figure(p))
		}
	}
	return median(values)
}

// plot writes an SVG for each figure.
func (s *series) plot(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil { //nolint:gosec // everybody may see plots
		return err
	}
	for _, plot := range []struct {
		file, title string
		figure      func(point) float64
	}{
		{"rate.svg", "Resources that became Ready per second", rate},
		{"cpu.svg", "CPU per resource, in ms", cpu},
		{"memory.svg", "Peak RSS, in MiB", peak},
	} {
		svg := s.draw(plot.title, plot.figure)
		path := filepath.Join(directory, plot.file)
		if err := os.WriteFile(path, []byte(svg), 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	return nil
}

// The size and margins of a plot, in pixels.
const (
	width, height = 480, 270
	left, bottom  = 56, 40
	right, top    = 24, 36
)

// draw plots the medians of a figure against the number of resources, as an SVG. Both axes begin at 0.
func (s *series) draw(title string, figure func(point) float64) string {
	highest, largest := 0.0, 0
	for _, size := range s.sizes() {
		highest, largest = max(highest, s.median(size, figure)*1.15), size
	}
	x := func(size int) float64 { return left + float64(size)/float64(max(largest, 1))*(width-left-right) }
	y := func(value float64) float64 { return height - bottom - value/max(highest, 1e-9)*(height-bottom-top) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+
		"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="14">%s</text>`+"\n", left, title)
	fmt.Fprintf(&b, `<path d="M%d %d V%d H%d" fill="none" stroke="black"/>`+"\n", left, top, height-bottom, width-right)
	var line []string
	for _, size := range s.sizes() {
		value := s.median(size, figure)
		px, py := x(size), y(value)
		line = append(line, fmt.Sprintf("%.0f,%.0f", px, py))
		fmt.Fprintf(&b, `<circle cx="%.0f" cy="%.0f" r="4" fill="#1565c0"/>`+"\n", px, py)
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="middle">%.3g</text>`+"\n", px, py-10, value)
		fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle">%d</text>`+"\n", px, height-bottom+18, size)
	}
	fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="#1565c0" stroke-width="2"/>`+"\n", strings.Join(line, " "))
	return b.String() + "</svg>\n"
}
