"""Packets lost between hosts of a private network, as the soak loses them: silently, and nowhere else.

A soak in such a network takes minutes, and is a command:

    mimamori soak --brokers 3 --network --records 250000 --kills 40
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mimamori.soak import enclosure

LACKING = enclosure.missing()
pytestmark = pytest.mark.skipif(LACKING is not None, reason=f"no network of its own here: {LACKING}")


@pytest.fixture(scope="module")
def told() -> dict[str, object]:
    """What was seen inside: see `lossy.py`."""
    ran = subprocess.run(
        [*enclosure.UNSHARED, sys.executable, "-m", "tests.chaos.lossy"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def test_a_cut_loses_everything_both_ways_and_closes_nothing(told: dict[str, object]) -> None:
    assert told["before the cut"] == "answered"
    assert told["during the cut"] == "silence"
    assert told["to others meanwhile"] == "answered"
    assert told["of the same connection after it"] == "answered"


def test_a_share_of_the_packets_is_lost_and_no_more(told: dict[str, object]) -> None:
    came = told["of 200 with 0.3 lost"]
    assert isinstance(came, int)
    assert 88 < came < 192  # 140, and eight standard deviations either way
    assert told["of 200 afterwards"] == 200


def test_a_full_disk_is_full_and_can_be_large_again(told: dict[str, object]) -> None:
    assert told["written to a full disk"] == "No space left on device"
    assert told["written to it later"] == "everything"


def test_a_host_that_is_killed_leaves_nothing_behind() -> None:
    before = machine()
    with subprocess.Popen(
        [*enclosure.UNSHARED, sys.executable, "-m", "tests.chaos.lossy", "stay"], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            inside = int(process.stdout.readline())  # its namespace of networks, once all are there
            assert inside in networks()
            assert machine() == before  # and none of them is to be seen outside
        finally:
            process.kill()
    deadline = time.monotonic() + 60
    while inside in networks():
        assert time.monotonic() < deadline, "processes of it are still there"
        time.sleep(0.05)
    assert machine() == before


def test_the_command_says_what_the_network_needs() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mimamori", "soak", "--network"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert "--network needs --brokers 3" in ran.stderr


def machine() -> tuple[list[str], list[str]]:
    """This machine's own interfaces, and the names of its networks."""
    names = Path("/run/netns")
    return (
        sorted(entry.name for entry in Path("/sys/class/net").iterdir()),
        sorted(entry.name for entry in names.iterdir()) if names.exists() else [],
    )


def networks() -> set[int]:
    """The namespace of every process that can be seen."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.add(os.stat(process / "ns" / "net").st_ino)  # noqa: PTH116 - it follows the link
        except OSError:  # it has just ended
            continue
    return found
