"""Two languages with the same keys; every word of the contract has a phrase in each."""

import re
import string
from pathlib import Path
from typing import get_args

import pytest

import review.web
from review import errors
from review.access.errors import AccessRefusedError, NoRoleError
from review.cases.held import HeldBecause
from review.cases.script import Script
from review.queue.skips import SKIP_REASONS
from review.queue.waiting import State
from review.retention.holdings import HOLDS
from review.web.html import THEMES
from review.web.pages.frame import SHORTCUTS
from review.web.pages.language import LANGUAGES, Language, choose, words
from schemas.reasons import DEAD_LETTER_REASONS, Reason
from schemas.vocabulary import CaseAction, CaseKind, Finding, Verdict

TEMPLATES = sorted((Path(review.web.__file__).parent / "templates").glob("*.html"))
SOURCES = sorted(Path(review.web.__file__).parent.rglob("*.py"))
EN, JA = words("en"), words("ja")


def test_both_languages_have_the_same_keys_and_the_same_places() -> None:
    assert EN.phrases.keys() == JA.phrases.keys()
    for key, phrase in EN.phrases.items():
        assert places(phrase) == places(JA.phrases[key]), key
        assert phrase.strip(), key
        assert JA.phrases[key].strip(), key


def places(phrase: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(phrase) if name is not None}


def test_what_is_said_in_japanese_is_japanese() -> None:
    for key, phrase in JA.phrases.items():
        assert phrase != EN.phrases[key], key
        assert not re.search(r"[A-Za-z]{2}", re.sub(r"{\w+}|Mimamori|Kafka|ZWSP", "", phrase)), key


def test_every_key_that_is_asked_for_exists_and_every_other_is_gone() -> None:
    asked = {
        key
        for path in [*TEMPLATES, *SOURCES]
        for key in re.findall(
            r"""(?:\bt\(|_t\(|phrases\[|\.words\(request\)\()\s*"([\w.]+)\"""", path.read_text()
        )
    }
    asked |= {
        key for path in SOURCES for key in re.findall(r'"(error\.\w+|queue\.(?!html)\w+)"', path.read_text())
    }
    assert asked - EN.phrases.keys() - PREFIXES == set()
    built = {f"{group}.{name}" for group, names in GROUPS.items() for name in names}
    assert built - EN.phrases.keys() == set()
    assert EN.phrases.keys() - asked - built == set()


# Keys that are put together from a group and a word of the contract.
PREFIXES = {
    "filter.",
    "finding.",
    "nav.",
    "keys.",
    "skip.",
    "preferences.theme.",
    "preferences.keys.",
    "held.because.",
    "erase.what_",
}
GROUPS: dict[str, tuple[str, ...]] = {
    "kind": get_args(CaseKind),
    "finding": get_args(Finding),
    "finding.meaning": get_args(Finding),
    "verdict": get_args(Verdict),
    "reason": get_args(Reason),
    "unread": tuple(reason for reason, meaning in DEAD_LETTER_REASONS.items() if meaning.shown_as),
    "context": ("before", "after", "author_same", "author_other"),
    "raised": ("author", "conversation"),
    "action": (*get_args(CaseAction), "handed"),
    "skip": tuple(SKIP_REASONS),
    "keys": tuple(what for _, what in SHORTCUTS),
    "preferences.theme": THEMES,
    "preferences.keys": ("on", "off"),
    "held.because": get_args(HeldBecause),
    "duration": ("s", "min", "h", "d"),
    "case.state": (
        "waiting",
        "waiting_second",
        "waiting_lead",
        "waiting_for",
        "claimed",
        "decided",
        "settled",
    ),
    "capacity": ("nobody", "undecided", "pace", "past", "late", "partly"),
    "nav": ("held", "figures", "audit", "erase"),
    "erase": ("what_message", "what_author"),
    "holds": tuple(HOLDS),
    "filter": ("task", "kind", "level", "state", "overdue", "script"),
    "script": get_args(Script),
    "filter.state": get_args(State),
    "said": ("skipped", "handed", "discarded", "none"),
    "access": tuple(each.__name__ for each in [*AccessRefusedError.__subclasses__(), NoRoleError]),
    "error": tuple(each.__name__ for each in errors.DecisionRefusedError.__subclasses__()),
}


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, None, "en"),
        (None, "ja", "ja"),
        (None, "ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        (None, "en-GB,en;q=0.9,ja;q=0.8", "en"),
        (None, "fr, ja;q=0.5, en;q=0.4", "ja"),
        (None, "fr", "en"),
        (None, "ja;q=0", "en"),
        (None, "ja;q=nan, en;q=x,,;", "en"),
        (None, "ja;q=9, en", "en"),
        ("ja", "en", "ja"),
        ("en", "ja", "en"),
        ("../../etc", "ja", "ja"),
    ],
)
def test_which_language_somebody_gets(chosen: str | None, accepted: str | None, language: Language) -> None:
    assert choose(chosen, accepted) == language


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (59, "59 s"), (3599, "59 min"), (3600 * 47, "47 h"), (3 * 86400, "3 d")],
)
def test_a_time_in_its_largest_unit(seconds: float, said: str) -> None:
    assert EN.lasting(seconds) == said


def test_a_missing_key_is_an_error_and_a_new_word_of_the_contract_is_not() -> None:
    with pytest.raises(KeyError):
        EN("no.such.key")
    assert EN.named("reason", "some_new_reason") == "some new reason"
    assert JA.named("kind", None) == JA("not_said")


def test_languages_name_themselves() -> None:
    assert LANGUAGES == {"en": "English", "ja": "日本語"}
