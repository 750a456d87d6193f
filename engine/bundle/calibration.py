"""calibration.json: the thresholds, and which scores they were fitted on."""

from pathlib import Path
from typing import Final

import msgspec

from engine.bundle.files import decode, read
from engine.identity import ScoreIdentity

CALIBRATION: Final = "calibration.json"
LARGEST: Final = 1 << 20  # in bytes; no real file is this large


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """calibration.json: where the thresholds come from, and which scores they hold for.

    `name` stands on every label. `fitted_on` identifies the scores that the thresholds were fitted on; the
    engine cuts messages into the windows that it states. `highest` is the highest out-of-fold score of an
    example, that is, by heads that had not seen it. `graded` counts the examples with a severity.
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
        """Refuse scores outside 0 to 1, and a lower threshold above the upper one."""
        if not 0.0 <= self.lower <= self.upper <= 1.0:
            raise ValueError("a calibration needs 0 <= lower <= upper <= 1")
        if not 0.0 <= self.highest <= 1.0:
            raise ValueError("a calibration needs 0 <= highest <= 1")


def read_calibration(path: Path) -> Calibration:
    """Read calibration.json. Raises BundleError: it cannot be read, or its thresholds are impossible."""
    return decode(path, read(path, LARGEST), Calibration, "run `mimamori adapt` again")
