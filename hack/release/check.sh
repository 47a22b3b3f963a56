#!/usr/bin/env bash
# Makes a release here and, without any cache, from a clone in another directory. Compares the two, and checks the sums.
set -euo pipefail

version=${1:?usage: check.sh VERSION IMAGE HELM}
image=${2:?usage: check.sh VERSION IMAGE HELM}
helm=${3:?usage: check.sh VERSION IMAGE HELM}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

build() { # build ROOT OUTPUT
  (cd "$1/hack/release" && go run . -source="$1" -version="$version" -image="$image" -helm="$helm" -output="$2")
}

build "$root" "$scratch/here"
git clone --quiet "$root" "$scratch/copy"
GOCACHE="$scratch/cache" build "$scratch/copy" "$scratch/elsewhere"
diff -r "$scratch/here" "$scratch/elsewhere"
cd "$scratch/elsewhere"
sha256sum --check --strict --quiet SHA256SUMS
cat SHA256SUMS
echo "both releases are the same"
