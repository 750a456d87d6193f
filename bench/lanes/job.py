"""The job of a lane's process. The parent process writes it as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

Settings = dict[str, str | int | float]


@dataclass(frozen=True)
class Job:
    """Read `messages` from the start as `group`, and write to the topics that begin with `prefix`.

    `seconds_per_message` is the service time of the simulated device. `bundle` is a real bundle to read with
    instead. `settings` are further settings of this worker. Only this worker's lanes use these three.
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
        """The topic for labels."""
        return f"{self.prefix}labels"

    @property
    def dead_letters(self) -> str:
        """The topic for dead letters."""
        return f"{self.prefix}dead-letters"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a job that `save` wrote."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> Path:
        """Write the job as JSON for the child process; returns `path`."""
        path.write_text(json.dumps(asdict(self)))
        return path
