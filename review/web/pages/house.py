"""What the house that runs the desk tells its reviewers: what levels mean, which are severe, what to do.

    guidance:                    shown beside severe levels, and after a severe decision
      en: |
        ...
      ja: |
        ...
    tasks:
      rental-scam: {en: rental scam, ja: …}
    levels:
      rental-scam:               a task
        asking:                  a level of it
          en: {name: asking, meaning: "…"}
          ja: {name: …, meaning: …}
    severe:
      rental-scam: [asking]      unless said, the most severe level of a task

Mimamori brings the levels of the tasks that it ships, and a guidance that says of itself that it has to be
replaced. The file of the house (MIMAMORI_REVIEW_HOUSE) is laid over it, key by key.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import yaml

from review.errors import DeskError
from review.web.pages.language import Language, plain


class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A severity level in one language."""

    name: str
    meaning: str


class House(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words of the house, by task, level and language."""

    guidance: Mapping[Language, str] = {}
    levels: Mapping[str, Mapping[str, Mapping[Language, Level]]] = {}
    severe: Mapping[str, Sequence[str]] = {}
    tasks: Mapping[str, Mapping[Language, str]] = {}

    def task(self, name: str, language: Language) -> str:
        """A task's name for people."""
        known = self.tasks.get(name, {})
        return known.get(language) or known.get("en") or plain(name)

    def level(self, task: str, level: str, language: Language) -> Level:
        """A level's name and meaning. Where nobody wrote them: its identifier, and no meaning."""
        known = self.levels.get(task, {}).get(level, {})
        return known.get(language) or known.get("en") or Level(plain(level), "")

    def any_level(self, level: str, language: Language) -> str:
        """The name of a level of whichever task has one that is called so."""
        return next(
            (self.level(task, level, language).name for task in self.levels if level in self.levels[task]),
            plain(level),
        )

    def is_severe(self, task: str, level: str | None, levels: Sequence[str]) -> bool:
        """Whether a level is one of the severe ones, among the task's levels, which are in order."""
        return level is not None and level in self.severe.get(task, levels[-1:])

    def advice(self, language: Language) -> list[str]:
        """The guidance, in paragraphs."""
        text = self.guidance.get(language) or self.guidance.get("en") or ""
        return [paragraph.strip() for paragraph in text.split("\n\n") if paragraph.strip()]


def house(path: Path | None) -> House:
    """The shipped words, under those of the house. Raises DeskError: the file is unreadable or says more."""
    if path is None:
        return _shipped()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return msgspec.convert(_laid_over(msgspec.to_builtins(_shipped()), content), House)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise DeskError(f"cannot use MIMAMORI_REVIEW_HOUSE ({path}): {reason}") from None


@cache
def _shipped() -> House:
    content = files("review.web.pages").joinpath("house.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(content), House)


def _laid_over(below: Any, above: Any) -> Any:
    if not isinstance(below, dict):
        return above
    if not isinstance(above, dict):
        raise TypeError("it has to hold the keys guidance, tasks, levels, severe")
    return below | {
        key: _laid_over(below[key], value) if key in below else value for key, value in above.items()
    }
