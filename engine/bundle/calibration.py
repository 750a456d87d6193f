"""calibration.json: thresholds, and the windows that the scores they were fitted on were read in."""

import math
from pathlib import Path
from typing import Final

import msgspec

from engine.bundle.files import decode, read

CALIBRATION: Final = "calibration.json"
LARGEST: Final = 1 << 20  # bytes that no real one reaches


class Windowing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a message is read: up to `whole` tokens in one piece, a longer one in windows; the riskiest counts.

    A window has at most `tokens`. With `sentences` it ends where a sentence ends, and only a sentence that is
    longer is cut into windows that share `overlap`; without, all of the message is. Of many windows the
    riskiest is riskier by chance alone, so `discount` x ln(windows) is taken from its log-odds, though never
    so much that a message becomes clear. Thresholds hold only for scores that were read as they were fitted.
    """

    tokens: int
    overlap: int
    whole: int
    sentences: bool
    discount: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no message can be cut by."""
        if not 0 <= self.overlap < self.tokens <= self.whole:
            raise ValueError("windows need 0 <= overlap < tokens <= whole")
        if not 0.0 <= self.discount < math.inf:
            raise ValueError("a discount is 0 or more")


# A prompt asks about all it was given: no shorter window was measured to be better.
PROMPTED: Final = Windowing(tokens=256, overlap=32, whole=256, sentences=False)


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """calibration.json: where the thresholds come from, and how messages are read for them.

    `name` goes on every label. `highest` is the highest score of an example by heads that had not seen it.
    `graded` counts the examples with a severity.
    """

    name: str
    lower: float
    upper: float
    tolerated_miss_rate: float
    examples: int
    positives: int
    windowing: Windowing
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
