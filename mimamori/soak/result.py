"""The result of a soak, as JSON and as one line."""

import platform

import msgspec

from mimamori.soak.checker import Findings
from mimamori.soak.faults import Struck

IDS_IN_LINE = 3


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a soak. `seconds` runs from the first worker's start to the last outcome.

    `faults` counts the faults that struck, by kind, and the malformed records. `exits` counts, by exit code,
    the workers that ended in another way than they were asked to (a fenced worker ends with 1, as it should).
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

    def line(self) -> str:
        """Return the verdict in one line, with the first ids of each kind of trouble."""
        ran = (
            f"{self.records:,} records, {self.kills:,} kills, {sum(self.faults.values()):,} faults in all, "
            f"{self.brokers} brokers, {self.records_per_s:,.0f} records/s, seed {self.seed}"
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
            "first_ids": found["first_ids"],
            "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        }
        content["log"] = content.pop("log")  # The log is the longest part, so it goes last.
        return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
