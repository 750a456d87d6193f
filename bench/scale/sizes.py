"""Measures what a record takes on a broker's disk, and what the score cache's Redis takes.

    python -m bench.scale.sizes --json sizes.json

A real worker with a canned engine labels distinct messages of our own, a tenth of which become review
cases. Bytes are those of the log files that a broker writes, batches and compression included, over the
records in them: what goes over the network for each replica is the same. Redis is asked as the worker asks
it, for as many keys at once as a batch has messages.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client import generate_latest

from bench.lanes.job import Job
from bench.yardstick import corpus
from bench.yardstick.course import Course
from bench.yardstick.machine import describe
from bench.yardstick.ride import LaneError, Lanes, started
from mimamori.sandbox import Sandbox
from worker.cache.redis_client import RedisClient
from worker.telemetry.metrics import Metrics

PARTITIONS: Final = 4
KEY: Final = 32  # bytes: an HMAC
SCORES: Final = b"x" * 40  # about what the scores of one text take
PATIENCE_S: Final = 120.0


def on_disk(folder: Path, topic: str, records: int) -> float:
    """Bytes a record of a topic, in the broker's log files."""
    logs = (folder / "kafka" / "log").glob(f"{topic}-[0-9]*/*.log")
    return sum(log.stat().st_size for log in logs) / records


def labelled(sandbox: Sandbox, records: int) -> dict[str, float]:
    """Bytes a record of each topic, after one worker has labelled so many messages."""
    course = Course(sandbox.bootstrap, PARTITIONS)
    course.lay("sizes.")
    course.fill("sizes.messages", corpus.distinct(records))
    with tempfile.TemporaryDirectory() as folder:
        lanes = Lanes(course, Job(sandbox.bootstrap, "", "", "sizes.", folder))
        job = lanes.job("sizes.messages")
        with started("mimamori", job) as worker:
            ends = time.monotonic() + PATIENCE_S
            while course.committed(job.group, job.messages) < records:
                if worker.poll() is not None or time.monotonic() > ends:
                    raise LaneError("the messages were not labelled")
                time.sleep(0.2)
    found = {name: on_disk(sandbox.folder, f"sizes.{name}", records) for name in ("messages", "labels")}
    return found | {"in-hand": on_disk(sandbox.folder, "sizes.in-hand", records)}


def cache(url: str, keys_at_once: int, seconds: float) -> dict[str, float]:
    """Keys a second that one client looks up, and bytes of memory a key."""
    client = RedisClient(url)
    entries = {os.urandom(KEY): SCORES for _ in range(50_000)}
    keys = list(entries)
    for first in range(0, len(keys), keys_at_once):
        part = keys[first : first + keys_at_once]
        client.set({key: entries[key] for key in part}, 3600)
    times = []
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.perf_counter()
        client.get(keys[:keys_at_once])
        times.append(time.perf_counter() - began)
    return {
        "keys_at_once": keys_at_once,
        "keys_a_second": keys_at_once / statistics.median(times),
        "ms": 1000 * statistics.median(times),
    }


def series() -> int:
    """How many series a worker exposes before anything has happened."""
    return sum(not line.startswith(b"#") for line in generate_latest(Metrics().registry).splitlines())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args(arguments)
    with Sandbox() as sandbox:
        figures: dict[str, Any] = {
            "machine": describe(),
            "load": os.getloadavg(),
            "bytes_a_record": labelled(sandbox, options.records),
            "cache": [cache(f"{sandbox.redis_url}?socket_timeout=2", count, 3.0) for count in (16, 256)],
            "series_a_worker": series(),
        }
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
