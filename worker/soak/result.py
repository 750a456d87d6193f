"""What a soak came to: one JSON, one line."""

import platform
from typing import Any

import msgspec

from worker.soak.checker import Findings
from worker.soak.faults import Struck


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A soak that has ended. Counts of messages, unless said otherwise; `seconds` of the run's own."""

    records: int
    kills: int
    lost: int
    twice: int
    out_of_order: int
    mismatched_cases: int
    wrong_outcomes: int
    strangers: int
    uncommitted: int
    faults: dict[str, int]
    seed: int
    seconds: float
    records_per_s: float
    workers: int
    partitions: int
    engine: str
    exits: dict[str, int]
    first_ids: dict[str, list[str]]
    log: list[Struck]
    machine: str = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"

    @property
    def sound(self) -> bool:
        """Whether every message has exactly the outcome it must have, in order."""
        return not any(self.troubles.values())

    @property
    def troubles(self) -> dict[str, int]:
        """What can be wrong, and how often it is."""
        names = (
            "lost",
            "twice",
            "out_of_order",
            "mismatched_cases",
            "wrong_outcomes",
            "strangers",
            "uncommitted",
        )
        return {name: getattr(self, name) for name in names}

    def line(self) -> str:
        """The verdict in one line, with the first ids of each trouble."""
        ran = (
            f"{self.records:,} records, {self.kills:,} kills, {sum(self.faults.values()):,} faults in all, "
            f"{self.records_per_s:,.0f} records/s"
        )
        if self.sound:
            return f"sound: every record has exactly one outcome, in order ({ran})"
        wrong = "; ".join(
            f"{count:,} {name} ({', '.join(self.first_ids.get(name, [])[:3])} …)"
            for name, count in self.troubles.items()
            if count
        )
        return f"NOT SOUND: {wrong} ({ran}, seed {self.seed})"


def to_json(result: Result) -> bytes:
    """Indented JSON."""
    content: Any = msgspec.json.encode(result)
    return msgspec.json.format(content, indent=1) + b"\n"


def counts_of(findings: Findings) -> dict[str, int]:
    """The findings as fields of a Result."""
    return dict(findings.counts)
