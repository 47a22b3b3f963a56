#!/usr/bin/env bash
# Fails if a package's coverage is below its minimum. Coverage counts the statements that all tests together reach.
set -euo pipefail

profile=${1:?usage: coverage.sh PROFILE}
module=github.com/jupico-operator/jupico-operator

# If several test binaries cover a block, the profile has a line for each: "file:from,to statements count".
awk -v module="$module/" '
  NR == 1 { next }
  { if (!($1 in statements) || $3 > count[$1]) count[$1] = $3; statements[$1] = $2 }
  END {
    minimum["internal/credential"] = minimum["internal/jupico"] = minimum["internal/jupico/outcome"] = 95
    minimum["internal/decision"] = minimum["internal/render"] = 95
    minimum["internal/checker"] = minimum["internal/objectwatch"] = 90
    minimum["internal/controller"] = 85
    for (block in statements) {
      package = substr(block, length(module) + 1)
      sub(/\/[^\/]*$/, "", package)
      all[package] += statements[block]
      if (count[block] > 0) covered[package] += statements[block]
    }
    for (package in minimum) if (!(package in all)) all[package] = 0
    for (package in all) {
      share = all[package] ? 100 * covered[package] / all[package] : 0
      verdict = ""
      if (package in minimum) {
        verdict = sprintf("must be above %d %%", minimum[package])
        if (share <= minimum[package]) { verdict = verdict ": TOO LOW"; low = 1 }
      }
      printf "%-32s %5.1f %%  %s\n", package, share, verdict | "sort"
    }
    close("sort")
    exit low
  }' "$profile"
