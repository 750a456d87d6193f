"""Makes the label that the peers write: this worker's label, from constant scores, in the shortest code.

There is no cache, policy or model, so that only decoding, labelling and producing count in a peer's time.
"""

from datetime import UTC, datetime
from typing import Final

import schemas
from schemas.events import Label, Message, Origin, Severity, Thresholds

Headers = list[tuple[str, str | bytes | None]]  # what confluent_kafka and quixstreams take

_SEVERITY: Final = Severity("mild", {"mild": 0.6, "moderate": 0.3, "severe": 0.1})
_THRESHOLDS: Final = Thresholds(1.0, 1.0, "none")


def label_of(value: bytes, topic: str, partition: int, offset: int) -> tuple[bytes, Headers]:
    """Return value and headers of a message's label; its key is the message's. CodecError: no message."""
    message = schemas.decode(Message, value)
    origin = Origin(topic, partition, offset)
    label = Label(
        id=schemas.label_id(origin),
        message_id=message.id,
        origin=origin,
        task="stress",
        verdict="clear",
        risk=0.1,
        severity=_SEVERITY,
        reasons=["below_lower_threshold"],
        thresholds=_THRESHOLDS,
        reading="pooled",
        bundle="0" * 64,
        windows=1,
        truncated=False,
        cached=True,
        screened_at=datetime.now(UTC),
    )
    return schemas.encode(label), schemas.event_headers(label)
