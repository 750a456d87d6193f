"""What a rate of messages demands of each part: arithmetic on figures that were measured, or are yours.

A figure is `measured` (by a script of this repository, which is named) or `assumed` (replace it by your own).
What is said of a rate is derived from these here, and nowhere else.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from bench.scale.station import Worker
from mimamori.sizing import load_constants

RATES: Final = (10_000, 100_000, 1_000_000)

# A transaction of 8 records took 4.9 ms, one of 1,024 took 31 ms: bench.scale.transactions, one broker. The
# way to a worker and back is assumed: bench.scale.compared found 24 to 150 ms, on a machine that was busy.
# 2,792 messages/s in batches of 256 and 6,229 in batches of 4,096: docs/benchmarks/gpu.md, on one H200.
GPU: Final = Worker(
    batch_s=0.054, message_s=1 / 6_786, commit_s=0.0047, commit_message_s=26e-6, transit_s=0.005
)
TOKENS: Final = 30  # of a message, where a worker has two cores: assumed
CPU: Final = msgspec.structs.replace(
    GPU, batch_s=0.0, message_s=TOKENS / load_constants().device.tokens_per_s
)
HEADROOM: Final = 0.3  # as `mimamori size`
PARTITIONS_EACH: Final = 2  # same
REPLICAS: Final = 3
READERS: Final = 2  # of labels: the platform, and one more
ESCALATED: Final = 0.01  # of messages: thresholds decide
LOOK_S: Final = 30.0  # of a case: people decide
CASE_BYTES: Final = 800.0  # schemas/examples/review-case.json has 617 to 968

How = Literal["measured", "assumed"]


class Part(msgspec.Struct, frozen=True):
    """One part of the whole. `one` of it does so much in `unit`; a rate of messages demands `demand`.

    `grows` says how there can be more of it; empty where there cannot.
    """

    name: str
    one: float
    unit: str
    how: How
    source: str
    demand: Callable[[float], float]
    grows: str = ""

    def needed(self, rate: float) -> float:
        """How many of it a rate needs: above 1, where it does not grow, is too much."""
        return self.demand(rate) / self.one


def workers(rate: float, worker: Worker) -> int:
    """So many that the headroom stays free."""
    return max(1, math.ceil(rate / (worker.rate() * (1 - HEADROOM))))


def batches(rate: float, worker: Worker) -> float:
    """Batches a second of all workers: each takes what came while it read the last one."""
    count = workers(rate, worker)
    each = rate / count  # messages a second
    return count * (1 - each * worker.message_s) / worker.batch_s


def parts(measured: Mapping[str, Any]) -> list[Part]:
    """Every part, from docs/benchmarks/scale.json; workers have a GPU unless a part says otherwise."""
    sizes = measured["sizes"]
    message, label = (sizes["bytes_a_record"][name] for name in ("messages", "labels"))
    written = message + label + ESCALATED * CASE_BYTES
    read = message + READERS * label + ESCALATED * CASE_BYTES
    coordinator = max(each["a_second"] for each in measured["transactions"]["at_once"])
    notes = max(each["notes_a_second"] for each in measured["notes"]["writes"])
    keys = max(each["keys_a_second"] for each in sizes["cache"])
    group = max(each["members"] for each in measured["groups"]["groups"])

    def fleet(rate: float) -> float:
        return workers(rate, GPU)

    return [
        Part(
            "people",
            1 / LOOK_S,
            "cases/s",
            "assumed",
            f"{LOOK_S:.0f} s a case; {ESCALATED:.0%} of messages become one",
            lambda rate: ESCALATED * rate,
            "by thresholds: fewer cases",
        ),
        Part(
            "review desks",
            49,
            "cases/s",
            "measured",
            "docs/benchmarks/desk.md, under a load of 13",
            lambda rate: ESCALATED * rate,
            "by partitions of cases, 12",
        ),
        Part(
            "workers on two cores",
            CPU.rate() * (1 - HEADROOM),
            "messages/s",
            "measured",
            f"mimamori/sizing.json (bench.stream), {TOKENS} tokens a message, less the headroom",
            lambda rate: rate,
            "by partitions",
        ),
        Part(
            "workers with a GPU",
            GPU.rate() * (1 - HEADROOM),
            "messages/s",
            "measured",
            "docs/benchmarks/gpu.md, 15 tokens a message, less the headroom",
            lambda rate: rate,
            "by partitions",
        ),
        Part(
            "… if the engine fed the card fully",
            37_130 * (1 - HEADROOM),
            "messages/s",
            "measured",
            "docs/benchmarks/gpu.md: the graph alone",
            lambda rate: rate,
            "not built",
        ),
        Part(
            "partitions of messages",
            1,
            "",
            "assumed",
            f"{PARTITIONS_EACH} a worker, as `mimamori size`",
            lambda rate: PARTITIONS_EACH * fleet(rate),
            "before the first message",
        ),
        Part(
            "members of one group",
            group,
            "members",
            "measured",
            "bench.scale.groups: the largest group measured",
            fleet,
            "several groups, by topic",
        ),
        Part(
            "brokers, by what they take in",
            500e6,
            "bytes/s",
            "assumed",
            "10 Gbit/s, used to 40 %; bytes: bench.scale.sizes",
            lambda rate: REPLICAS * written * rate,
            "by brokers",
        ),
        Part(
            "brokers, by what they give out",
            500e6,
            "bytes/s",
            "assumed",
            "the same",
            lambda rate: ((REPLICAS - 1) * written + read) * rate,
            "by brokers",
        ),
        Part(
            "transaction coordinators",
            coordinator,
            "transactions/s",
            "measured",
            "bench.scale.transactions: one broker on two busy cores",
            lambda rate: batches(rate, GPU),
            "by brokers: 50 partitions",
        ),
        Part(
            "the partition of in-hand",
            notes,
            "notes/s",
            "measured",
            "bench.scale.notes: one broker on two busy cores",
            lambda rate: 2 * PARTITIONS_EACH * batches(rate, GPU),
            "",
        ),
        Part(
            "cores of Redis",
            keys,
            "keys/s",
            "measured",
            "bench.scale.sizes: one client, one core",
            lambda rate: rate,
            "as a cluster",
        ),
        Part(
            "series in Prometheus, a million",
            1e6,
            "series",
            "assumed",
            f"{sizes['series_a_worker']} a worker, none by partition: bench.scale.sizes",
            lambda rate: sizes["series_a_worker"] * fleet(rate),
            "a server for each part",
        ),
    ]


def table(measured: Mapping[str, Any]) -> str:
    """How many of each part the rates need, as Markdown."""
    lines = [
        "| part | one does | " + " | ".join(f"{rate:,}/s" for rate in RATES) + " | grows | from |",
        "|---|---|" + "---|" * len(RATES) + "---|---|",
    ]
    for part in parts(measured):
        needs = " | ".join(count(part.needed(rate)) for rate in RATES)
        one = f"{number(part.one)} {part.unit}".strip()
        lines.append(
            f"| {part.name} | {one} | {needs} | {part.grows or '**no**'} | {part.how}: {part.source} |"
        )
    return "\n".join(lines)


def count(value: float) -> str:
    """How many are needed: from ten on, whole ones."""
    return f"{math.ceil(round(value, 6)):,}" if value >= 10 else number(value)


def number(value: float) -> str:
    """With three digits that count."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
