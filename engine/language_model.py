"""Asks py3langid about many texts at once: the same answers, in a fraction of the time.

py3langid walks an automaton over each text's bytes and counts the features it meets; a naive Bayes table
turns their counts into a score per language. Here all texts take a step of the walk together, in numpy, and
the table is read without BLAS, whose threads would compete with the model's. `bench.languages` compares the
two.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from py3langid.langid import MODEL_FILE, LanguageIdentifier

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

FEWEST: Final = 16  # below this number of texts, numpy's own cost for a step is more than it saves
AT_ONCE: Final = 32  # texts whose rows of the table fit a core's cache


class LanguageModel:
    """py3langid's model. `labels` are ISO 639 codes, one for each column of `shares`."""

    def __init__(self, identifier: LanguageIdentifier) -> None:
        self.labels: list[str] = list(identifier.nb_classes)
        self._identifier = identifier
        self._next = np.asarray(identifier.tk_nextmove)
        self._base = np.asarray(identifier.tk_row, np.int64) << 8
        self._feature = np.asarray(identifier.tk_output, np.int64)
        self._tables = identifier.tk_nextmove, self._base.tolist(), identifier.tk_output

    def shares(self, texts: Sequence[str]) -> Floats:
        """How probable each language is for each text: [number of texts, number of labels], rows sum to 1.

        A label that stands twice has all of its share in its first column. A text without features is
        equally likely to be in any language.
        """
        if len(texts) < FEWEST:
            alone = [self._identifier._decide(text) for text in texts]  # noqa: SLF001 - `rank` is this, sorted
            return np.array(alone, np.float32).reshape(len(texts), len(self.labels))
        encoded = [self._identifier._encode(text) for text in texts]  # noqa: SLF001 - it has no public name
        text_of, features, counts = self._walk(encoded)
        scores = np.zeros((len(texts), len(self.labels)), np.float32)
        for first in range(0, len(texts), AT_ONCE):
            start, end = np.searchsorted(text_of, (first, first + AT_ONCE))
            self._score(scores, text_of[start:end], features[start:end], counts[start:end])
        # py3langid's own temperature: it keeps the shares calibrated over lengths.
        scores /= np.sqrt([max(len(text), 1) for text in encoded], dtype=np.float32)[:, None]
        np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf), out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        for kept, again in self._identifier._alias_pairs:  # noqa: SLF001 - it has no public name
            scores[:, kept] += scores[:, again]
            scores[:, again] = 0.0
        return scores

    def _score(self, scores: Floats, text_of: Ints, features: Ints, counts: Ints) -> None:
        """Add the naive Bayes score of these texts. Each has its features in one run of the three arrays."""
        if not len(text_of):
            return
        starts = np.flatnonzero(np.diff(text_of, prepend=-1))
        rows = self._identifier.nb_ptc[features] * np.log1p(counts, dtype=np.float32)[:, None]
        scores[text_of[starts]] = np.add.reduceat(rows, starts, axis=0) + self._identifier.nb_pc

    def _walk(self, texts: Sequence[bytes]) -> tuple[Ints, Ints, Ints]:
        """Every text's features and how often it has each, as three arrays: text, feature, count; sorted."""
        lengths = np.array([len(text) for text in texts], np.int64)
        longest_first = np.argsort(-lengths, kind="stable")
        begins = (np.cumsum(lengths) - lengths)[longest_first]
        letters = np.frombuffer(b"".join(texts), np.uint8)
        # At step t, the first `left[t]` of them still have a letter.
        left = np.searchsorted(-lengths[longest_first], -np.arange(lengths.max(initial=0)), side="left")
        states = np.zeros(len(texts), np.int64)
        step, seen = 0, [np.empty(0, np.int64)]
        while step < len(left) and left[step] >= FEWEST:
            on = int(left[step])
            states[:on] = self._next[self._base[states[:on]] + letters[begins[:on] + step]]
            features = self._feature[states[:on]]
            met = np.flatnonzero(features >= 0)
            seen.append(longest_first[met] * len(self._feature) + features[met])
            step += 1
        for place in range(int(left[step]) if step < len(left) else 0):
            text = int(longest_first[place])
            met_on = self._on(int(states[place]), texts[text][step:])
            seen.append(np.array(met_on, np.int64) + text * len(self._feature))
        met_once, counts = np.unique(np.concatenate(seen), return_counts=True)
        text_of, features = np.divmod(met_once, len(self._feature))
        return text_of, features, counts

    def _on(self, state: int, letters: bytes) -> list[int]:
        """Walk on alone."""
        following, base, feature_of = self._tables
        features = []
        for letter in letters:
            state = following[base[state] + letter]
            if (feature := feature_of[state]) >= 0:
                features.append(feature)
        return features


@lru_cache(maxsize=1)
def language_model() -> LanguageModel:
    """The language model, loaded once a process: about 90 MB and one second."""
    return LanguageModel(LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True))
