"""The errors that only the tools raise. `engine/errors.py` shows the whole tree of errors."""

from engine.errors import FatalError


class SandboxError(FatalError):
    """The local Kafka or Redis cannot be started."""
