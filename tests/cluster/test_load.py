"""What a cluster does to workers while messages come: a node is drained, and a new release rolls out."""

import threading
import time
from types import TracebackType
from typing import Self

import pytest

from tests.cluster.load import SETTINGS, Load, await_that
from tests.cluster.release import Release, ReleaseOf, is_ready

WORKERS = 4
INSTALLED_S = "--timeout=300s"


class Lookout:
    """Looks again and again how many workers are ready, and keeps the lowest number. A context manager."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.fewest = WORKERS

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.1):
            self.fewest = min(self.fewest, sum(map(is_ready, self._release.pods())))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_drained_node_and_a_rolling_upgrade_lose_and_repeat_nothing(
    release: ReleaseOf, protocol: str
) -> None:
    """The sandbox's broker has the short heartbeats that the chart's notes ask for with `consumer`."""
    mine = release(f"roll-{protocol}")
    settings = {**SETTINGS, "group_protocol": protocol}
    values = mine.values(worker={"replicas": WORKERS, "settings": settings})
    mine.helm.install(mine.name, values, INSTALLED_S)
    with Load(mine, 60_000, a_second=200) as load:
        await_that(lambda: load.seen > 500, "outcomes", 60)
        begun = time.monotonic()
        await_that(lambda: load.seen > 4000, "a while without any change", 60)
        quiet = time.monotonic()
        node = mine.pods()[0]["spec"]["nodeName"]
        with Lookout(mine) as lookout:
            drained = mine.kubectl("drain", node, "--delete-emptydir-data", "--timeout=200s")
            await_that(lambda: sum(map(is_ready, mine.pods())) == WORKERS, "workers on other nodes", 200)
        assert "evicting pod" in drained
        assert node not in {pod["spec"]["nodeName"] for pod in mine.pods()}
        assert lookout.fewest >= WORKERS - 1  # the disruption budget: one at a time
        mine.kubectl("uncordon", node)
        emptied = time.monotonic()

        seen, before = load.seen, {pod["metadata"]["uid"] for pod in mine.pods()}
        values["worker"]["settings"] = {**settings, "max_wait_ms": 20}
        with Lookout(mine) as lookout:
            mine.helm.upgrade(mine.name, values, INSTALLED_S)
        assert not before & {pod["metadata"]["uid"] for pod in mine.pods()}
        assert lookout.fewest >= WORKERS - 1
        await_that(lambda: load.seen > seen + 500, "further outcomes", 60)
        assert load.lasts  # messages came all the time
        print(f"\n{protocol}, nothing changes: {load.waits(begun, quiet)}")  # for whoever runs it with -s
        print(f"{protocol}, a node is drained: {load.waits(quiet, emptied)}")
        print(f"{protocol}, a new release rolls out: {load.waits(emptied, time.monotonic())}")
        load.rest(200)
        mine.helm.run("uninstall", mine.name, "--wait", INSTALLED_S)
        verdict = load.verdict()
    assert verdict.sound, verdict
    assert verdict.seen == load.records
