// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// part is one of the things that are measured, in order.
type part struct {
	name  string
	title string
	// isQuick and isFull say which runs it belongs to.
	isQuick bool
	isFull  bool
	measure func(context.Context, *bench) error
}

var allParts = []part{
	{"sync", "Sync: 1,000 resources exist before the operator starts", true, true, measureSync},
	{"steady", "Steady: 1,000 resources are checked every 30 s", true, true, measureSteady},
	{"reaction", "Reaction: 200 sources change, 200 targets are deleted, 200 tampered with", true, true, measureReaction},
	{"growth", "Growth: 1,000 more resources", true, false, measureGrowth},
	{"scale", "Scale: 1,000, 5,000 and 10,000 resources", false, true, measureScale},
	{"restart", "Restart: 10,000 resources are overdue, and 100 are new or changed", false, true, measureRestart},
	{"crowd", "Crowd: 50,000 Secrets of 4 KiB that nobody mentions", false, true, measureCrowd},
	{"storm", "Storm: every token is rejected, and later accepted again", false, true, measureStorm},
}

// chooseParts returns the parts that the command line asks for. They build on those before them: growth on reaction,
// and those after scale on scale.
func chooseParts(s settings) ([]part, error) {
	var wanted []string
	if s.only != "" {
		wanted = strings.Split(s.only, ",")
	}
	var chosen []part
	for _, p := range allParts {
		if wanted == nil && (p.isQuick && s.quick || p.isFull && !s.quick) || slices.Contains(wanted, p.name) {
			chosen = append(chosen, p)
		}
	}
	if len(chosen) < len(wanted) || len(chosen) == 0 {
		return nil, fmt.Errorf("--only=%s: not all of these are parts", s.only)
	}
	return chosen, nil
}
