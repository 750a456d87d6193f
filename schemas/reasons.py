"""Why an outcome is what it is: the reasons of labels and cases, and of dead letters, each with its meaning.

Each is defined here, once. The structs in `events.py`, the JSON Schemas, the reference pages of the
documentation and the review desk's texts are derived from here. Two reasons look alike:

    unscorable      a reason of a label: the model answered, but its score is not a number
    unscreenable    a reason of a dead letter: the model fails on the message, so that there is no label

Neither can be renamed: topics hold them already, and readers of labels were promised no new reasons.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Reason = Literal[
    "below_lower_threshold",
    "between_thresholds",
    "above_upper_threshold",
    "truncated",
    "unsupported_language",
    "unscorable",
    "quality_sample",
    "obfuscated",
]
DeadLetterReason = Literal[
    "null_value",
    "invalid_utf8",
    "invalid_json",
    "schema_mismatch",
    "empty_text",
    "text_too_long",
    "unknown_task",
    "unreadable_record",
    "unscreenable",
]


class DeadLetterMeaning(NamedTuple):
    """The meaning of a dead letter's reason, for the producer's engineers and for the reviewer of its case.

    `shown_as` is what the reviewer reads. It is None where no case of kind `unread` is opened.
    """

    mend: str
    looked_at_by: str
    shown_as: str | None = None


DEAD_LETTER_REASONS: Final[Mapping[DeadLetterReason, DeadLetterMeaning]] = {
    "null_value": DeadLetterMeaning("the record has no value (a tombstone)", "nobody: nobody wrote anything"),
    "invalid_utf8": DeadLetterMeaning(
        "another encoding: send UTF-8",
        "a person: there may be a message under it",
        "its characters are in another encoding",
    ),
    "invalid_json": DeadLetterMeaning(
        "cut off, empty, NaN, half an emoji, a byte order mark",
        "a person, for the same reason",
        "the record is broken",
    ),
    "schema_mismatch": DeadLetterMeaning(
        "a field is missing or wrong; `detail` names it",
        "a person, for the same reason",
        "the record is not a message as agreed",
    ),
    "unreadable_record": DeadLetterMeaning(
        "the record contradicts itself, such as an offset that Kafka never gave it (only a hand-made "
        "producer writes one); `detail` says in what: mend it, send again",
        "a person, for the same reason",
        "the record is broken",
    ),
    "empty_text": DeadLetterMeaning(
        "nothing but whitespace and invisible characters", "nobody: there is nothing to see"
    ),
    "unknown_task": DeadLetterMeaning(
        "no worker of this task reads the topic",
        "nobody here: the workers of its task answer for it, so check that they run",
    ),
    "unscreenable": DeadLetterMeaning(
        "nothing on your side: the model fails on this message alone, or the worker ended each time it "
        "read it",
        "a person, before all others: somebody wrote it, and waits",
        "the model fails on this message",
    ),
    "text_too_long": DeadLetterMeaning(
        "nothing: earlier versions gave it, and a long text is read up to the limit now",
        "nobody: no worker gives it any more",
    ),
}

REASONS: Final[Mapping[Reason, str]] = {
    "below_lower_threshold": "below the lower threshold",
    "between_thresholds": "the model is unsure",
    "above_upper_threshold": "above the upper threshold",
    "truncated": "too long to be read in full",
    "unsupported_language": "language not supported",
    "unscorable": "the model gave no usable score",
    "quality_sample": "random quality sample",
    "obfuscated": "disguised so that the model cannot read it",
}
