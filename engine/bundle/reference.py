"""The original model's answers to a few sample messages: reference.npz, kept in the bundle.

Export compares the graph with these answers. So does every worker when it starts, on the device and in the
precision that it really uses (`engine.proof`): parity is proven where it matters.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.bundle.archive import ArchiveError, read_arrays
from engine.errors import BundleError

REFERENCE = "reference.npz"
SHALLOW_REFERENCE = "shallow-reference.npz"

_MOST_TOKENS = 1 << 18  # a thousand times what the samples have; all samples are read in one batch

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class Reference(msgspec.Struct, frozen=True):
    """N sample messages as tokens, and the original model's answers.

    `tokens` [N, L], right-padded: message, then suffix. `messages` and `rows` [N] count the tokens of the
    message and of the whole row. `label_logits` [N, labels] has no columns once the bundle is adapted.
    `pooled` is [N, layers, hidden], or [N, hidden] once the graph is cut at a layer; it has no columns where
    there is no pooled reading. `scores` [N, 1 + levels] holds the risk and the severity that the heads
    compute from the original model's vectors; it has no columns where there are no heads.
    """

    tokens: Ints
    messages: Ints
    rows: Ints
    label_logits: Floats
    pooled: Floats
    scores: Floats

    @classmethod
    def of(
        cls, samples: Sequence[tuple[Sequence[int], Sequence[int]]], logits: Floats, pooled: Floats
    ) -> Self:
        """Make it from (message, suffix) token lists and answers, rounded to what another CPU agrees on."""
        whole = [[*message, *suffix] for message, suffix in samples]
        tokens = np.zeros((len(whole), max(map(len, whole))), np.int32)
        for line, row in zip(tokens, whole, strict=True):
            line[: len(row)] = row
        messages = np.array([len(message) for message, _ in samples], np.int32)
        rows = np.array([len(row) for row in whole], np.int32)
        return cls(tokens, messages, rows, logits.round(4), _eleven_bits(pooled), _none(len(samples)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it. Raises BundleError: not an archive of number arrays, or their shapes do not match."""
        *wanted, scores = cls.__struct_fields__
        try:
            arrays = read_arrays(path, wanted, optional=(scores,))
        except (ArchiveError, OSError):
            raise BundleError(f"{path} cannot be read: build or copy the bundle again") from None
        ndims = {name: arrays[name].ndim for name in arrays}
        kinds = {name: arrays[name].dtype.kind for name in arrays}
        expected = dict.fromkeys(arrays, "f") | dict.fromkeys(("tokens", "messages", "rows"), "i")
        if 0 in ndims.values() or kinds != expected:
            raise BundleError(f"{path} holds no matching arrays of samples: build or copy the bundle again")
        arrays.setdefault(scores, _none(len(arrays["tokens"])))
        reference = cls(**arrays)
        counts = {len(getattr(reference, name)) for name in cls.__struct_fields__}
        if (
            len(counts) != 1
            or 0 in counts
            or (reference.tokens.ndim, reference.scores.ndim) != (2, 2)
            or reference.tokens.size > _MOST_TOKENS
            or not reference.fits()
        ):
            raise BundleError(f"{path} holds no matching arrays of samples: build or copy the bundle again")
        return reference

    def save(self, path: Path) -> None:
        """Write it; the same arrays give the same bytes. Where there are no heads, no scores are written."""
        arrays = {name: getattr(self, name) for name in self.__struct_fields__}
        if not self.scores.shape[1]:
            del arrays["scores"]
        np.savez(path, **arrays)

    def fits(self) -> bool:
        """Whether every message and every row has at least one token, and no more than `tokens` holds."""
        inside = (self.messages > 0) & (self.messages <= self.rows) & (self.rows <= self.tokens.shape[1])
        return bool(inside.all())

    def at_layer(self, layer: int) -> Self:
        """What an adapted bundle keeps: the vectors of one layer (1-based), and no label logits."""
        return msgspec.structs.replace(
            self,
            label_logits=self.label_logits[:, :0],
            pooled=np.ascontiguousarray(self.pooled[:, layer - 1]),
        )

    def rows_for(self, *, suffix: bool) -> list[list[int]]:
        """The samples' tokens, with or without the suffix."""
        lengths = self.rows if suffix else self.messages
        return [line[:length].tolist() for line, length in zip(self.tokens, lengths, strict=True)]


def _none(count: int) -> Floats:
    return np.zeros((count, 0), np.float32)


def _eleven_bits(array: Floats) -> Floats:
    """Keep 11 bits of each mantissa, which halves the entropy at a relative error of 0.0003."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return (bits & np.uint32(0xFFFFF000)).view(np.float32)
