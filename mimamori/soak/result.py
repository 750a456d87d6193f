"""The result of a soak, as JSON and as one line."""

import platform
import statistics
from collections.abc import Iterable

import msgspec

from mimamori.soak.checker import Findings
from mimamori.soak.faults import Struck

IDS_IN_LINE = 3


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a soak. `seconds` runs from the first worker's start to the last outcome.

    `faults` counts the faults that struck, by kind, and the malformed records. `exits` counts, by exit code,
    the workers that ended in another way than they were asked to (a fenced worker ends with 1, as it should).
    `still_s` has, by kind of fault, how often one was measured, and the median and the longest time that a
    partition stood still for it; `unready_s` the same of how soon a worker said that it is not ready.
    """

    records: int
    kills: int
    findings: Findings
    faults: dict[str, int]
    seed: int
    seconds: float
    workers: int
    partitions: int
    brokers: int
    protocol: str
    network: bool
    engine: str
    exits: dict[str, int]
    log: list[Struck]

    @property
    def sound(self) -> bool:
        """Whether every message has exactly its one right outcome, and all are in order."""
        return self.findings.sound

    @property
    def records_per_s(self) -> float:
        """Messages with an outcome per second, over the whole run with its faults."""
        return round(self.findings.seen / self.seconds, 1)

    @property
    def still_s(self) -> dict[str, tuple[int, float, float]]:
        """By kind of fault: count, median and maximum of the seconds that a partition stood still."""
        return _by_kind((struck.kind, struck.still_s) for struck in self.log)

    @property
    def unready_s(self) -> dict[str, tuple[int, float, float]]:
        """The same of the seconds after which the worker struck said that it is not ready, if it did."""
        return _by_kind((struck.kind, struck.unready_s) for struck in self.log)

    def line(self) -> str:
        """Return the verdict in one line, with the first ids of each kind of trouble."""
        ran = (
            f"{self.records:,} records, {self.kills:,} kills, {sum(self.faults.values()):,} faults in all, "
            f"{self.brokers} brokers, protocol {self.protocol}, {self.records_per_s:,.0f} records/s, "
            f"seed {self.seed}"
        )
        if self.sound:
            return f"sound: every record has exactly one outcome, in order ({ran})"
        wrong = "; ".join(
            f"{count:,} {trouble} ({', '.join(self.findings.first_ids[trouble][:IDS_IN_LINE])} …)"
            for trouble, count in self.findings.counts.items()
            if count
        )
        return f"NOT SOUND: {wrong} ({ran})"

    def to_json(self) -> bytes:
        """Return everything as indented JSON, with the checker's counts on the top level."""
        fields = msgspec.to_builtins(self)
        found = fields.pop("findings")
        content = {
            "records": fields.pop("records"),
            "kills": fields.pop("kills"),
            **found["counts"],
            "faults": fields.pop("faults"),
            "records_per_s": self.records_per_s,
            **fields,
            "still_s": self.still_s,
            "unready_s": self.unready_s,
            "first_ids": found["first_ids"],
            "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        }
        content["log"] = content.pop("log")  # The log is the longest part, so it goes last.
        return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def _by_kind(seconds: Iterable[tuple[str, float | None]]) -> dict[str, tuple[int, float, float]]:
    measured: dict[str, list[float]] = {}
    for kind, found in seconds:
        if found is not None:
            measured.setdefault(kind, []).append(found)
    return {
        kind: (len(found), round(statistics.median(found), 1), round(max(found), 1))
        for kind, found in sorted(measured.items())
    }
