"""Every message the soak sends, and what must become of it. The same seed writes the same script.

A message is numbered twice: it is the `sequence`th of its `partition`, which is also its offset, for the
soak is the only one that writes to a fresh topic. So an outcome names its input by its origin alone, even
where a malformed record carries no id that could be read.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from schemas.vocabulary import DeadLetterReason

MALFORMED_SHARE: Final = 0.01
LONGEST_TEXT: Final = (
    1_000  # characters; the workers of a soak are set to it, so that too long is still small
)
CONVERSATIONS: Final = 8  # keys per partition: outcomes spread over partitions and keep their order in each
REPEATED_TEXTS: Final = 997  # two of three messages repeat one of these, so that the caches have work

# By what stands at its place in the script: 0 is a well-formed message, n the n-th of these.
REASONS: Final[tuple[DeadLetterReason | None, ...]] = (
    "null_value",
    "invalid_utf8",
    "invalid_json",
    "schema_mismatch",
    "empty_text",
    "unknown_task",
    None,  # a text above the workers' limit: read up to it, and its label says truncated
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
# What may hold somebody's message, and no model reads: each opens a review case of kind `unread`.
UNREAD: Final[set[DeadLetterReason]] = {
    "invalid_utf8",
    "invalid_json",
    "schema_mismatch",
    "unreadable_record",
    "unscreenable",
}


class Script:
    """`records` messages over `partitions`, as evenly as they go. One byte of memory a message."""

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
        """How many of the messages must become dead letters."""
        return sum(length - kinds.count(0) - kinds.count(_TOO_LONG) for length, kinds in self._all())

    def is_truncated(self, partition: int, sequence: int) -> bool:
        """Whether some of this message's text is above the workers' limit."""
        return self._kinds[partition][sequence] == _TOO_LONG

    def reason(self, partition: int, sequence: int) -> DeadLetterReason | None:
        """Why this message must become a dead letter; None where it must become a label."""
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
        """The record's key: one of the partition's conversations."""
        return b"%d.%d" % (partition, sequence % CONVERSATIONS)


def message_id(partition: int, sequence: int) -> str:
    """The id a message carries."""
    return f"{partition}-{sequence}"
