#!/usr/bin/env bash
# Builds the image from the Dockerfile without a container engine, and looks at what came out: as root, on Debian, with
# buildah and mmdebstrap (apt-get install buildah mmdebstrap). `make image-try EXTRA=cpu` or gpu.
#
# The base that the Dockerfile names is pulled from no registry: Debian's own Python on the same Debian stands for it. So
# this shows that every step works, what is in the image, and that it runs as its user on a root that is read-only. It does
# not show the base, nor what a container engine or a kubelet makes of the image.
set -euo pipefail
extra=${EXTRA:-cpu}
here=$(cd "$(dirname "$0")/.." && pwd)
folder=${MIMAMORI_HOME:?names the folder for downloads and builds: make sets it}/image
for program in buildah mmdebstrap; do
  command -v $program > /dev/null || { echo "no $program: apt-get install buildah mmdebstrap" >&2; exit 1; }
done
[[ $(id -u) == 0 ]] || { echo "a base is made and a root is changed: run it as root" >&2; exit 1; }
mkdir -p "$folder"
export STORAGE_DRIVER=overlay BUILDAH_ISOLATION=chroot TMPDIR=$folder
builder() { buildah --root "$folder/store" --runroot "$folder/run" "$@"; }

if [[ ! -f $folder/base.tar ]]; then
  echo "making a base of Debian and its Python …"
  mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder/base.tar.part"
  mv "$folder/base.tar.part" "$folder/base.tar"
fi
if ! builder images --quiet localhost/python > /dev/null 2>&1; then
  base=$(builder from scratch)
  builder add --quiet "$base" "$folder/base.tar" / > /dev/null
  ln -sf /usr/bin/python3 "$(builder mount "$base")/usr/local/bin/python"
  builder umount "$base" > /dev/null
  builder config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$base"
  builder commit --quiet "$base" localhost/python > /dev/null
  builder rm "$base" > /dev/null
fi

# Where this machine reaches its package index by an authority of its own, so does the build.
trusted=()
for path in /etc/pip.conf /etc/ssl/certs; do [[ -e $path ]] && trusted+=(--volume "$path:$path:ro"); done
builder bud --pull-never --build-arg PYTHON_IMAGE=localhost/python --build-arg EXTRA="$extra" "${trusted[@]}" \
  --tag "localhost/mimamori:$extra" "$here" > "$folder/build.log" 2>&1 || { tail -20 "$folder/build.log" >&2; exit 1; }

image=$(builder from --pull-never "localhost/mimamori:$extra")
root=$(builder mount "$image")
trap 'builder rm "$image" > /dev/null; umount --lazy "$folder/store/overlay" 2> /dev/null || true' EXIT
user=$(builder inspect --format '{{.OCIv1.Config.User}}' "$image")
said() { printf '%-28s %s\n' "$1" "$2"; }
said "runs as" "$user"
[[ $user == 10001:10001 ]]
said "whole, MB" "$(du -sm "$root" | cut -f1), without its base $(du -sm "$root/opt/mimamori" | cut -f1)"
for tool in gcc cc make git curl; do
  [[ ! -e $root/usr/bin/$tool && ! -e $root/usr/local/bin/$tool ]] || { echo "it holds $tool" >&2; exit 1; }
done
said "build tools" "none"
theirs=$(find "$root" -xdev \( -user 10001 -o -type d -perm -0002 \) -printf '/%P ' | sort)
said "its user may write to" "$theirs"

# As a pod does it: its user, no new privileges, nothing to write to but what is mounted, and no network.
python=/opt/mimamori/bin/python
# chroot needs root, so privileges are dropped behind it.
contained() {
  unshare --mount --net --pid --fork bash -c '
    set -euo pipefail
    root=$0
    mount --bind "$root" "$root" && mount -o remount,ro,bind "$root"
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev"
    for place in /tmp /bundle /var/cache/mimamori; do mount -t tmpfs -o mode=1777 tmpfs "$root$place"; done
    exec chroot "$root" /usr/bin/setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs --bounding-set=-all \
      --inh-caps=-all /usr/bin/env -i PATH=/opt/mimamori/bin:/usr/bin:/bin HOME=/var/cache/mimamori \
      MIMAMORI_HOME=/var/cache/mimamori "$@"' "$root" "$@"
}
contained "$python" -c 'import importlib.util as found, os
assert os.getuid() == 10001 and os.geteuid() == 10001
assert not found.find_spec("torch") and not found.find_spec("transformers")
try:
    open("/opt/mimamori/written", "w")
except OSError as error:
    print("its root".ljust(28), error.strerror)
else:
    raise SystemExit("its root can be written to")'
made=$(contained sh -c 'mimamori bundle build stress --out /bundle/current && mimamori bundle verify /bundle/current' \
  2> "$folder/run.log") || { tail -20 "$folder/run.log" >&2; exit 1; }
said "a bundle, built there" "$(grep "as they were made" <<< "$made")"

# The provider is linked with CUDA's libraries by name. All are to be found in the image, but the driver's, which comes
# with the GPU.
[[ $extra != gpu ]] || contained "$python" -c 'import ctypes, pathlib
import onnxruntime
from engine.devices.cuda_libraries import find_cuda
find_cuda(onnxruntime)
at = pathlib.Path(onnxruntime.__file__).parent / "capi"
ctypes.CDLL(str(at / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
try:
    ctypes.CDLL(str(at / "libonnxruntime_providers_cuda.so"))
except OSError as error:
    if not str(error).startswith("libcuda.so.1:"):
        raise SystemExit(f"the CUDA provider does not load: {error}")
print("libraries of CUDA".ljust(28), "all but the driver")'

# Each package that is in it is in sbom/, and the other way round; pip and setuptools are the environment's own.
contained "$python" -c 'import importlib.metadata as metadata, json, sys
found = {(each.name.lower().replace("_", "-").replace(".", "-"), each.version) for each in metadata.distributions()}
found = {each for each in found if each[0] not in {"pip", "setuptools", "mimamori"}}
listed = {(each["name"].lower().replace("_", "-").replace(".", "-"), each["version"]) for each in json.load(sys.stdin)["components"]}
if found ^ listed:
    raise SystemExit(f"in the image alone: {sorted(found - listed)}; in sbom/ alone: {sorted(listed - found)}")
print("packages, as in sbom/".ljust(28), len(found))' < "$here/sbom/mimamori-$extra.cdx.json"
