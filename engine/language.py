"""Detects which language a text is written in, where its task does not cover that language.

Most languages follow from the script. For Latin letters, and where a script serves several languages,
py3langid is asked. Its answer counts only where the text is long enough, so that short English messages do
not flood the reviewers. docs/explanation/evasion.md has the measurements.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

from py3langid.langid import MODEL_FILE, LanguageIdentifier

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


class LanguageDetector:
    """Detects foreign languages. `covered` are primary language tags as in the policy; none means any."""

    def __init__(self, covered: Collection[str]) -> None:
        self._covered = frozenset(covered)
        if covered:
            _identifier()  # load the model now, and not at the first message

    def foreign(self, text: str) -> str | None:
        """The language of `text` if it is surely none of those covered, else None.

        Returns a BCP 47 tag. It includes the script ("ru-Cyrl", "und-Arab") where the script alone decided.
        """
        if not self._covered:
            return None
        text = text[:LONGEST_LOOK]
        if not _FOREIGN.search(text):
            return self._guessed(text)
        script = _script(text)
        if script is None:
            return self._guessed(text) if _is_latin(text) else None
        languages = _LANGUAGES[script]
        if not languages & self._covered:
            return f"{min(languages) if len(languages) == 1 else 'und'}-{script}"
        if len(languages) == 1:
            return None
        guess = self._guessed(text, least_letters=0)
        return f"{guess}-{script}" if guess in languages else None

    def _guessed(self, text: str, least_letters: int = LEAST_LETTERS) -> str | None:
        words = _NO_LANGUAGE.sub(" ", text)
        if sum(map(str.isalpha, words)) < least_letters:
            return None
        best, share = _identifier().classify(words)
        if best in self._covered or share < LEAST_CONFIDENCE:
            return None
        known = sum(one for language, one in _identifier().rank(words) if language in self._covered)
        return str(best) if known <= MOST_DOUBT else None


def _script(text: str) -> str | None:
    counts = {script: sum(map(len, runs.findall(text))) for script, runs in _RUNS.items()}
    if counts["Jpan"]:  # Chinese characters beside kana are Japanese
        counts["Jpan"] += counts.pop("Hani")
    most = max(counts, key=counts.__getitem__)
    return most if counts[most] and counts[most] >= _SHARE * sum(map(str.isalpha, text)) else None


def _is_latin(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    return len(_FOREIGN.findall(text)) < _SHARE * letters


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    """The language model, loaded once a process: about 90 MB and one second."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
