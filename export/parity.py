"""The gate every export passes: the graph, run as a worker runs it, against the original model.

Sample messages of very different lengths are read by the worker's own ONNX Runtime device, each alone and
all in one padded batch. The prefix's keys and values come from the graph itself, as in production.

Not guaranteed: parity in another precision or on another device, which have gates of their own.
"""

from collections.abc import Sequence
from itertools import cycle
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.prompt import Encode
from worker.bundle import Bundle, Manifest, Prompt
from worker.engine.contract import Device, Output
from worker.engine.load import open_reader
from worker.errors import ExportError

TOLERANCE: Final = 1e-3

Floats = NDArray[np.float32]

SAMPLES: Final = (
    "ok",
    "lunch at 12?",
    "I passed!! three years of night school and it is finally over :)",
    "cant sleep again. its 4am and i keep going over what he said to me",
    "この頃ずっと眠れなくて、会社に行くのがつらい。",
    "everything is due on friday and my manager just added two more things to the list 🙃",
    "We moved the meeting to Tuesday, same room. Bring the figures for the third quarter and a charger.",
    (
        "honestly I don't know how much longer I can keep this up. The rent went up, my hours went down, "
        "mum is in hospital again and the car failed its test. I just sat in the kitchen and cried. "
        "Sorry for the long message, there is nobody else awake."
    ),
)


class Sample(NamedTuple):
    """The tokens of a message, and of the suffix that asks about it."""

    message: list[int]
    suffix: list[int]


class Answer(NamedTuple):
    """`label_logits` [labels] and `pooled` [layers, hidden] for one sample."""

    label_logits: Floats
    pooled: Floats


def samples_for(prompt: Prompt, encode: Encode) -> list[Sample]:
    """The sample messages as tokens, with the stages' suffixes in turn."""
    suffixes = cycle((encode(prompt.risk_suffix), encode(prompt.severity_suffix)))
    return [Sample(encode(text), suffix) for text, suffix in zip(SAMPLES, suffixes, strict=False)]


class Parity(NamedTuple):
    """How far the graph is from the original, over all samples, alone and padded.

    `differences` are the largest absolute ones of label logits, relative ones of pooled vectors, and
    those between a row alone and the same row in a padded batch. `label_agreement` is the share of
    samples and stages whose highest label is the same.
    """

    samples: int
    differences: dict[str, float]
    label_agreement: float

    @property
    def figures(self) -> dict[str, float]:
        """What the manifest keeps: bounds, which another CPU's rounding does not change."""
        below = {f"{name}_below": _bound(value) for name, value in self.differences.items()}
        return {"samples": float(self.samples), "label_agreement": self.label_agreement, **below}


def check_parity(bundle: Bundle, samples: Sequence[Sample], expected: Sequence[Answer]) -> Parity:
    """Compare the bundle's graph with the original's answers.

    Raises ExportError: a difference is above the tolerance, or the graph cannot run.
    """
    logits = _read(bundle, "label_logits", [sample.message + sample.suffix for sample in samples])
    true_logits = np.stack([answer.label_logits for answer in expected])
    differences = {
        "label_logits": max(_largest(logits.alone, true_logits), _largest(logits.padded, true_logits)),
        "batch": _largest(logits.padded, logits.alone),
    }
    if bundle.manifest.bound:
        pooled = _read(bundle, "pooled", [sample.message for sample in samples])
        true_pooled = np.stack([answer.pooled for answer in expected])
        differences = {
            "label_logits": differences["label_logits"],
            "pooled": max(_relative(pooled.alone, true_pooled), _relative(pooled.padded, true_pooled)),
            "batch": max(differences["batch"], _relative(pooled.padded, pooled.alone)),
        }
    for name, difference in differences.items():
        # Not `difference > TOLERANCE`: that lets NaN through.
        if not difference <= TOLERANCE:
            raise ExportError(
                f"the exported graph is not the original model: {name} differs by {difference:.2g}, "
                f"{TOLERANCE:g} is tolerated; this family or this version of transformers is not supported"
            )
    return Parity(len(samples), differences, _agreement(bundle.manifest, logits.padded, true_logits))


class _Readings(NamedTuple):
    alone: Floats
    padded: Floats


def _read(bundle: Bundle, output: Output, rows: list[list[int]]) -> _Readings:
    reader = open_reader(bundle, output, device="cpu", precision="fp32")
    device, rows = reader.device, [reader.lead + row for row in rows]
    return _Readings(np.concatenate([_run(device, [row]) for row in rows]), _run(device, rows))


def _run(device: Device, rows: list[list[int]]) -> Floats:
    lengths = np.array([len(row) for row in rows], np.int64)
    ids = np.zeros((len(rows), int(lengths.max())), np.int64)
    for line, row in zip(ids, rows, strict=True):
        line[: len(row)] = row
    try:
        return device.run(ids, lengths)
    except Exception as error:  # noqa: BLE001 - device libraries raise what they like
        reason = str(error).strip().splitlines()[0]
        raise ExportError(
            f"the exported graph cannot run {len(rows)} rows of up to {ids.shape[1]} tokens: {reason}"
        ) from None


def _largest(actual: Floats, expected: Floats) -> float:
    return float(np.abs(actual - expected).max())


def _relative(actual: Floats, expected: Floats) -> float:
    """Per vector: some models keep values in the thousands in a few dimensions."""
    return float((np.linalg.norm(actual - expected, axis=-1) / np.linalg.norm(expected, axis=-1)).max())


def _agreement(manifest: Manifest, actual: Floats, expected: Floats) -> float:
    # Not gated: below the tolerance only labels that are as good as tied can change places.
    stages = [label.stage for label in manifest.labels]
    same = [
        actual[:, columns].argmax(axis=1) == expected[:, columns].argmax(axis=1)
        for stage in ("risk", "severity")
        if (columns := [column for column, each in enumerate(stages) if each == stage])
    ]
    return float(np.mean(same))


def _bound(difference: float) -> float:
    # Finer steps would be finer than what two CPUs agree on.
    return next(bound for bound in (1e-4, TOLERANCE) if difference <= bound)
