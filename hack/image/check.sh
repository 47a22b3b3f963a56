#!/usr/bin/env bash
# Builds the operator's image here and from a copy in another directory without any cache, and compares the results.
set -euo pipefail

version=${1:?usage: check.sh VERSION}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

build() { # build ROOT OUTPUT
  (cd "$1/hack/image" && go run . -source="$1" -package=./cmd -version="$version" \
    -image=jupico-operator:check -output="$2" >/dev/null)
}

build "$root" "$scratch/here"
mkdir "$scratch/copy"
tar -cf - -C "$root" --exclude=./bin --exclude=./.git . | tar -xf - -C "$scratch/copy"
GOCACHE="$scratch/cache" build "$scratch/copy" "$scratch/elsewhere"
for file in digest tar spdx.json; do
  cmp "$scratch/here/jupico-operator.$file" "$scratch/elsewhere/jupico-operator.$file"
done
echo "both builds are the same: $(cat "$scratch/here/jupico-operator.digest")"
