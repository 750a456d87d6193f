"""What is said to be kept, and until when: it covers every topic, and never says less than Kafka does."""

from datetime import timedelta

import pytest

from docs.reference import kept
from review.retention.holdings import CHANGELOG, HOLDS, by_definition, holding, in_words
from schemas.topics import load_topics

DAY = str(86_400_000)
INTERNAL = {"in-hand"}  # offsets and counts alone


def test_every_topic_is_spoken_of() -> None:
    assert {topic.name for topic in load_topics("")} == HOLDS.keys() - {CHANGELOG} | INTERNAL


def test_a_record_may_outlive_its_retention_by_its_segment() -> None:
    held = holding("messages", "m", {"retention.ms": DAY, "segment.ms": DAY, "file.delete.delay.ms": "0"})
    assert held.gone_after == timedelta(days=2, minutes=5)
    by_default = holding("messages", "m", {"retention.ms": DAY, "file.delete.delay.ms": "0"})
    assert by_default.gone_after == timedelta(days=8, minutes=5)


def test_what_is_told_to_forget_goes_by_compaction() -> None:
    settings = {"cleanup.policy": "compact,delete", "max.compaction.lag.ms": "3600000", "retention.ms": DAY}
    held = holding("review-cases", "r", settings)
    assert (held.told, held.gone_after) == (True, timedelta(minutes=66))
    deleted = holding("review-cases", "r", settings | {"cleanup.policy": "delete"})
    assert (deleted.told, deleted.gone_after) == (False, timedelta(days=8, minutes=6))


@pytest.mark.parametrize(
    "settings",
    [{"retention.ms": "-1"}, {"cleanup.policy": "compact"}, {"retention.ms": str(2**63 - 1)}],
)
def test_for_ever_is_said_where_it_is_so(settings: dict[str, str]) -> None:
    held = holding("messages", "m", settings)
    assert held.gone_after is None
    assert in_words(held.gone_after) == "for ever"


def test_what_holds_words_by_its_definition_is_gone_within_days_where_no_person_wrote_it() -> None:
    found = {topic.name: by_definition(topic) for topic in load_topics("")}
    days = {
        name: held.gone_after.days for name, held in found.items() if held and held.words and held.gone_after
    }
    assert (days["messages"], days["review-cases"]) == (3, 0)
    assert days["dead-letters"] <= 15


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=61), "2 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(minutes=121), "3 h"),
        (timedelta(hours=25), "25 h"),
        (timedelta(days=30), "30 d"),
    ],
)
def test_a_span_is_never_rounded_down(span: timedelta, words: str) -> None:
    assert in_words(span) == words


def test_the_page_names_every_topic() -> None:
    page = kept.page()
    assert all(f"`mimamori.{name}`" in page for name in HOLDS.keys() - {CHANGELOG})
    assert "24 h after the decision, and 66 min more" in page
