"""Makes the messages for bench/stream.py from our own texts, as JSON, in three mixes.

repeated   2,000 texts, a few of them most of the time: the score cache has all but the first of each
distinct   no text occurs twice: every message goes to the engine
malformed  records that are not messages, each with the reason that its dead letter must have
"""

import itertools
import random
from collections.abc import Iterator

from bench.yardstick.workload import read_texts
from schemas import encode
from schemas.events import Message

Pairs = Iterator[tuple[bytes, bytes | None]]
REPEATED = 2000


def repeated(count: int, seed: int = 0) -> Pairs:
    """`count` messages from 2,000 texts, of which the n-th is about n times rarer than the first."""
    chance = random.Random(seed)
    texts = list(itertools.islice(_texts(seed), REPEATED))
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(texts) + 1)))
    drawn = chance.choices(texts, cum_weights=weights, k=count)
    yield from (_message(number, text) for number, text in enumerate(drawn))


def distinct(count: int, seed: int = 1) -> Pairs:
    """`count` messages, each with a text of its own."""
    for number, text in enumerate(itertools.islice(_texts(seed), count)):
        yield _message(number, f"{text} ({number})")


def malformed(count: int) -> Pairs:
    """`count` records that are not messages; `expected_reasons` gives their outcomes."""
    for number in range(count):
        yield f"bad-{number}".encode(), list(_BAD.values())[number % len(_BAD)]


def expected_reasons(count: int) -> dict[str, int]:
    """The number of dead letters of each reason that `malformed(count)` must give."""
    return {reason: count // len(_BAD) + (place < count % len(_BAD)) for place, reason in enumerate(_BAD)}


_BAD: dict[str, bytes | None] = {
    "null_value": None,
    "invalid_utf8": b'{"id": "m-1", "text": "caf\xe9 at noon?"}',
    "invalid_json": b'{"id": "m-1", "text": "cut off',
    "schema_mismatch": b'{"id": "m-1", "text": 17}',
    "empty_text": b'{"id": "m-1", "text": "  "}',
    "unknown_task": b'{"id": "m-1", "text": "see you at noon", "task": "another"}',
}


def _texts(seed: int) -> Iterator[str]:
    """Yield one or two of our own messages joined, without end."""
    chance = random.Random(seed)
    texts = read_texts(None)
    while True:
        yield " ".join(chance.sample(texts, chance.choice((1, 1, 2))))


def _message(number: int, text: str) -> tuple[bytes, bytes]:
    conversation = f"c-{number % 5000}"
    message = Message(id=f"m-{number}", text=text, conversation_id=conversation, language="en")
    return conversation.encode(), encode(message)
