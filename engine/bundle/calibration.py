"""calibration.json: thresholds, and the scores that they were fitted on."""

from pathlib import Path
from typing import Final

import msgspec

from engine.bundle.files import decode, read
from engine.identity import ScoreIdentity

CALIBRATION: Final = "calibration.json"
LARGEST: Final = 1 << 20  # bytes that no real one reaches


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """calibration.json: where the thresholds come from, and which scores they hold for.

    `name` goes on every label. `fitted_on` says what the scores were that the thresholds were fitted on: the
    engine reads messages in its windows. `highest` is the highest score of an example by heads that had not
    seen it. `graded` counts the examples with a severity.
    """

    name: str
    lower: float
    upper: float
    tolerated_miss_rate: float
    examples: int
    positives: int
    fitted_on: ScoreIdentity
    highest: float = 1.0
    graded: int = 0

    def __post_init__(self) -> None:
        """Refuse thresholds that would clear everything, or mean nothing."""
        if not 0.0 <= self.lower <= self.upper <= 1.0:
            raise ValueError("a calibration needs 0 <= lower <= upper <= 1")
        if not 0.0 <= self.highest <= 1.0:
            raise ValueError("a calibration needs 0 <= highest <= 1")


def read_calibration(path: Path) -> Calibration:
    """Read calibration.json. Raises BundleError: not readable, or thresholds that mean nothing."""
    return decode(path, read(path, LARGEST), Calibration, "run `mimamori adapt` again")
