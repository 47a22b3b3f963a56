// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"testing"
	"testing/fstest"
)

func TestTheRuntimeMayUseNineTenthsOfTheContainersMemory(t *testing.T) {
	const limitMiB128, ninetyPercent = "134217728\n", 120795948
	for sentence, tc := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"version 2":                  {map[string]string{"memory.max": limitMiB128}, ninetyPercent},
		"version 2 without a limit":  {map[string]string{"memory.max": "max\n"}, 0},
		"version 1":                  {map[string]string{"memory/memory.limit_in_bytes": limitMiB128}, ninetyPercent},
		"version 1 without a limit":  {map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"no control groups":          {nil, 0},
		"a file that is not a limit": {map[string]string{"memory.max": "-1"}, 0},
	} {
		t.Run(sentence, func(t *testing.T) {
			files := fstest.MapFS{}
			for name, content := range tc.files {
				files[name] = &fstest.MapFile{Data: []byte(content)}
			}
			if got := MemoryLimit(files); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}
