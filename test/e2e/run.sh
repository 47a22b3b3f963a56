#!/usr/bin/env bash
# Runs the end-to-end tests with the images that `make e2e` has built. It uses the cluster that KUBECONFIG points at, or
# else that of hack/cluster, which stays up for the next run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

heading() { printf '\n==> %s\n' "$1"; }

archives=("$IMAGES"/jupico-operator.tar "$IMAGES"/jupico-emulator.tar "$IMAGES"/jupico-e2e.tar)
if [ -n "${KUBECONFIG:-}" ]; then
  heading "Using the cluster of KUBECONFIG"
  if [ -n "${E2E_LOAD:-}" ]; then
    for archive in "${archives[@]}"; do $E2E_LOAD "$archive"; done
  else
    echo "Its nodes must have the images or be able to pull them: see E2E_LOAD in CONTRIBUTING.md."
  fi
  kubectl=$E2E_KUBECTL
  unset E2E_RELEASE # its manifests name the image by a digest, which such a node does not know
else
  heading "Starting a cluster on this machine (7 to 12 min on two cold cores, seconds if it is up)"
  "$MAKE" --no-print-directory cluster-up
  KUBECONFIG=$CLUSTER/state/admin.kubeconfig
  "$CLUSTER/cluster" --dir="$CLUSTER" load "${archives[@]}" "$E2E_RELEASE_IMAGE=$E2E_RELEASE/jupico-operator.tar"
  kubectl=$(hack/controlplane/ensure.sh | tail -n 1)/kubectl
  export E2E_REPLACE=1 # this cluster belongs to nobody else
fi

heading "End-to-end tests (4 to 6 min)"
export KUBECONFIG KUBECTL=$kubectl PATH=$PWD/bin:$PATH # with the plugin
exec go test -tags=e2e -count=1 -timeout=60m -v ./test/e2e -ginkgo.no-color "$@"
