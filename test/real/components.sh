#!/usr/bin/env bash
# Gets what the tests on real components need, into a cache outside the repository. Says what was found,
# what is missing, and how to get it; quick when all is there. KUBE_PACKED may name a folder whose script
# `unpack DIR` brings kube-apiserver and kube-controller-manager of the version in versions.env.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions.env
source "$here/versions.env"
components=${XDG_CACHE_HOME:-$HOME/.cache}/circleci-runbooks/components
cache=$components/kubernetes-$KUBERNETES
kwok=$components/kwok-$KWOK-patched
velero=$components/velero-$VELERO
python=$components/moto-$MOTO-awscli-$AWSCLI
store=$components/minio-$MINIO-mc-$MC
ferretdb=$components/ferretdb-$FERRETDB
mongosh=$components/mongosh-$MONGOSH
vault=$components/vault-$VAULT
mkdir -p "$cache" "$kwok" "$velero" "$store" "$ferretdb" "$mongosh" "$vault"
missing=0

# The order of components.ts: the environment, PATH, the cache.
find_component() {
  if [[ -n ${KUBEBUILDER_ASSETS:-} && -x $KUBEBUILDER_ASSETS/$1 ]]; then echo "$KUBEBUILDER_ASSETS/$1"
  # On PATH, mc may be Midnight Commander, and KWOK is without our patch.
  elif [[ $1 != mc && $1 != kwok ]] && command -v "$1" 2>/dev/null; then :
  elif [[ -x $cache/$1 ]]; then echo "$cache/$1"
  elif [[ -x $kwok/$1 ]]; then echo "$kwok/$1"
  elif [[ -x $velero/$1 ]]; then echo "$velero/$1"
  elif [[ -x $python/bin/$1 ]]; then echo "$python/bin/$1"
  elif [[ -x $store/$1 ]]; then echo "$store/$1"
  elif [[ -x $ferretdb/$1 ]]; then echo "$ferretdb/$1"
  elif [[ -x $mongosh/node_modules/.bin/$1 ]]; then echo "$mongosh/node_modules/.bin/$1"
  elif [[ -x $vault/$1 ]]; then echo "$vault/$1"
  # Debian keeps the programs of a server apart, by its version.
  elif ls /usr/lib/postgresql/*/bin/"$1" 2>/dev/null | tail -n 1 | grep .; then :
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
sshd openssh-server
ssh openssh-client
sudo sudo
postgres postgresql
zstd zstd
ip iproute2
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

# Builds the command of a module from a copy of it, after a change that `go install` has no place for.
build_changed() { # name, folder, module, package, change
  local source
  echo "$1: building $3, which takes some minutes the first time"
  source=$(mktemp -d)
  (set -e; cd "$source"
    module=$(go mod download -json "$3" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    cp -r "$module" module && chmod -R u+w module && cd module
    eval "$5"
    CGO_ENABLED=0 go build -o "$2/$1" "$4") >"$2/$1.log" 2>&1 || { echo "$1: go build failed:"; tail -n 5 "$2/$1.log"; }
  rm -rf "$source"
}

if ! find_component kwok >/dev/null && command -v go >/dev/null; then
  build_changed kwok "$kwok" "sigs.k8s.io/kwok@$KWOK" ./cmd/kwok 'git apply "$here/kwok/exec.patch"'
fi

if ! find_component ferretdb >/dev/null && command -v go >/dev/null; then
  # The release's build writes this file.
  build_changed ferretdb "$ferretdb" "github.com/FerretDB/FerretDB@$FERRETDB" ./cmd/ferretdb 'echo "$FERRETDB" >build/version/version.txt'
fi

if ! find_component vault >/dev/null && command -v go >/dev/null; then
  # Its own api and sdk lie beside it in its repository; the published ones differ in three places. Of the plugins only
  # the least, and of the storages the one that server has.
  GOFLAGS='-tags=minimal -mod=mod -buildvcs=false' build_changed vault "$vault" "github.com/hashicorp/vault@v$VAULT" . '
    for name in api api/auth/approle api/auth/kubernetes api/auth/userpass sdk; do go mod edit -dropreplace "github.com/hashicorp/vault/$name"; done
    sed -i "s/restoredKeyName, err := b.lm/restoredKeyName, err := keyName, b.lm/" builtin/logical/transit/path_restore.go
    sed -i "s/ActivationFunc: iStore.activateDeduplication,/ActivationFunc: func(ctx context.Context, req *logical.Request, _ string) error { return iStore.activateDeduplication(ctx, req) },/" vault/identity_store.go
    sed -i "s/ActivationFunc(ctx, nil)/ActivationFunc(ctx, nil, \"\")/" vault/logical_system_activation_flags.go
    sed -i -e "s/^\t\t\t\"inmem\": .*/&\n\t\t\t\"file\": physFile.NewFileBackend,/" -e "s|^\tphysInmem .*|&\n\tphysFile \"github.com/hashicorp/vault/sdk/physical/file\"|" command/commands.go'
fi

if ! find_component mongosh >/dev/null && command -v npm >/dev/null; then
  echo "mongosh: installing $MONGOSH"
  npm install --prefix "$mongosh" --no-audit --no-fund --omit=optional --ignore-scripts "mongosh@$MONGOSH" >"$mongosh/npm.log" 2>&1 ||
    { echo 'mongosh: npm failed:'; tail -n 5 "$mongosh/npm.log"; }
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
report kwok "a build of sigs.k8s.io/kwok@$KWOK with test/real/kwok/exec.patch"
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
report sshd 'apt-get install openssh-server'
report ssh 'apt-get install openssh-client'
report sudo 'apt-get install sudo'
report postgres 'apt-get install postgresql'
report zstd 'apt-get install zstd'
report unshare 'apt-get install util-linux'
report ip 'apt-get install iproute2'
report ferretdb "a build of github.com/FerretDB/FerretDB@$FERRETDB"
report mongosh "npm install mongosh@$MONGOSH"
report vault "a build of github.com/hashicorp/vault@v$VAULT, or a release on PATH"
# In no registry.
find_component mongodump >/dev/null || echo "  mongodump, mongorestore  played by test/real/containers/bin: the real ones are MongoDB's database tools, put on PATH"
report circleci 'https://github.com/CircleCI-Public/circleci-cli/releases/tag/v0.1.30549'
exit $missing
