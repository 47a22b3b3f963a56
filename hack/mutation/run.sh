#!/usr/bin/env bash
# Changes one operator after the other in the packages without I/O, runs their unit tests against each such mutant, and
# fails if a package kills less than 90 % of those that mean something. Without arguments it takes all those packages.
# On two cores, internal/decision takes hours, and the others less than half an hour together.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
packages=(internal/credential internal/jupico/outcome internal/render internal/checker internal/decision)
case ${1:-} in
-h | --help)
  echo "usage: run.sh [package or file ...], without any: ${packages[*]}"
  exit
  ;;
?*) packages=("$@") ;;
esac

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/bin" "$scratch/source" "$scratch/tmp"
(cd "$here" && go build -o "$scratch/bin/" . github.com/go-gremlins/gremlins/cmd/gremlins)
# Gremlins copies the whole module once more, so what is large and not needed stays behind.
tar -cf - -C "$root" --exclude=./bin --exclude=./.git . | tar -xf - -C "$scratch/source"

GO=$(command -v go)
export GO PROFILE="$scratch/profile" TIMEOUTS="$scratch/timeouts" LIMIT=${LIMIT:-2m} TMPDIR="$scratch/tmp"
# Tests of seconds, which seldom notice what the others do not.
export SLOW='TestASimulatedMonth|TestAfterAnyEdits|TestAnythingMayHappen|TestAFaultyNetwork|TestAnOutageCauses|TestTokensThatAreGivenNoEvidenceAlone'
# A few simulated months find a changed operator as well as many.
export SIMULATIONS=${SIMULATIONS:-8}
status=0
for argument in "${packages[@]}"; do
  echo "==> $argument"
  : >"$TIMEOUTS"
  package=${argument%/*.go}
  excluded=()
  if [ "$package" != "$argument" ]; then
    for file in "$root/$package"/*.go; do
      [ "$file" = "$root/$argument" ] || excluded+=("--exclude-files=^$(basename "$file")\$")
    done
  fi
  # One worker, as the tests of a package run in parallel already. The coefficient is for a limit that is never reached.
  (cd "$scratch/source" && PATH="$here/gowrapper:$PATH" "$scratch/bin/gremlins" unleash --workers=1 \
    --timeout-coefficient=100 --output="$scratch/result.json" --output-statuses=l --invert-logical --invert-loopctrl \
    --invert-assignments --invert-bitwise --invert-bwassign --remove-self-assignments "${excluded[@]}" "./$package")
  "$scratch/bin/mutation" -source="$scratch/source/$package" -package="$package" -result="$scratch/result.json" \
    -profile="$PROFILE" -survivors="$here/survivors.txt" -timeouts="$TIMEOUTS" || status=1
done
exit "$status"
