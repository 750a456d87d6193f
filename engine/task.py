"""A screening task: what to look for, how to ask the model, and the policy's defaults. One YAML file.

Unknown fields are errors, so that a misspelt threshold is never ignored. Both stages share the instruction,
so that the prefix runs once.
"""

from pathlib import Path

import msgspec

from engine.errors import TaskError
from engine.plain_yaml import require_plain

MINIMUM_LEVELS = 2
SHIPPED = Path(__file__).parent / "tasks"


class RiskStage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The binary question. `clear` and `at_risk` are the answers whose first token is scored."""

    question: str
    clear: str
    at_risk: str


class SeverityLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One level: its name on labels, the answer whose token is scored, and its meaning for a reviewer."""

    name: str
    answer: str
    meaning: str


class SeverityStage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The multi-class question. `levels` runs from least to most severe."""

    question: str
    levels: tuple[SeverityLevel, ...]


class PolicyDefaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds on the risk score in [0, 1], used until a calibration replaces them."""

    lower: float = 0.3
    upper: float = 0.7
    tolerated_miss_rate: float = 0.1
    quality_sample_share: float = 0.01

    def __post_init__(self) -> None:
        """Refuse thresholds that cannot work."""
        if not 0.0 <= self.lower <= self.upper <= 1.0:
            raise ValueError("policy needs 0 <= lower <= upper <= 1")
        if not self.lower < 1.0:
            raise ValueError("policy needs lower < 1: every message would be clear")
        if not 0.0 < self.tolerated_miss_rate < 1.0:
            raise ValueError("policy needs 0 < tolerated_miss_rate < 1")
        if not 0.0 <= self.quality_sample_share <= 1.0:
            raise ValueError("policy needs 0 <= quality_sample_share <= 1")


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A screening task as its YAML states it."""

    name: str
    description: str
    languages: tuple[str, ...]
    instruction: str
    message: str
    risk: RiskStage
    severity: SeverityStage
    policy: PolicyDefaults = PolicyDefaults()

    def __post_init__(self) -> None:
        """Refuse a task that cannot be asked or scored."""
        if not self.name or not all(c.isalnum() or c == "-" for c in self.name):
            raise ValueError("name must be letters, digits and dashes")
        if self.message.count("{message}") != 1:
            raise ValueError("message needs exactly one {message} slot")
        if self.risk.clear == self.risk.at_risk:
            raise ValueError("risk.clear and risk.at_risk must differ")
        if len(self.severity.levels) < MINIMUM_LEVELS:
            raise ValueError("severity.levels needs at least two levels")
        for field in ("name", "answer"):
            values = [getattr(level, field) for level in self.severity.levels]
            if len(set(values)) != len(values):
                raise ValueError(f"severity.levels has the same {field} twice")

    @property
    def level_names(self) -> tuple[str, ...]:
        """Severity levels, least severe first."""
        return tuple(level.name for level in self.severity.levels)


def load_task(name_or_path: str | Path) -> Task:
    """Read a shipped task by name, or any task by its path.

    Raises TaskError: no such file, not YAML, or a field missing, unknown or out of range.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = SHIPPED / f"{name_or_path}.yaml"
    try:
        content = path.read_bytes()
        require_plain(content)
        return msgspec.yaml.decode(content, type=Task)
    except OSError:
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise TaskError(
            f"no task at {path}: give a YAML file, or one of the shipped tasks ({shipped})"
        ) from None
    except (msgspec.MsgspecError, ValueError) as error:  # for example, a date that does not exist
        one_line = " ".join(str(error).split())  # the YAML parser gives the position on several lines
        raise TaskError(f"{path}: {one_line}") from None
