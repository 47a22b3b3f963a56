// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// part is a part of the benchmark. Parts run in order.
type part struct {
	name  string
	title string
	// isQuick and isFull tell whether it belongs to a quick and to a full run.
	isQuick bool
	isFull  bool
	measure func(context.Context, *bench) error
}

var allParts = []part{
	{"sync", "Sync: 1,000 new resources exist before the operator starts", true, true, measureSync},
	{"steady", "Steady: 1,000 resources are checked every 30 s", true, true, measureSteady},
	{"reaction", "Reaction: 200 sources change, 200 targets are deleted, 200 tampered with", true, true, measureReaction},
	{"growth", "Growth: 1,000 more resources", true, false, measureGrowth},
	{"scale", "Scale: 1,000, 5,000 and 10,000 resources", false, true, measureScale},
	{"restart", "Restart: 10,000 checks are overdue, and 100 resources are new or changed", false, true, measureRestart},
	{"crowd", "Crowd: 50,000 Secrets of 4 KiB that no resource refers to", false, true, measureCrowd},
	{"storm", "Storm: 10,000 tokens are rejected, and later accepted again", false, true, measureStorm},
}

// partNames lists the parts for the command line.
func partNames() string {
	var names []string
	for _, p := range allParts {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

// chooseParts returns the parts that the command line asks for. Growth needs reaction, and the parts after
// scale need scale.
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
		return nil, fmt.Errorf("--only=%s: the parts are %s", s.only, partNames())
	}
	return chosen, nil
}
