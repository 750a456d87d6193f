"""Makes `kept.md`: what each topic and disk keeps of a message, and until when, from the definitions."""

from datetime import timedelta
from typing import Final

from docs.reference.markdown import code, table
from review.retention.holdings import CHANGELOG, by_definition, holding, in_words
from review.settings import ReviewSettings
from schemas.topics import load_topics

PREFIX: Final = "mimamori."
INTRODUCTION: Final = """# What is kept, and until when

What the topics hold of a message, by their definitions and the desk's default settings. *Until* is the latest
time. Kafka deletes whole segments, by their newest record, so that a record outlives its topic's retention by
as long as its segment was open. [Keep and erase](../how-to/keep-and-erase.md) says how to change it.
"""
DISKS: Final = """
## Outside of Kafka

| where | what | until |
|---|---|---|
| the desk's folder | the cases as in the changelog, sealed | as the changelog; the files are compacted then |
| the desk's memory | cases that are open, or settled a while ago | until the broker is told to forget them |
| the worker's cache in Redis | scores under keyed hashes; no text, no id | the cache's own time |
| the audit log | who saw which case, and when; no text | as the topic |
| logs, metrics, traces | no text, no author's id | |
| the platform, and every other consumer of a topic | what they copied | theirs to say |
"""


def page() -> str:
    """Return the page."""
    hours = {name: float(_default(name)) for name in _NAMES}
    keep = timedelta(hours=hours["retention_after_decision_hours"])
    lag = str(int(hours["changelog_compaction_hours"] * 3_600_000))
    changelog = holding(
        CHANGELOG,
        f"{PREFIX}review-cases-changelog",
        {"cleanup.policy": "compact", "max.compaction.lag.ms": lag, "segment.ms": lag},
    )
    found = [by_definition(topic, PREFIX) for topic in load_topics(PREFIX)]
    rows = []
    for each in [*(one for one in found if one is not None), changelog]:
        span = in_words(each.gone_after)
        if each.told:
            span = f"{in_words(keep)} after the decision, and {span} more"
        elif each.gone_after is not None:
            span += " after it is written"
        rows.append([code(each.topic), each.what, "yes" if each.words else "no", span])
    return INTRODUCTION + "\n" + table(["topic", "holds", "words", "until"], rows) + DISKS


_NAMES: Final = ("retention_after_decision_hours", "changelog_compaction_hours")


def _default(name: str) -> str:
    return str(ReviewSettings.model_fields[name].default)
