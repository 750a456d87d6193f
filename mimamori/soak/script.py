"""Every message that the soak sends, and its expected outcome. The same seed gives the same script.

A message is identified by its `partition` and its `sequence` there. The sequence is also its offset, since
only the soak writes to the new topic. So an outcome's origin alone identifies its input, even where a
malformed record has no readable id.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from schemas.reasons import DeadLetterReason

MALFORMED_SHARE: Final = 0.01
LONGEST_TEXT: Final = (
    1_000  # characters; the workers of a soak get this limit, so that texts above it are still small
)
CONVERSATIONS: Final = 8  # keys per partition: outcomes spread over partitions, in order within each
REPEATED_TEXTS: Final = 997  # two of three messages repeat one of these texts, so that the caches are used

# Indexed by the script's bytes: 0 is a well-formed message, n the n-th of these.
REASONS: Final[tuple[DeadLetterReason | None, ...]] = (
    "null_value",
    "invalid_utf8",
    "invalid_json",
    "schema_mismatch",
    "empty_text",
    "unknown_task",
    None,  # a text above the workers' limit is read up to it, and its label says truncated
)
_BAD: Final[tuple[bytes | None, ...]] = (
    None,
    b'{"id":"%s","text":"\xff\xfe"}',
    b'{"id":"%s","text":',
    b'{"id":"%s","words":"no text"}',
    b'{"id":"%s","text":" \\n "}',
    b'{"id":"%s","text":"for another worker","task":"no-such-task"}',
    b'{"id":"%s","text":"' + b"far too long " * (LONGEST_TEXT // 12) + b'"}',
)

_TOO_LONG: Final = len(REASONS)
# These may hold somebody's message that no model reads, so each opens a review case of kind `unread`.
UNREAD: Final[set[DeadLetterReason]] = {
    "invalid_utf8",
    "invalid_json",
    "schema_mismatch",
    "unreadable_record",
    "unscreenable",
}


class Script:
    """`records` messages, spread evenly over `partitions`. It takes one byte of memory per message."""

    def __init__(self, seed: int, records: int, partitions: int) -> None:
        draw = np.random.default_rng(seed)
        self.records = records
        self.partitions = partitions
        self.lengths = [len(range(number, records, partitions)) for number in range(partitions)]
        self._kinds = [
            (draw.integers(1, len(REASONS) + 1, length) * (draw.random(length) < MALFORMED_SHARE))
            .astype(np.uint8)
            .tobytes()
            for length in self.lengths
        ]

    @property
    def malformed(self) -> int:
        """The number of messages that must become dead letters."""
        return sum(length - kinds.count(0) - kinds.count(_TOO_LONG) for length, kinds in self._all())

    def is_truncated(self, partition: int, sequence: int) -> bool:
        """Whether this message's text is longer than the workers' limit."""
        return self._kinds[partition][sequence] == _TOO_LONG

    def reason(self, partition: int, sequence: int) -> DeadLetterReason | None:
        """The reason of this message's dead letter; None where it must become a label."""
        kind = self._kinds[partition][sequence]
        return REASONS[kind - 1] if kind else None

    def value(self, partition: int, sequence: int) -> bytes | None:
        """The record's value."""
        name = message_id(partition, sequence).encode()
        if kind := self._kinds[partition][sequence]:
            bad = _BAD[kind - 1]
            return bad and bad % name
        number = sequence * self.partitions + partition
        text = f"a quiet evening, number {number if number % 3 == 0 else number % REPEATED_TEXTS}"
        return b'{"id":"%s","text":"%s"}' % (name, text.encode())

    def _all(self) -> Iterator[tuple[int, bytes]]:
        return zip(self.lengths, self._kinds, strict=True)

    def key(self, partition: int, sequence: int) -> bytes:
        """The record's key, which is one of the partition's conversations."""
        return b"%d.%d" % (partition, sequence % CONVERSATIONS)


def message_id(partition: int, sequence: int) -> str:
    """The id a message carries."""
    return f"{partition}-{sequence}"
