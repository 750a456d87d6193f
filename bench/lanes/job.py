"""What a lane's process is told. The parent writes it as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

Settings = dict[str, str | int | float]


@dataclass(frozen=True)
class Job:
    """Read `messages` from the start under `group`; write to the topics that begin with `prefix`.

    `seconds_per_message` is the service time of the simulated device, `bundle` a real one to read with
    instead; `settings` are further settings of this worker. Peers use none of the three.
    """

    bootstrap: str
    group: str
    messages: str
    prefix: str
    folder: str
    seconds_per_message: float = 0.0
    bundle: str = ""
    settings: Settings | None = None

    @property
    def labels(self) -> str:
        """Where labels go."""
        return f"{self.prefix}labels"

    @property
    def dead_letters(self) -> str:
        """Where dead letters go."""
        return f"{self.prefix}dead-letters"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read one that `save` wrote."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> Path:
        """Write it where a child can read it."""
        path.write_text(json.dumps(asdict(self)))
        return path
