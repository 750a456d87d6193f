"""Runs the soak in a network, among processes and with mounts of its own, where its faults stay.

The command starts itself again under `unshare` (util-linux), as root of a user namespace: it has every right
over networks that it makes there, and none over the machine's own. The kernel ends its processes, and takes
its networks, filters and mounts away, when it ends, however it ends: there is nothing to clean up later.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NoReturn

from mimamori.errors import SandboxError

PROGRAMS: Final = ("unshare", "mount", "ip", "tc")  # util-linux, mount, and iproute2
UNSHARED: Final = (
    "unshare",
    *("--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
# What the soak does there, in small: `ip netns` writes below /run, which is the machine's own otherwise.
_TRIED: Final = """
mount -t tmpfs none /run && ip netns add a && ip link add near type veth peer name far netns a &&
tc qdisc add dev near clsact && tc filter add dev near ingress bpf da bytecode '1,6 0 0 2,'
"""
_OUTSIDE: Final = "MIMAMORI_SOAK_OUTSIDE"  # the network that the command was started in
TRIED_S: Final = 30.0


def missing() -> str | None:
    """What this machine lacks for networks of the soak's own, and what to do; None where it lacks nothing."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux': run it there, or leave --network out"
    if absent := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"{', '.join(absent)} not found: install util-linux and iproute2"
    tried = subprocess.run(  # noqa: S603 - our own command
        [*UNSHARED, "sh", "-c", _TRIED], capture_output=True, text=True, timeout=TRIED_S, check=False
    )
    if tried.returncode == 0:
        return None
    said = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
    return (
        f"the kernel refuses ({said}): it takes user namespaces or root, veth, and the packet filter "
        "cls_bpf (CONFIG_NET_CLS_BPF)"
    )


def enter() -> None:
    """Go on inside: start this command again there, in this process's place, unless it is there already.

    Raises SandboxError: this machine lacks something for it.
    """
    if (outside := os.environ.get(_OUTSIDE)) is not None:
        if outside == _network():
            raise SandboxError(f"{_OUTSIDE} is set by the soak itself: unset it")
        return
    if lacking := missing():
        raise SandboxError(f"no network of the soak's own: {lacking}")
    _go_inside()


def _go_inside() -> NoReturn:
    command = [*UNSHARED, sys.executable, "-m", "mimamori", *sys.argv[1:]]
    os.execvpe(command[0], command, os.environ | {_OUTSIDE: _network()})  # noqa: S606 - no shell


def _network() -> str:
    return str(Path("/proc/self/ns/net").readlink())
