"""The contenders of bench/stream.py: each reads the messages topic and writes one label per record.

Every lane is a process of its own, `python -m bench.lanes NAME JOB.json`. It joins its consumer group, works
until it is ended, and prints no result: what it did is read from Kafka (`bench/yardstick/course.py`).
"""

from dataclasses import dataclass
from importlib.util import find_spec

_PEERS = "pip install --no-deps -r bench/peers.txt"


@dataclass(frozen=True)
class Entry:
    """One lane: the module with its `run(job, name)`, what it does, and the packages it needs."""

    module: str
    idea: str
    needs: tuple[str, ...] = ()
    install: str = ""

    @property
    def missing(self) -> list[str]:
        """The needed packages that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


LANES = {
    "mimamori": Entry("bench.lanes.ours", "this worker, canned engine, exactly-once"),
    "mimamori at-least-once": Entry("bench.lanes.ours", "the same without transactions: flush, then commit"),
    "mimamori no notes": Entry("bench.lanes.ours", "the same, nothing written down before the model's calls"),
    "confluent-kafka": Entry(
        "bench.lanes.bare", "a bare loop: same decode, label, headers; at-least-once, a commit per 5,000"
    ),
    "confluent-kafka 500": Entry("bench.lanes.bare", "the same, a commit per 500"),
    "faust": Entry(
        "bench.lanes.faust_agent",
        "one agent, at-least-once, producer_linger=0.05",
        ("faust",),
        "pip install '.[review]'",
    ),
    "quixstreams": Entry(
        "bench.lanes.quix", "exactly-once, a transaction per 2,000", ("quixstreams",), _PEERS
    ),
}
