"""The words of the pages, in each language, and which language somebody gets.

The catalogues are the files in `words/`: one phrase under each key, the same keys in each. A phrase may hold
places, such as `{n}`, that are filled when it is shown. A key that is missing is an error and never a gap.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, Literal

import yaml

Language = Literal["en", "ja"]
LANGUAGES: Final[Mapping[Language, str]] = {"en": "English", "ja": "日本語"}
_HIGHEST: Final = 1.0


class Words:
    """The phrases of one language."""

    def __init__(self, language: Language, phrases: Mapping[str, str]) -> None:
        self.language = language
        self.phrases = phrases

    def __call__(self, key: str, /, **places: object) -> str:
        """The phrase under a key, with its places filled. Raises KeyError: there is no such key, or place."""
        return self.phrases[key].format(**places)

    def has(self, key: str) -> bool:
        """Whether there is such a key."""
        return key in self.phrases

    def named(self, group: str, name: str | None) -> str:
        """The phrase for a word of the contract, such as a reason; the word itself where it is a new one."""
        key = f"{group}.{name}"
        return self.phrases[key] if key in self.phrases else plain(name or self.phrases["not_said"])

    def lasting(self, seconds: float) -> str:
        """A time in the largest unit that fits: 45 s, 12 min, 5 h, 3 d."""
        whole = max(0, int(seconds))
        for unit, size, until in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 48 * 3600)):
            if whole < until:
                return self(f"duration.{unit}", n=whole // size)
        return self("duration.d", n=whole // 86400)


def plain(name: str) -> str:
    """An identifier in words for people."""
    return name.replace("_", " ").replace("-", " ")


@cache
def words(language: Language) -> Words:
    """The catalogue of a language."""
    content = files("review.web.pages").joinpath("words", f"{language}.yaml").read_text(encoding="utf-8")
    return Words(language, yaml.safe_load(content))


def choose(chosen: str | None, accepted: str | None) -> Language:
    """The language for somebody: what they chose here, or else what their browser accepts best."""
    for language in LANGUAGES:
        if chosen == language:
            return language
    best: tuple[float, Language] = (0.0, "en")
    for wish in (accepted or "")[:500].lower().split(","):
        name, _, weight = wish.strip().partition(";q=")
        for language in LANGUAGES:
            if name.split("-")[0] == language and (quality := _quality(weight)) > best[0]:
                best = quality, language
    return best[1]


def _quality(weight: str) -> float:
    try:
        quality = float(weight) if weight else _HIGHEST
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= _HIGHEST else 0.0  # a number that is none is not in between
