"""drift.json: which messages a bundle was made for, in bins. Only one adapted with traffic has it."""

from pathlib import Path
from typing import Final

import numpy as np

from engine.bundle.files import decode, read
from engine.drift import Expected
from engine.drift import restated as restated_expected
from engine.odds import Odds, restated

DRIFT: Final = "drift.json"
LARGEST: Final = 1 << 20  # in bytes; no real file is this large


def read_expected(path: Path) -> Expected:
    """Read drift.json. Raises BundleError: it cannot be read, or its bins are impossible."""
    return decode(path, read(path, LARGEST), Expected, "run `mimamori adapt --traffic` again")


def restated_as(expected: Expected, odds: Odds | None) -> Expected:
    """What is expected of risks that are restated by `odds`, as a calibrated bundle's are."""
    return restated_expected(expected, lambda risk: float(restated(np.array([risk]), odds)[0]))
