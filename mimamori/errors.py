"""What only the tools raise. The whole tree of errors is drawn in `engine/errors.py`."""

from engine.errors import FatalError


class SandboxError(FatalError):
    """The local Kafka or Redis cannot be started."""
