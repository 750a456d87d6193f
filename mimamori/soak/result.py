"""What a soak came to: one JSON, one line."""

import platform

import msgspec

from mimamori.soak.checker import Findings
from mimamori.soak.faults import Struck

IDS_IN_LINE = 3


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A soak that has ended. `seconds`: from the first worker's start to the last outcome.

    `faults` counts each kind that struck, and the malformed records. `exits` counts workers that
    ended otherwise than they were asked to, by exit code (one that was fenced ends with 1, as it should).
    """

    records: int
    kills: int
    findings: Findings
    faults: dict[str, int]
    seed: int
    seconds: float
    workers: int
    partitions: int
    engine: str
    exits: dict[str, int]
    log: list[Struck]

    @property
    def sound(self) -> bool:
        """Whether every message has exactly the outcome it must have, in order."""
        return self.findings.sound

    @property
    def records_per_s(self) -> float:
        """Messages with an outcome, per second, faults included."""
        return round(self.findings.seen / self.seconds, 1)

    def line(self) -> str:
        """The verdict in one line, with the first ids of each trouble."""
        ran = (
            f"{self.records:,} records, {self.kills:,} kills, {sum(self.faults.values()):,} faults in all, "
            f"{self.records_per_s:,.0f} records/s, seed {self.seed}"
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
        """Everything, indented; what the checker counted stands beside the rest."""
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
        content["log"] = content.pop("log")  # the longest at the end
        return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
