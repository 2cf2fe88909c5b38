#!/usr/bin/env bash
# Gets what the tests on real components need, into a cache outside the repository. Says what was found,
# what is missing, and how to get it; quick when all is there. KUBE_PACKED may name a folder whose script
# `unpack DIR` brings kube-apiserver and kube-controller-manager of the version in versions.env.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions.env
source "$here/versions.env"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/circleci-runbooks/components/kubernetes-$KUBERNETES-kwok-$KWOK
velero=$(dirname "$cache")/velero-$VELERO
python=$(dirname "$cache")/moto-$MOTO-awscli-$AWSCLI
store=$(dirname "$cache")/minio-$MINIO-mc-$MC
mkdir -p "$cache" "$velero" "$store"
missing=0

# The order of components.ts: the environment, PATH, the cache.
find_component() {
  if [[ -n ${KUBEBUILDER_ASSETS:-} && -x $KUBEBUILDER_ASSETS/$1 ]]; then echo "$KUBEBUILDER_ASSETS/$1"
  # On PATH, mc may be Midnight Commander.
  elif [[ $1 != mc ]] && command -v "$1" 2>/dev/null; then :
  elif [[ -x $cache/$1 ]]; then echo "$cache/$1"
  elif [[ -x $velero/$1 ]]; then echo "$velero/$1"
  elif [[ -x $python/bin/$1 ]]; then echo "$python/bin/$1"
  elif [[ -x $store/$1 ]]; then echo "$store/$1"
  else return 1; fi
}

report() { # name, how to get it
  local path
  if path=$(find_component "$1"); then printf '  %-24s %s\n' "$1" "$path"
  else printf '  %-24s missing: %s\n' "$1" "$2"; missing=1; fi
}

# Component and Debian package.
packages=()
while read -r name package; do find_component "$name" >/dev/null || packages+=("$package"); done <<'END'
etcd etcd-server
dnsmasq dnsmasq-base
dig bind9-dnsutils
END
if [[ ${#packages[@]} -gt 0 && $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  echo "apt: installing ${packages[*]}"
  # A service of its own is not wanted: the tests start theirs.
  [[ -e /usr/sbin/policy-rc.d ]] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d && policy=made; }
  apt-get install -y -qq "${packages[@]}" >"$cache/apt.log" 2>&1 ||
    { apt-get update -qq >>"$cache/apt.log" 2>&1 && apt-get install -y -qq "${packages[@]}" >>"$cache/apt.log" 2>&1; } ||
    { echo "apt-get failed:"; tail -n 5 "$cache/apt.log"; }
  [[ ${policy:-} == made ]] && rm -f /usr/sbin/policy-rc.d
fi

if ! find_component kwok >/dev/null && command -v go >/dev/null; then
  echo "kwok: building $KWOK, which takes some minutes the first time"
  CGO_ENABLED=0 GOBIN="$cache" go install "sigs.k8s.io/kwok/cmd/kwok@$KWOK" >"$cache/kwok.log" 2>&1 ||
    { echo 'kwok: go install failed:'; tail -n 5 "$cache/kwok.log"; }
fi

if { ! find_component kube-apiserver || ! find_component kube-controller-manager; } >/dev/null && [[ -x ${KUBE_PACKED:-}/unpack ]]; then
  echo "Kubernetes: unpacking $KUBE_PACKED"
  "$KUBE_PACKED/unpack" "$cache" >/dev/null || echo 'Kubernetes: unpack failed'
fi

if ! find_component velero >/dev/null && command -v go >/dev/null; then
  echo "velero: building $VELERO, which takes some minutes the first time"
  (cd "$here/velero" && CGO_ENABLED=0 go build -ldflags "-X github.com/vmware-tanzu/velero/pkg/buildinfo.Version=v$VELERO" \
    -o "$velero/velero" github.com/vmware-tanzu/velero/cmd/velero) >"$velero/build.log" 2>&1 ||
    { echo 'velero: go build failed:'; tail -n 5 "$velero/build.log"; }
fi

if { ! find_component moto_server || ! find_component aws; } >/dev/null && command -v python3 >/dev/null; then
  echo "moto and the aws CLI: installing $MOTO and $AWSCLI"
  { python3 -m venv "$python" && "$python/bin/pip" install --quiet "moto[server]==$MOTO" "awscli==$AWSCLI"; } >"$cache/python.log" 2>&1 ||
    { echo 'moto: pip failed:'; tail -n 5 "$cache/python.log"; }
fi

for name in minio mc; do
  if ! find_component "$name" >/dev/null && command -v go >/dev/null; then
    [[ $name == minio ]] && version=$MINIO || version=$MC
    echo "$name: building $version, which takes some minutes the first time"
    CGO_ENABLED=0 GOBIN="$store" go install "github.com/minio/$name@$version" >"$store/$name.log" 2>&1 ||
      { echo "$name: go install failed:"; tail -n 5 "$store/$name.log"; }
  fi
done

echo "Components, by KUBEBUILDER_ASSETS, PATH and $cache:"
report etcd 'apt-get install etcd-server'
report kube-apiserver "put it on PATH, name its folder in KUBEBUILDER_ASSETS (setup-envtest), or set KUBE_PACKED"
report kube-controller-manager "put it on PATH, name its folder in KUBEBUILDER_ASSETS, or set KUBE_PACKED"
report kwok "go install sigs.k8s.io/kwok/cmd/kwok@$KWOK"
report kubectl 'https://kubernetes.io/docs/tasks/tools/'
report velero "cd test/real/velero && go build github.com/vmware-tanzu/velero/cmd/velero, or a release"
report moto_server "pip install 'moto[server]==$MOTO'"
report aws "pip install awscli==$AWSCLI"
report gcloud 'https://cloud.google.com/sdk/docs/install'
report minio "go install github.com/minio/minio@$MINIO"
report mc "go install github.com/minio/mc@$MC"
report curl 'apt-get install curl'
report dnsmasq 'apt-get install dnsmasq-base'
report dig 'apt-get install bind9-dnsutils'
report openssl 'apt-get install openssl'
report circleci 'https://github.com/CircleCI-Public/circleci-cli/releases/tag/v0.1.30549'
exit $missing
