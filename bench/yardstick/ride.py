"""One lane over one topic, from its start: how fast, and at what cost."""

import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from bench.lanes.job import Job
from bench.yardstick.course import Course, cpu_seconds, now
from bench.yardstick.seat import ROOT

_LOOK_EVERY_S = 0.02
_START_S = 60.0
_NUMBERS = count()


@dataclass(frozen=True)
class Ride:
    """What one lane did. `rate`: records a second from its first commit to its last.

    `outcomes` of `committed` records stand on the topics; `twice`, more than one of a record.
    """

    rate: float
    cpu_per_1000: float
    committed: int
    outcomes: int
    twice: int
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Records that were committed without an outcome."""
        return max(0, self.committed - self.outcomes)


class RideError(Exception):
    """A lane failed; the message says why."""


def ride(course: Course, name: str, job: Job, total: int, seconds: float) -> Ride:
    """Run `name` until it has committed `total` records, or for `seconds` from its first commit."""
    job = replace(job, group=f"{job.group}-{next(_NUMBERS)}")
    topics = job.labels, job.dead_letters
    since = course.ends(topics)
    log = Path(job.folder) / f"{name.replace(' ', '-')}.log"
    path = job.save(Path(job.folder) / f"{job.group}.json")
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.lanes", name, str(path)],
            cwd=ROOT,
            stdout=file,
            stderr=file,
        )
    try:
        samples = _watch(course, process, job, total, seconds)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    (t0, c0, cpu0), (t1, c1, cpu1) = samples[0], samples[-1]
    committed = course.committed(job.group, job.messages)
    found, reasons = course.outcomes(since)
    course.forget(topics)
    return Ride(
        (c1 - c0) / (t1 - t0),
        1000 * (cpu1 - cpu0) / (c1 - c0),
        committed,
        len(found),
        found.total() - len(found),
        dict(Counter(reasons)),
    )


def _watch(
    course: Course, process: subprocess.Popen[bytes], job: Job, total: int, seconds: float
) -> list[tuple[float, int, float]]:
    """(time, committed, CPU seconds) at every commit that was seen."""
    samples: list[tuple[float, int, float]] = []
    began = now()
    while True:
        done = course.committed(job.group, job.messages)
        if process.poll() is not None:
            raise RideError(f"ended with code {process.returncode}: see its log")
        if done > (samples[-1][1] if samples else 0):
            samples.append((now(), done, cpu_seconds(process.pid)))
        if done >= total or (samples and now() - samples[0][0] > seconds):
            break
        if not samples and now() - began > _START_S:
            raise RideError(f"committed nothing within {_START_S:.0f} s: see its log")
        time.sleep(_LOOK_EVERY_S)
    if len(samples) < 3:
        raise RideError(f"committed only {len(samples)} times: give it more records")
    return samples
