#!/usr/bin/env bash
# Builds the programs of a cluster from Go modules, each pinned by the go.sum beside it, into
# $MIMAMORI_HOME/cluster-tools. A program that is already there as pinned is not built again.
# The first time takes 20 minutes or more on two cores. Meanwhile Go's build cache takes 7 GB, which are given back
# when all is built, and its modules 3 GB, which stay where Go keeps them; the programs take 0.7 GB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tools=${MIMAMORI_HOME:?names the folder for downloads and builds: make sets it}/cluster-tools
if ! command -v go > /dev/null; then
  echo "the cluster is built from Go modules, and there is no Go here: install Go 1.26 or later (the command go)" >&2
  exit 1
fi
mkdir -p "$tools/bin" "$tools/files"
# GOFLAGS: go.mod and go.sum stay as they are. GOTOOLCHAIN: the Go that is here, and no other.
export GOFLAGS="-mod=readonly -buildvcs=false" GOCACHE=$tools/go-cache GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0

# Kubernetes' own programs must be told which release they are; others compare it.
release=v1.35.4
kubernetes="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  kubernetes+=" -X $package.gitVersion=$release -X $package.gitMajor=1 -X $package.gitMinor=35"
  kubernetes+=" -X $package.gitTreeState=clean -X $package.gitCommit=modproxy"
done

program() { # its name, its module's folder, its package, what the linker is told
  local name=$1 module=$here/modules/$2 package=$3 flags=$4 pinned started=$SECONDS
  pinned=$(cat "$module/go.mod" "$module/go.sum" <(echo "$package $flags") | sha256sum | cut -d' ' -f1)
  [[ -x $tools/bin/$name && $(cat "$tools/bin/$name.pinned" 2> /dev/null) == "$pinned" ]] && return
  echo "building $name …"
  # Quiet: Go names each module that it downloads. What it says is shown when it fails.
  if ! (cd "$module" && go build -trimpath -ldflags "$flags" -o "$tools/bin/$name" "$package") > "$tools/$name.log" 2>&1; then
    cat "$tools/$name.log" >&2
    echo "$name was not built: Go's words stand above" >&2
    exit 1
  fi
  rm "$tools/$name.log"
  echo "$pinned" > "$tools/bin/$name.pinned"
  echo "  $((SECONDS - started)) s"
}

files() { # a module's folder, the module, and a pattern of its files that the cluster is given
  local module=$here/modules/$1 source
  source=$(cd "$module" && go list -m -f '{{.Dir}}' "$2")
  rm -rf "${tools:?}/files/$1"
  mkdir -p "$tools/files/$1"
  # shellcheck disable=SC2086 # the pattern is to be expanded there
  (cd "$source" && install --mode=0644 --target-directory="$tools/files/$1" $3)
}

program etcd etcd go.etcd.io/etcd/server/v3 "-s -w"
for name in kube-apiserver kube-controller-manager kube-scheduler kubectl; do
  program $name kubernetes k8s.io/kubernetes/cmd/$name "$kubernetes"
done
program kwok kwok sigs.k8s.io/kwok/cmd/kwok "-s -w"
program keda-operator keda github.com/kedacore/keda/v2/cmd/operator "-s -w"
program keda-adapter keda github.com/kedacore/keda/v2/cmd/adapter "-s -w"
program helm3 helm3 helm.sh/helm/v3/cmd/helm "-s -w"
files keda github.com/kedacore/keda/v2 'config/crd/bases/*.yaml'
rm -rf "$GOCACHE" # of use only while programs that share packages are built
