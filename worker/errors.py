"""The errors that only the stream worker raises. `engine/errors.py` shows the tree of all errors."""

from engine.errors import FatalError, MimamoriError
from schemas.reasons import DeadLetterReason


class RecordError(MimamoriError):
    """One record cannot be screened. `detail` names the field or rule at fault, and never quotes the text."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: DeadLetterReason = reason
        self.detail = detail


class RetryableError(MimamoriError):
    """Nothing was committed; the same records will be read again after a rewind."""


class BrokerError(FatalError):
    """Kafka cannot be reached, a topic is missing, or this worker was fenced."""


class RegistryError(FatalError):
    """The schema registry gives no answer that can be used. Only who starts stops at it; a worker waits.

    `refused`: it answers, and will go on to answer so until a setting is changed.
    """

    def __init__(self, said: str, *, refused: bool = False) -> None:
        super().__init__(said)
        self.refused = refused
