// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"io/fs"
	"strconv"
	"strings"
)

// MemoryLimit returns what the Go runtime may use: nine tenths of the container's limit, so that it collects garbage
// more often before the kernel ends it. The rest is for what the runtime does not count. It reads the files of control
// groups, of either version, and returns 0 where they name no limit.
func MemoryLimit(cgroup fs.FS) int64 {
	for _, file := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		content, err := fs.ReadFile(cgroup, file)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
		if err == nil && limit > 0 && limit < unlimited { // "max" is no number
			return limit / 10 * 9
		}
	}
	return 0
}

// unlimited is less than what version 1 has for no limit.
const unlimited = 1 << 60
