"""What only `export` raises. The whole tree of errors is drawn in `engine/errors.py`."""

from engine.errors import FatalError


class ExportError(FatalError):
    """A model cannot be exported, or its parity gate failed."""
