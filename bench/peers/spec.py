"""The job of an engine's process: model, tokens, threads. The parent writes it as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Spec:
    """One engine's job at one number of shots.

    `prefix` and the rows of each round are token ids; round 0 is for the warm-up. `labels` are the tokens of
    clear and at_risk, `answers` their words; `prompt` is the prefix as text, for the one engine that
    tokenises it itself. `work` keeps converted models between runs.
    """

    bundle: str
    gguf: str
    work: str
    prompt: str
    prefix: list[int]
    rounds: list[list[list[int]]]
    labels: tuple[int, int]
    answers: tuple[str, str]
    threads: int
    reading: str = "prompted"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that `save` wrote."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> Path:
        """Write it to a file for the child."""
        path.write_text(json.dumps(asdict(self)))
        return path

    @property
    def rows(self) -> list[list[int]]:
        """The rows to warm up with."""
        return self.rounds[0]

    @property
    def folder(self) -> Path:
        """`work` as a path."""
        return Path(self.work)
