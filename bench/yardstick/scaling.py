"""Measures how throughput grows with workers and partitions, on a simulated device with a fixed service time.

The simulated device sleeps and needs no core, so this measures how the stream scales, as if every worker had
a GPU.
"""

from contextlib import ExitStack
from dataclasses import dataclass

from bench.yardstick.ride import LaneError, Lanes, Sample, started

OURS = "mimamori"
STEADY = (0.3, 0.8)  # the part of a run that counts: all workers have joined, and none has finished


@dataclass(frozen=True)
class Scale:
    """Records a second of `workers` on `partitions`; `ideal` is the rate of their devices alone."""

    workers: int
    partitions: int
    rate: float
    ideal: float


def scale(lanes: Lanes, topic: str, workers: int, seconds_per_message: float, total: int) -> Scale:
    """Run `workers` in one group over a topic of `total` distinct messages. Raises LaneError."""
    job = lanes.job(topic, seconds_per_message=seconds_per_message, settings={"max_tokens": 1024})
    since = lanes.course.ends([job.labels])
    with ExitStack() as stack:
        processes = [stack.enter_context(started(OURS, job)) for _ in range(workers)]
        samples = lanes.watch(processes, job, total, 600)
    found, _ = lanes.course.outcomes(since)
    lanes.course.forget([job.labels])
    if len(found) != total or found.total() != total:
        raise LaneError(f"{total} records gave {found.total()} outcomes of {len(found)}")
    return Scale(workers, lanes.course.partitions, steady(samples, total), workers / seconds_per_message)


def steady(samples: list[Sample], total: int) -> float:
    """The records a second in the middle of a run."""
    first = next(sample for sample in samples if sample.done >= STEADY[0] * total)
    last = next(sample for sample in samples if sample.done >= STEADY[1] * total)
    return (last.done - first.done) / (last.at - first.at)
