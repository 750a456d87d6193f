"""Becomes a container: makes a root of its own, mounts the volumes, and runs the program as the pod's user.

It is run as a program, once for each container, with one argument: an Entry as JSON. It never returns and
never forks, so the container's program has this process's id. Root is not needed where the kernel lets anyone
make a user namespace.
"""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_BIND, _MS_REC, _MS_REMOUNT, _MS_RDONLY, _MS_PRIVATE = 4096, 16384, 32, 1, 1 << 18
_PR_SET_NO_NEW_PRIVS = 38
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY = 442, -100, 0x8000, 1

# Of the machine's own files a container sees all but these. /etc is a folder of its own, for mounts to be
# added, and holds what the machine's holds.
_NOT_SHARED = {"tmp", "var", "etc", "bundle"}

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def main() -> None:
    """Enter, and run the program."""
    entry = json.loads(sys.argv[1])
    os.umask(0o022)
    _unshare(entry["user"], entry["group"])
    root = Path(entry["root"])
    _mount(None, Path("/"), None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", 0)
    _share_the_machine(root)
    for mount in entry["mounts"]:
        _bind(Path(mount["source"]), root / mount["at"].lstrip("/"), read_only=mount["read_only"])
    (root / entry["folder"].lstrip("/")).mkdir(parents=True, exist_ok=True)
    if entry["read_only_root"]:
        _mount(None, root, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
    os.chroot(root)
    os.chdir(entry["folder"])
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        _fail("no_new_privs")
    os.execvp(entry["command"][0], entry["command"])  # noqa: S606 - this is what the pod asks for


def _unshare(user: int, group: int) -> None:
    """Leave for namespaces of our own, where this process's user and group have the pod's numbers."""
    outer_user, outer_group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS):
        _fail("a namespace of its own")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {outer_user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {outer_group} 1")


def _share_the_machine(root: Path) -> None:
    """Show the machine's files, read-only, but for devices and what the kernel tells."""
    for found in sorted(Path("/").iterdir()):
        if found.name not in _NOT_SHARED:
            _show(found, root / found.name, read_only=found.name not in {"dev", "proc", "sys"})
    for found in sorted(Path("/etc").iterdir()):
        _show(found, root / "etc" / found.name, read_only=True)
    for own in ("tmp", "var"):
        (root / own).mkdir()
    (root / "tmp").chmod(0o1777)


def _show(found: Path, at: Path, *, read_only: bool) -> None:
    at.parent.mkdir(exist_ok=True)
    if found.is_symlink():
        at.symlink_to(found.readlink())
    elif found.exists():
        _bind(found, at, read_only=read_only)


def _bind(source: Path, at: Path, *, read_only: bool) -> None:
    if source.is_dir():
        at.mkdir(parents=True, exist_ok=True)
    elif not at.exists():
        at.parent.mkdir(parents=True, exist_ok=True)
        at.touch()
    _mount(source, at, None, _MS_BIND | _MS_REC)
    if read_only:  # a remount would leave what is mounted below as it is
        attributes = _MountAttributes(set=_ATTR_RDONLY)
        size = ctypes.sizeof(attributes)
        told = (_AT_FDCWD, os.fsencode(at), _AT_RECURSIVE, ctypes.byref(attributes), size)
        if _libc.syscall(_SYS_MOUNT_SETATTR, *told):
            _fail(f"{at} read-only")


def _mount(source: str | Path | None, at: Path, kind: str | None, flags: int) -> None:
    names: list[Any] = [None if name is None else os.fsencode(name) for name in (source, at, kind)]
    if _libc.mount(*names, ctypes.c_ulong(flags), None):
        _fail(f"{at} from {source}")


def _fail(what: str) -> None:
    sys.exit(f"the container cannot have {what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
