// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"slices"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// Clone returns a State with which a round can be tried out. The limiters are those of the original.
func (s *State) Clone() *State {
	clone := *s
	clone.committed.entries = slices.Clone(s.committed.entries)
	clone.sent.edits = slices.Clone(s.sent.edits)
	return &clone
}

// EnvironmentNames lists the rows of the table of environments.
func EnvironmentNames() []v1alpha1.Environment {
	var names []v1alpha1.Environment
	for _, row := range environments {
		names = append(names, row.name)
	}
	return names
}
