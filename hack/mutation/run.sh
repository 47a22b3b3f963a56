#!/usr/bin/env bash
# Changes one operator after the other in the packages without I/O, runs their unit tests against each such mutant, and
# fails if a package kills less than 90 % of those that mean something. Without packages it takes all: see --help.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
packages=(internal/credential internal/jupico/outcome internal/render internal/checker internal/decision)
case ${1:-} in
-h | --help)
  echo "usage: run.sh [package ...], of: ${packages[*]}"
  exit
  ;;
?*) packages=("$@") ;;
esac

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/bin" "$scratch/source" "$scratch/tmp"
(cd "$here" && go build -o "$scratch/bin/" . github.com/go-gremlins/gremlins/cmd/gremlins)
# Gremlins copies the whole module once more, so what is large and not needed stays behind.
tar -cf - -C "$root" --exclude=./bin --exclude=./.git --exclude=./dist . | tar -xf - -C "$scratch/source"

GO=$(command -v go)
export GO PROFILE="$scratch/profile" TMPDIR="$scratch/tmp"
status=0
for package in "${packages[@]}"; do
  FLAGS="-vet=off -short"
  export FLAGS
  echo "==> $package"
  # One worker, as the tests of a package run in parallel already.
  (cd "$scratch/source" && PATH="$here/gowrapper:$PATH" "$scratch/bin/gremlins" unleash --silent --workers=1 \
    --timeout-coefficient=10 --output="$scratch/result.json" --invert-logical --invert-loopctrl --invert-assignments \
    --invert-bitwise --invert-bwassign --remove-self-assignments "./$package")
  "$scratch/bin/mutation" -source="$root/$package" -package="$package" -result="$scratch/result.json" \
    -profile="$PROFILE" -survivors="$here/survivors.txt" || status=1
done
exit "$status"
