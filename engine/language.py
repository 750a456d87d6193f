"""Detects which language a text is written in, where its task does not cover that language.

Most languages follow from the script. For Latin letters, and where a script serves several languages,
py3langid is asked. Its answer counts only where the text is long enough, so that short English messages do
not flood the reviewers. docs/explanation/evasion.md has the measurements.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import numpy as np

from engine.language_model import language_model

LEAST_LETTERS: Final = 14  # below this, names and loan words look like any language
LEAST_CONFIDENCE: Final = 0.3  # least probability of the best guess
MOST_DOUBT: Final = 0.05  # most probability that it is one of the task's languages after all
LONGEST_LOOK: Final = 2000  # characters; more of them would not change the answer
_SHARE: Final = 0.3  # a text with this share of its letters in one script, in words, is in that script

_SCRIPTS: Final = {  # ISO 15924 code: its letters, the languages written in it
    "Cyrl": ("\u0400-\u052f", "ru uk be bg sr mk kk ky mn tg"),
    "Arab": ("\u0620-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufeff", "ar fa ur ps ku ug sd"),
    "Deva": ("\u0900-\u097f", "hi mr ne sa"),
    "Hani": ("\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", "zh ja"),
    "Jpan": ("\u3041-\u30fa\u30fc-\u30ff\uff66-\uff9f", "ja"),
    "Kore": ("\uac00-\ud7af\u1100-\u11ff\u3131-\u3163", "ko"),
    "Grek": ("\u0370-\u03ff\u1f00-\u1fff", "el"),
    "Hebr": ("\u05d0-\u05f2", "he yi"),
    "Armn": ("\u0531-\u0587", "hy"),
    "Beng": ("\u0980-\u09ff", "bn as"),
    "Guru": ("\u0a00-\u0a7f", "pa"),
    "Gujr": ("\u0a80-\u0aff", "gu"),
    "Orya": ("\u0b00-\u0b7f", "or"),
    "Taml": ("\u0b80-\u0bff", "ta"),
    "Telu": ("\u0c00-\u0c7f", "te"),
    "Knda": ("\u0c80-\u0cff", "kn"),
    "Mlym": ("\u0d00-\u0d7f", "ml"),
    "Sinh": ("\u0d80-\u0dff", "si"),
    "Thai": ("\u0e00-\u0e7f", "th"),
    "Laoo": ("\u0e80-\u0eff", "lo"),
    "Tibt": ("\u0f00-\u0fff", "bo dz"),
    "Mymr": ("\u1000-\u109f", "my"),
    "Geor": ("\u10a0-\u10ff", "ka"),
    "Ethi": ("\u1200-\u137f", "am ti"),
    "Khmr": ("\u1780-\u17ff", "km"),
}
_FOREIGN: Final = re.compile("[{}]".format("".join(letters for letters, _ in _SCRIPTS.values())))
# Only runs of letters count: a single letter is part of a kaomoji, or a sign.
_RUNS: Final = {script: re.compile(f"[{letters}]{{2,}}") for script, (letters, _) in _SCRIPTS.items()}
_LANGUAGES: Final = {script: frozenset(names.split()) for script, (_, names) in _SCRIPTS.items()}
_NO_LANGUAGE: Final = re.compile(r"https?://\S+|www\.\S+|[^\s@]{1,64}@\S+|[@#]\w+|[^\W\d_]*\d\w*")


class _Question(NamedTuple):
    """What py3langid is asked: which text, its words, and the script if the answer must be written in it."""

    place: int
    words: str
    script: str | None


class LanguageDetector:
    """Detects foreign languages. `covered` are primary language tags as in the policy; none means any."""

    def __init__(self, covered: Collection[str]) -> None:
        self._covered = frozenset(covered)
        if covered:  # load the model now, and not at the first message
            self._labels = language_model().labels
            self._columns = [place for place, label in enumerate(self._labels) if label in self._covered]

    def foreign(self, texts: Sequence[str]) -> list[str | None]:
        """The language of each text that is surely in none of those covered, else None.

        A BCP 47 tag. It includes the script ("ru-Cyrl", "und-Arab") where the script alone decided.
        """
        found: list[str | None] = [None] * len(texts)
        if not self._covered:
            return found
        questions = []
        for place, text in enumerate(texts):
            match self._by_script(place, text[:LONGEST_LOOK]):
                case _Question() as question:
                    questions.append(question)
                case answer:
                    found[place] = answer
        guesses = self._guessed([question.words for question in questions])
        for question, guess in zip(questions, guesses, strict=True):
            if question.script is None:
                found[question.place] = guess
            elif guess in _LANGUAGES[question.script]:
                found[question.place] = f"{guess}-{question.script}"
        return found

    def _by_script(self, place: int, text: str) -> _Question | str | None:
        """The answer where the script decides; a question where it does not."""
        script = _script(text) if _FOREIGN.search(text) else None
        if script is None:
            return _question(place, text) if _is_latin(text) else None
        languages = _LANGUAGES[script]
        if not languages & self._covered:
            return f"{min(languages) if len(languages) == 1 else 'und'}-{script}"
        return None if len(languages) == 1 else _question(place, text, script)

    def _guessed(self, texts: Sequence[str]) -> list[str | None]:
        if not texts:
            return []
        shares = language_model().shares(texts)
        best = shares.argmax(axis=1)
        sure = shares.max(axis=1) >= LEAST_CONFIDENCE
        sure &= shares[:, self._columns].sum(axis=1) <= MOST_DOUBT
        sure &= ~np.isin(best, self._columns)
        return [self._labels[column] if yes else None for column, yes in zip(best, sure, strict=True)]


def _question(place: int, text: str, script: str | None = None) -> _Question | None:
    """What to ask py3langid, unless the text has too few letters to tell by."""
    words = _NO_LANGUAGE.sub(" ", text)
    least = LEAST_LETTERS if script is None else 0
    return None if sum(map(str.isalpha, words)) < least else _Question(place, words, script)


def _script(text: str) -> str | None:
    counts = {script: sum(map(len, runs.findall(text))) for script, runs in _RUNS.items()}
    if counts["Jpan"]:  # Chinese characters beside kana are Japanese
        counts["Jpan"] += counts.pop("Hani")
    most = max(counts, key=counts.__getitem__)
    return most if counts[most] and counts[most] >= _SHARE * sum(map(str.isalpha, text)) else None


def _is_latin(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    return len(_FOREIGN.findall(text)) < _SHARE * letters
