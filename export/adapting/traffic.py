"""Unlabelled traffic: which of it is learnt from, and every layer's pooled vectors of it.

Texts stay in memory. A long message is read in windows at run time, so one stretch of it stands for it here,
about as long as a window.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from engine.errors import TaskError
from engine.reading.cutting import sentences_of
from engine.reading.reader import Reader
from export.adapting.heads import Vectors
from export.adapting.windowing import CANDIDATES, UNCUT, read_windows

FEWEST: Final = 200
MOST: Final = 4000
DISTILLING: Final = "distilling"
_CHUNK: Final = 512


class Traffic(NamedTuple):
    """Texts to learn from, in random order, and what was left out of `seen`."""

    texts: list[str]
    seen: int
    empty: int
    repeated: int
    labelled: int


def gather(
    texts: Iterable[str],
    examples: Collection[str],
    most: int = MOST,
    *,
    fewest: int = FEWEST,
    purpose: str = DISTILLING,
) -> Traffic:
    """Draw up to `most` different texts, each with the same chance; `examples` are left out.

    The same texts in the same order give the same draw. Raises TaskError: too few are left for the purpose.
    """
    chance = np.random.default_rng(0)
    known = {example.strip() for example in examples}
    met: set[int] = set()
    kept: list[str] = []
    seen = empty = repeated = labelled = 0
    for text in texts:
        seen += 1
        bare = text.strip()
        if not bare:
            empty += 1
        elif bare in known:
            labelled += 1
        elif (digest := hash(bare)) in met:
            repeated += 1
        else:
            met.add(digest)
            # Reservoir sampling: however long the traffic is, no more than `most` are held.
            if len(kept) < most:
                kept.append(text)
            elif (place := int(chance.integers(len(met)))) < most:
                kept[place] = text
    if len(kept) < fewest:
        raise TaskError(
            f"{purpose} needs {fewest} different unlabelled messages or more, the traffic has {len(kept)} "
            f"(of {seen}: {empty} empty, {repeated} repeated, {labelled} among the labelled examples): "
            f"bring more traffic{', or leave --traffic out' if purpose == DISTILLING else ''}"
        )
    return Traffic([kept[index] for index in chance.permutation(len(kept))], seen, empty, repeated, labelled)


def stretches(reader: Reader, texts: Sequence[str]) -> list[str]:
    """Each text, or where it would be read in windows one stretch of its sentences, drawn at random."""
    windowing = CANDIDATES[0]
    chance = np.random.default_rng(0)
    drawn = []
    for text, tokens in zip(texts, reader.tokenise(texts), strict=True):
        parts = sentences_of(text) if len(tokens) > windowing.whole else [text]
        start = int(chance.integers(len(parts)))
        stretch = parts[start]
        for part in parts[start + 1 :]:
            (longer,) = reader.tokenise([stretch + part])
            if len(longer) > windowing.tokens:
                break
            stretch += part
        drawn.append(stretch)
    return drawn


def read_layers(
    reader: Reader, texts: Sequence[str], layers: int, progress: Callable[[int, int], None]
) -> Vectors:
    """The pooled vectors of the first `layers` layers, one a text: its mean where it is long.

    A cut graph gives those of one.
    """
    vectors = np.empty((len(texts), layers, 0), np.float32)
    for start in range(0, len(texts), _CHUNK):
        progress(start, len(texts))
        read = read_windows(reader, texts[start : start + _CHUNK], UNCUT)
        counts = read.counts[:, np.newaxis, np.newaxis]
        piled = read.windows.reshape(len(read.windows), -1, read.windows.shape[-1])
        means = np.add.reduceat(piled[:, :layers], read.starts, axis=0) / counts
        if not start:
            vectors = np.empty((len(texts), *means.shape[1:]), np.float32)
        vectors[start : start + len(means)] = means
    progress(len(texts), len(texts))
    return Vectors(vectors, np.arange(len(texts)))
