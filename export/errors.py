"""The errors that only `export` raises. `engine/errors.py` shows the whole tree."""

from engine.errors import FatalError


class ExportError(FatalError):
    """A model cannot be exported, or failed its parity check."""


class EndpointError(FatalError):
    """A baseline's endpoint cannot be reached, refuses, or would cost more than was allowed."""
