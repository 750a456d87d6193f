"""The errors that only the stream knows. The whole tree is drawn in `engine/errors.py`."""

from engine.errors import FatalError, MimamoriError
from schemas.vocabulary import DeadLetterReason


class RecordError(MimamoriError):
    """One record cannot be screened. `detail` names the field or rule broken, never the text."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: DeadLetterReason = reason
        self.detail = detail


class RetryableError(MimamoriError):
    """Nothing was committed; the same records will be read again after a rewind."""


class BrokerError(FatalError):
    """Kafka cannot be reached, a topic is missing, or this worker was fenced."""
