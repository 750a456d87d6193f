"""The parity check of every export: the graph, run as a worker runs it, against the original model.

Sample messages of very different lengths are read by the worker's own devices, each alone and all in one
padded batch, in every precision that the bundle is meant for and this machine has. The prefix's keys and
values come from the graph itself, as in production. `engine.proof` defines what is compared and how much
difference is tolerated; every worker runs it again when it starts.
"""

from collections.abc import Sequence
from itertools import cycle
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bundle import Bundle, Prompt
from engine.bundle.reference import Reference
from engine.device_names import DeviceChoice, Output, PrecisionChoice
from engine.devices.choice import Choice, choose
from engine.errors import DeviceError
from engine.load import open_reader
from engine.proof import Differences, prove
from export.errors import ExportError
from export.exporting.prompt import Encode

Floats = NDArray[np.float32]

# The bounds on a difference that bundle.json can state. Two CPUs would not agree on finer steps.
_BOUNDS: Final = (1e-4, 1e-3, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3)

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
    """The sample messages as tokens; the suffixes of both stages alternate."""
    suffixes = cycle((encode(prompt.risk_suffix), encode(prompt.severity_suffix)))
    return [Sample(encode(text), suffix) for text, suffix in zip(SAMPLES, suffixes, strict=False)]


def reference_of(samples: Sequence[Sample], answers: Sequence[Answer]) -> Reference:
    """The samples with the original model's answers, in the form that the bundle keeps."""
    logits = np.stack([answer.label_logits for answer in answers])
    return Reference.of(samples, logits, np.stack([answer.pooled for answer in answers]))


def gates(device: DeviceChoice, precision: PrecisionChoice) -> list[Choice]:
    """Where parity must be shown: on the CPU in fp32, and on the device and in the precision asked for.

    Raises DeviceError: this machine lacks that device or precision.
    """
    return list(dict.fromkeys([Choice("cpu", "fp32"), choose(device, precision)]))


def check_parity(bundle: Bundle, choices: Sequence[Choice]) -> dict[str, dict[str, float]]:
    """Compare the graph with the original model's answers on each device; return figures for the manifest.

    Raises ExportError: a difference is above the tolerance, or the graph cannot run.
    """
    return {f"{choice.device} {choice.precision}": _figures(bundle, choice) for choice in choices}


def _figures(bundle: Bundle, choice: Choice) -> dict[str, float]:
    found: dict[Output, Differences] = {}
    outputs: dict[Output, bool] = {
        "label_logits": bundle.manifest.layer is None,  # a cut graph has none
        "pooled": bundle.manifest.bound,
    }
    for output in (name for name, there in outputs.items() if there):
        try:
            reader = open_reader(bundle, output, device=choice.device, precision=choice.precision)
            found[output] = prove(reader, bundle, output)
        except DeviceError as error:
            raise ExportError(f"the exported graph fails its gate: {error}") from None
    figures = {"samples": float(len(bundle.reference.rows))}
    if "label_logits" in found:
        figures["label_agreement"] = found["label_logits"].agreement
    figures |= {f"{output}_below": _bound(each.original) for output, each in found.items()}
    figures["batch_below"] = _bound(max(each.batch for each in found.values()))
    return figures


def _bound(difference: float) -> float:
    return next(bound for bound in _BOUNDS if difference <= bound)
