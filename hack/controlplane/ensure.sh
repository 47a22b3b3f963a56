#!/usr/bin/env bash
# Finds or builds etcd, kube-apiserver and kubectl, and prints their directory as the last line of standard output.
# It tries, in this order: $KUBEBUILDER_ASSETS, an earlier build, setup-envtest, a new build from Go modules.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
programs=(etcd kube-apiserver kubectl)

say() { echo "controlplane: $*" >&2; }

complete() { # complete DIR: succeeds if DIR has every program
  local program
  for program in "${programs[@]}"; do [ -x "$1/$program" ] || return 1; done
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  if complete "$KUBEBUILDER_ASSETS"; then
    echo "$KUBEBUILDER_ASSETS"
    exit 0
  fi
  say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS does not have all of ${programs[*]}, so they are looked for elsewhere"
fi

version=$(cd "$here" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
dir="$root/bin/controlplane-$version"
stamp=$(cat "$here/go.mod" "$here/go.sum" | git hash-object --stdin)
if complete "$dir" && [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$dir"
  exit 0
fi

if command -v setup-envtest >/dev/null; then
  series=${version#v}
  if found=$(timeout 120 setup-envtest use "${series%.*}.x" -p path 2>/dev/null) && complete "$found"; then
    echo "$found"
    exit 0
  fi
  say "setup-envtest could not supply ${series%.*}.x, so it is built instead"
fi

build() { # build PACKAGE FILE USUAL-TIME
  say "building $2 ($3 on two cold cores, seconds when cached) ..."
  local start=$SECONDS
  (cd "$here" && CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$dir/$2" "$1")
  say "built $2 in $((SECONDS - start)) s"
}

say "building Kubernetes $version from Go modules, once: usually 5 to 10 minutes, including the download"
mkdir -p "$dir"
build go.etcd.io/etcd/server/v3 etcd "1 to 2 min"
build k8s.io/kubernetes/cmd/kube-apiserver kube-apiserver "4 to 8 min"
build k8s.io/kubernetes/cmd/kubectl kubectl "1 to 2 min"
echo "$stamp" >"$dir/.stamp"
echo "$dir"
