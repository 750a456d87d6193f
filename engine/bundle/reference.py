"""What the original model answered to a few sample messages: reference.npz, kept in the bundle.

Export compares the graph with it, and so does every worker when it starts, on the device and in the
precision that really run there (`engine.proof`): parity is proven where it counts.
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

_MOST_TOKENS = 1 << 18  # a thousand times what the samples have: they are read at once

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class Reference(msgspec.Struct, frozen=True):
    """N sample messages as tokens, and the original's answers.

    `tokens` [N, L], right-padded: message, then suffix. `messages` and `rows` [N] count the tokens of the
    message and of the whole row. `label_logits` [N, labels], without columns once adapted. `pooled`
    [N, layers, hidden], [N, hidden] once cut at a layer, without columns where there is no pooled reading.
    `scores` [N, 1 + levels]: the risk and the severity that the heads make of the original's vectors, without
    columns where there are no heads.
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
        """From (message, suffix) token lists and the answers, rounded to what another CPU agrees on."""
        whole = [[*message, *suffix] for message, suffix in samples]
        tokens = np.zeros((len(whole), max(map(len, whole))), np.int32)
        for line, row in zip(tokens, whole, strict=True):
            line[: len(row)] = row
        messages = np.array([len(message) for message, _ in samples], np.int32)
        rows = np.array([len(row) for row in whole], np.int32)
        return cls(tokens, messages, rows, logits.round(4), _eleven_bits(pooled), _none(len(samples)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it. Raises BundleError: not an archive of number arrays, or not of matching shapes."""
        *wanted, scores = cls.__struct_fields__
        try:
            arrays = read_arrays(path, wanted, optional=(scores,))
        except (ArchiveError, OSError):
            raise BundleError(f"{path} cannot be read: build or copy the bundle again") from None
        ndims = {name: arrays[name].ndim for name in arrays}
        kinds = {name: arrays[name].dtype.kind for name in arrays}
        expected = dict.fromkeys(arrays, "f") | dict.fromkeys(("tokens", "messages", "rows"), "i")
        if 0 in ndims.values() or kinds != expected:
            raise BundleError(f"{path} holds no samples of one kind: build or copy the bundle again")
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
            raise BundleError(f"{path} holds no samples of one kind: build or copy the bundle again")
        return reference

    def save(self, path: Path) -> None:
        """Write it; the same arrays give the same bytes. Without heads, no scores are written."""
        arrays = {name: getattr(self, name) for name in self.__struct_fields__}
        if not self.scores.shape[1]:
            del arrays["scores"]
        np.savez(path, **arrays)

    def fits(self) -> bool:
        """Whether every message and row has tokens, and no more than there are."""
        inside = (self.messages > 0) & (self.messages <= self.rows) & (self.rows <= self.tokens.shape[1])
        return bool(inside.all())

    def at_layer(self, layer: int) -> Self:
        """What an adapted bundle keeps: the vectors of one layer (1-based), no label logits."""
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
    """Keep 11 bits of each mantissa: half the entropy, and a relative error of 0.0003."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return (bits & np.uint32(0xFFFFF000)).view(np.float32)
