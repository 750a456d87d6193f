"""drift.json: which messages a bundle was made for, in bins. Only one adapted with traffic has it."""

from pathlib import Path
from typing import Final

from engine.bundle.files import decode, read
from engine.drift import Expected

DRIFT: Final = "drift.json"
LARGEST: Final = 1 << 20  # in bytes; no real file is this large


def read_expected(path: Path) -> Expected:
    """Read drift.json. Raises BundleError: it cannot be read, or its bins are impossible."""
    return decode(path, read(path, LARGEST), Expected, "run `mimamori adapt --traffic` again")
