#!/usr/bin/env bash
# Finds or builds etcd, kube-apiserver and kubectl, and prints their directory as the last line of standard output.
# It tries, in this order: $KUBEBUILDER_ASSETS, an earlier result, setup-envtest, a new build from Go modules.
# With the argument oldest, the kube-apiserver is the oldest that is tested, and $KUBEBUILDER_ASSETS does not count.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
oldest=${1:-}
programs=(etcd kube-apiserver kubectl)

say() { echo "controlplane: $*" >&2; }

complete() { # complete DIR: succeeds if DIR has every program
  local program
  for program in "${programs[@]}"; do [ -x "$1/$program" ] || return 1; done
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -z "$oldest" ]; then
  if complete "$KUBEBUILDER_ASSETS"; then
    echo "$KUBEBUILDER_ASSETS"
    exit 0
  fi
  say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS does not have all of ${programs[*]}, so they are looked for elsewhere"
fi

newest=
if [ -n "$oldest" ]; then
  newest=$("${BASH_SOURCE[0]}" | tail -n 1)
  here=$here/oldest
fi
version=$(cd "$here" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
dir="$root/bin/${oldest:-controlplane}-$version"
stamp=$(cat "$here/go.mod" "$here/go.sum" | git hash-object --stdin)
if complete "$dir" && [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$dir"
  exit 0
fi

# Counts what go build -v says, tells the counts at least every 20 s, and keeps the rest for the case that it fails.
progress() { # progress LOG
  local line modules=0 packages=0 last=$SECONDS status
  : >"$1"
  while true; do
    if read -r -t 1 line; then
      case $line in
      "go: downloading "*) modules=$((modules + 1)) ;;
      *" "*) echo "$line" >>"$1" ;;
      *) packages=$((packages + 1)) ;;
      esac
    else
      status=$?
      [ "$status" -gt 128 ] || break # only a timeout is no end
    fi
    if ((SECONDS - last >= 15)); then
      say "$modules modules downloaded, $packages packages compiled so far"
      last=$SECONDS
    fi
  done
}

# Where their download site can be reached, programs that the Kubernetes project has built are here sooner.
download() { # download SERIES: prints the directory
  local tool="$root/bin/setup-envtest"
  (cd "$root/hack/tools" && go build -o "$tool" sigs.k8s.io/controller-runtime/tools/setup-envtest) >&2 &&
    timeout 15 "$tool" list "$1" --bin-dir="$root/bin" >/dev/null 2>&1 &&
    timeout 300 "$tool" use "$1" --bin-dir="$root/bin" -p path
}

series=${version#v}
series=${series%.*}.x
say "asking for Kubernetes $series that others have built (15 s at most to find out)"
if found=$(download "$series") && complete "$found"; then
  # Its own directory may not be written to.
  rm -rf "$dir"
  mkdir -p "$dir"
  ln -s "${programs[@]/#/$found/}" "$dir"
  echo "$stamp" >"$dir/.stamp"
  echo "$dir"
  exit 0
fi
say "setup-envtest could not supply it, so it is built here"

build() { # build PACKAGE FILE USUAL-TIME
  say "building $2 ($3 on two cold cores, seconds when cached) ..."
  local start=$SECONDS log="$dir/$2.log"
  (cd "$here" && CGO_ENABLED=0 go build -v -trimpath -buildvcs=false \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$dir/$2" "$1" 2>&1) | progress "$log" || {
    cat "$log" >&2
    exit 1
  }
  say "built $2 in $((SECONDS - start)) s"
}

rm -rf "$dir"
mkdir -p "$dir"
if [ -n "$oldest" ]; then
  build k8s.io/kubernetes/cmd/kube-apiserver kube-apiserver "3 to 6 min"
  ln -sf "$newest/etcd" "$newest/kubectl" "$dir"
else
  say "building Kubernetes $version from Go modules, once: usually 5 to 10 minutes, including the download"
  build go.etcd.io/etcd/server/v3 etcd "1 to 2 min"
  build k8s.io/kubernetes/cmd/kube-apiserver kube-apiserver "4 to 8 min"
  build k8s.io/kubernetes/cmd/kubectl kubectl "1 to 2 min"
fi
echo "$stamp" >"$dir/.stamp"
echo "$dir"
