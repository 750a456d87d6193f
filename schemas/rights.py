"""The rights that each part of Mimamori needs in Kafka, and no others: the list that all else is made from.

`mimamori topics acls` prints it for an administrator, docs/reference/rights.md shows it, and a part that
lacks one of its rights names it. The tests run every part with exactly these rights, and without each.

A right to read or to write includes the right to describe, as Kafka's authorizer has it. An idempotent
producer needs no right of its own since Kafka 3.0.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Literal, get_args

import msgspec

from schemas.events import DeadLetter, Label, Message, ReviewCase, ReviewDecision, ShadowLabel
from schemas.topics import in_hand_topic, topic_names

# In Kafka's own words, as kafka-acls.sh takes them.
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]
Resource = Literal["topic", "group", "transactional-id"]
Part = Literal["worker", "shadow", "desk", "webhooks", "topics", "platform", "scaler"]

PARTS: Final[Mapping[Part, str]] = {
    "worker": "`mimamori run`",
    "shadow": "`mimamori run --shadow`",
    "desk": "`mimamori review`",
    "webhooks": "`mimamori review` in addition, where it tells webhooks",
    "topics": "`mimamori topics apply`, which the chart's job runs",
    "platform": "your own programs, which send messages and act on labels and decisions",
    "scaler": "KEDA, which reads the workers' lag",
}


class Right(msgspec.Struct, frozen=True, order=True):
    """May do `operation` with one resource, or with all whose names begin with `name`, if `prefix`."""

    resource: Resource
    name: str
    operation: Operation
    why: str = ""
    prefix: bool = False

    def __str__(self) -> str:
        shown = f"{self.name}*" if self.prefix else self.name
        return f"{self.operation} on the {self.resource} {shown}"


class Names(msgspec.Struct, frozen=True):
    """The names that an installation chooses, which its rights are about. The defaults are the settings'."""

    topic_prefix: str = "mimamori."
    group: str = "mimamori"
    transactional_id: str = "mimamori-"  # the beginning of every worker's
    platform_group: str = "platform"


def rights_of(part: Part, names: Names = Names()) -> tuple[Right, ...]:  # noqa: B008 - immutable
    """What this part needs."""
    return tuple(_MAKERS[part](names))


def missing(rights: Iterable[Right], allowed: Mapping[tuple[Resource, str], AbstractSet[str]]) -> list[Right]:
    """Those of `rights` that are not allowed. A resource of which nothing is known is passed over."""
    return [
        right
        for right in rights
        if (operations := allowed.get((right.resource, right.name))) is not None
        and right.operation not in operations
    ]


def complaint(user: object, lacking: Sequence[Right]) -> str:
    """One line for an error: who lacks what, and what to do. `user` is empty for a client without a login."""
    who = f"the Kafka user {user}" if user else "this Kafka client, which has no login,"
    listed = "; ".join(f"{right} ({right.why})" if right.why else str(right) for right in lacking)
    return (
        f"{who} lacks the right to {listed}: have an administrator grant it; "
        "`mimamori topics acls` prints every right that each part needs"
    )


def _topic(name: str, why: str, *operations: Operation) -> Iterator[Right]:
    return (Right("topic", name, operation, why) for operation in operations)


def _screening(names: Names, suffix: str = "") -> Iterator[Right]:
    """What every process that screens needs: messages, and a place to note what the model has in hand."""
    messages = topic_names(names.topic_prefix)[Message]
    in_hand = in_hand_topic(names.topic_prefix)
    yield from _topic(messages, "it screens them", "Read")
    yield from _topic(messages, "a compacted one would lose messages", "DescribeConfigs")
    yield Right("group", names.group + suffix, "Read", "its workers share the messages")
    yield Right(
        "transactional-id",
        names.transactional_id,
        "Write",
        "outcomes and offsets stand together",
        prefix=True,
    )
    yield from _topic(in_hand, "a message that kills a worker is found by it", "Read", "Write")
    yield from _topic(in_hand, "it must be as defined", "DescribeConfigs")


def _worker(names: Names) -> Iterator[Right]:
    yield from _screening(names)
    for event, why in (
        (Label, "one for each message"),
        (ReviewCase, "what a person must see"),
        (DeadLetter, "what cannot be screened"),
    ):
        topic = topic_names(names.topic_prefix)[event]
        yield from _topic(topic, why, "Write")
        yield from _topic(topic, "an outcome must fit", "DescribeConfigs")


def _shadow(names: Names) -> Iterator[Right]:
    yield from _screening(names, "-shadow")
    topic = topic_names(names.topic_prefix)[ShadowLabel]
    yield from _topic(topic, "what its bundle would have said", "Write")
    yield from _topic(topic, "an outcome must fit", "DescribeConfigs")


def _desk(names: Names) -> Iterator[Right]:
    prefix = names.topic_prefix
    yield Right("group", f"{prefix}review", "Read", "desks share the partitions")
    yield from _topic(f"{prefix}review-cases", "it shows them", "Read")
    yield from _topic(f"{prefix}review-cases", "it erases them when their time is over", "Write")
    yield from _topic(f"{prefix}case-events", "what people do counts in this order", "Read", "Write")
    yield from _topic(f"{prefix}review-decisions", "it notices those that it has not written", "Read")
    yield from _topic(f"{prefix}review-decisions", "it publishes what stands", "Write")
    yield from _topic(f"{prefix}review-audit", "its auditors read who saw what", "Read")
    yield from _topic(f"{prefix}review-audit", "it records who saw what", "Write")
    subjects = f"{prefix}case-subjects"
    yield from _topic(subjects, "desks count here how often one author was at risk", "Read", "Write")
    changelog = f"{prefix}review-cases-changelog"
    yield from _topic(changelog, "it makes its table's changelog once", "Create")
    yield from _topic(changelog, "its table is kept there", "Read", "Write")


def _webhooks(names: Names) -> Iterator[Right]:
    told = f"{names.topic_prefix}review-webhooks"
    yield from _topic(told, "no notice is sent twice", "Read", "Write")


def _topics(names: Names) -> Iterator[Right]:
    for operation, why in (
        ("Create", "it makes what is missing"),
        ("Describe", "it sees what is there"),
        ("DescribeConfigs", "it compares the settings"),
    ):
        yield Right("topic", names.topic_prefix, msgspec.convert(operation, Operation), why, prefix=True)


def _platform(names: Names) -> Iterator[Right]:
    topics = topic_names(names.topic_prefix)
    yield from _topic(topics[Message], "it has them screened", "Write")
    yield from _topic(topics[Label], "it acts on them", "Read")
    yield from _topic(topics[ReviewDecision], "it acts on them", "Read")
    yield from _topic(topics[DeadLetter], "it looks after what was not screened", "Read")
    yield Right("group", names.platform_group, "Read", "its readers share the partitions")


def _scaler(names: Names) -> Iterator[Right]:
    yield from _topic(topic_names(names.topic_prefix)[Message], "how many there are", "Describe")
    yield Right("group", names.group, "Describe", "how far the workers have come")


_MAKERS: Final = {
    "worker": _worker,
    "shadow": _shadow,
    "desk": _desk,
    "webhooks": _webhooks,
    "topics": _topics,
    "platform": _platform,
    "scaler": _scaler,
}
assert set(_MAKERS) == set(get_args(Part)) == set(PARTS)  # noqa: S101 - checked once, on import
