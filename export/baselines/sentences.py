"""A sentence embedding with logistic regression: what many would pick instead of a language model."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import FunctionTransformer

from engine.bundle.tokenizer_trial import try_tokenizer
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.devices.device import CPU_RUN_COST
from engine.devices.plain import open_plain
from engine.errors import BundleError
from engine.reading.packing import pack
from export.baselines.logistic import FEWEST, fit_logistic, labels_of
from export.baselines.sentence_folder import TOKENIZER, Pooling, SentenceFolder, read_folder
from export.examples import LabelledExample

# Vectors that are there already are taken first; the graph's own names for the tokens' states come after.
_POOLED: Final = "sentence_embedding"
_TOKENS: Final = ("last_hidden_state", "token_embeddings")
_RUN: Final = 2048  # rows x padded length of a run
_STRENGTHS: Final = (1.0, 3.0, 10.0, 30.0)

Vectors = NDArray[np.float32]


class SentenceEmbedding:
    """A folder's model, opened: texts become vectors."""

    def __init__(
        self,
        folder: Path,
        *,
        device: DeviceChoice = "auto",
        precision: PrecisionChoice = "auto",
        threads: int = 0,
    ) -> None:
        """Raises BundleError: as `read_folder`, or the graph is none. DeviceError: it cannot run so here."""
        self.settings = read_folder(folder)
        self._tokenizer = _tokenizer(self.settings)
        self._graph, self._output = open_plain(
            self.settings.model(),
            (_POOLED, *_TOKENS),
            device=device,
            precision=precision,
            threads=threads,
        )
        unknown = set(self._graph.inputs) - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown or "input_ids" not in self._graph.inputs:
            raise BundleError(f"the graph of {folder} takes {', '.join(self._graph.inputs)[:200]}")
        self.runs = self._graph.runs

    def vectors(self, texts: Sequence[str], count: Callable[[int], None] = lambda _: None) -> Vectors:
        """One vector per text [N, width]. `count` is told how many more texts were read."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch([self._asked(t) for t in texts])]
        found: Vectors | None = None
        for group in pack([max(1, len(row)) for row in rows], _RUN, CPU_RUN_COST):
            read = self._run([rows[index] for index in group])
            if found is None:
                found = np.empty((len(rows), read.shape[1]), np.float32)
            found[group] = read
            count(len(group))
        return np.empty((0, 0), np.float32) if found is None else found

    def _asked(self, text: str) -> str:
        whole = self.settings.before + text
        return whole.lower() if self.settings.lowered else whole

    def _run(self, rows: list[list[int]]) -> Vectors:
        ids = np.zeros((len(rows), max(1, *map(len, rows))), np.int64)
        mask = np.zeros_like(ids)
        for line, row in enumerate(rows):
            ids[line, : len(row)] = row
            mask[line, : len(row)] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = self._graph.run({name: given[name] for name in self._graph.inputs})
        vectors = states if self._output == _POOLED else _pooled(states, mask, self.settings.pooling)
        if vectors.ndim != 2:  # noqa: PLR2004 - rows of vectors
            raise BundleError(f"the graph of {self.settings.path} gives no vector for each text")
        if self.settings.normalised:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors


class SentencesWay:
    """A logistic regression on the examples' vectors as they are: standardised, F1 was a point less."""

    name: Final = "sentence embedding + logistic regression"
    fewest: Final = FEWEST

    def __init__(self, embedding: SentenceEmbedding, seed: int = 0) -> None:
        """`seed` draws the folds of cross-validation."""
        self._embedding = embedding
        self._seed = seed
        # The same texts come again with each draw of examples.
        self._known: dict[str, Vectors] = {}
        self.messages_per_second: float | None = None

    def risks(
        self, examples: Sequence[LabelledExample], texts: Sequence[str], count: Callable[[int], None]
    ) -> NDArray[np.float64]:
        """See Way.risks. Raises TaskError: a kind of example is missing."""
        labels = labels_of(self.name, examples)
        shown = self._vectors([each.text for each in examples], lambda _: None)
        fitted = fit_logistic(FunctionTransformer(), shown, labels, _STRENGTHS, self._seed)
        if not texts:
            return np.empty(0)
        return fitted.risks(self._vectors(texts, count))

    def _vectors(self, texts: Sequence[str], count: Callable[[int], None]) -> Vectors:
        unread = [text for text in dict.fromkeys(texts) if text not in self._known]
        if unread:
            self._embedding.vectors(unread[:1])  # the first run of a shape may compile
            began = time.perf_counter()
            read = self._embedding.vectors(unread)
            self.messages_per_second = len(unread) / max(time.perf_counter() - began, 1e-9)
            self._known |= dict(zip(unread, read, strict=True))
        count(len(texts))
        return np.stack([self._known[text] for text in texts])


def _tokenizer(folder: SentenceFolder) -> Any:
    from tokenizers import Tokenizer  # noqa: PLC0415

    try_tokenizer(folder.path / TOKENIZER, "", (folder.before,))
    tokenizer = Tokenizer.from_file(str(folder.path / TOKENIZER))
    tokenizer.enable_truncation(folder.longest)
    tokenizer.no_padding()
    return tokenizer


def _pooled(states: Vectors, mask: NDArray[np.int64], pooling: Pooling) -> Vectors:
    if states.ndim != 3:  # noqa: PLR2004 - rows, tokens, features
        raise BundleError("the graph gives no state for each token")
    seen = mask[..., None].astype(bool)
    if pooling == "cls":
        pooled = states[:, 0]
    elif pooling == "max":
        pooled = np.where(seen, states, -np.inf).max(axis=1)
    else:
        pooled = np.where(seen, states, 0.0).sum(axis=1) / np.maximum(mask.sum(axis=1, keepdims=True), 1)
    return np.asarray(pooled, np.float32)
