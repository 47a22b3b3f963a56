#!/usr/bin/env bash
# Finds all fuzz targets, and runs each for FUZZTIME (30s by default). What a fuzzer finds, it leaves under testdata/fuzz
# of that package, as a seed for every later test. Fails if any target failed.
set -euo pipefail

each=${FUZZTIME:-30s}
packages=$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u)
targets=()
for package in $packages; do
  listed=$(go test -list '^Fuzz' "$package")
  for name in $(grep '^Fuzz' <<<"$listed"); do
    targets+=("$package $name")
  done
done
if [ ${#targets[@]} -eq 0 ]; then
  echo "there are no fuzz targets" >&2
  exit 1
fi

echo "${#targets[@]} fuzz targets for $each each"
if [[ $each =~ ^([0-9]+)s$ ]]; then
  echo "this takes $((${#targets[@]} * BASH_REMATCH[1] / 60 + 1)) minutes, and a little more to build each"
fi
failed=()
for i in "${!targets[@]}"; do
  read -r package name <<<"${targets[$i]}"
  echo "--- $((i + 1)) of ${#targets[@]}: $package $name"
  # Without its bound, the fuzzer may spend all of the time on making one input shorter.
  go test -run '^$' -fuzz "^$name\$" -fuzztime "$each" -fuzzminimizetime 1s "$package" || failed+=("$package $name")
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "all ${#targets[@]} passed"
