"""Turns a full bundle and 10 to 50 labelled examples into an adapted one, in seconds and without torch.

    read      every layer's pooled vector of every example, on the engine's own device
    choose    the layer, by cross-validation                         (heads.py)
    distil    a shallower layer, where there is unlabelled traffic   (distilled.py, distilling.py)
    weigh     a cascade: a depth before that, where a message may stop  (stopping.py)
    cut       the graph at the layer, checked against the full one   (cut.py, split.py)
    window    how long messages are read                             (windowing.py)
    fit       risk and severity heads on all examples; calibration   (fit.py, heads.py)
    bound     thresholds with a stated bound on misses               (thresholds.py)
    open      the result as a worker does, to check that its thresholds hold for its scores
    expect    what the traffic looks like, to tell later how far the stream has moved   (expected.py)

The same examples on the same device give the same bundle; another device rounds differently. There is no
guarantee that the examples are like the stream.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from sklearn.metrics import f1_score, roc_auc_score
from threadpoolctl import threadpool_limits

from engine.bundle import Bundle
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.errors import BundleError, TaskError
from engine.identity import Windowing
from engine.load import engine_on, open_reader
from engine.proof import prove
from engine.reading.reader import Reader
from export.adapting.cut import cut_bundle
from export.adapting.distilled import Distillation, Distilled, distil, prepare
from export.adapting.expected import write_expected
from export.adapting.fit import fit, levels_of
from export.adapting.heads import Ints, Vectors, choose, from_labels, grade_from_labels, standard
from export.adapting.in_context import InContext
from export.adapting.split import split_bundle
from export.adapting.thresholds import needed
from export.adapting.windowing import UNCUT
from export.adapting.writing import graded, write_adapted
from export.building.staging import require_room, staged
from export.checking import Finding, checked
from export.examples import LabelledExample

Progress = Callable[[str, int, int], None]

FEWEST: Final = 10
_FEWEST_OF_A_CLASS: Final = 2  # Cross-validation needs one to fit on and one to test on.
# In standard deviations of the pooled vector's features. Rounding by the device makes small differences; a
# wrong layer differs by whole standard deviations.
_CUT_TOLERANCE: Final = {"fp32": 1e-2, "bf16": 0.5, "fp16": 0.1, "int8": 0.5}


class AdaptReport(msgspec.Struct, frozen=True):
    """What was chosen and what to expect. Scores are out-of-fold: by heads that had not seen the example.

    Each class needs `positives_needed` examples before its threshold can promise anything. `cut_difference`
    is the largest difference between cut and full graph, in standard deviations of the vector's features.
    `in_context` is for whoever compares the head with shots in the prompt (`in_context.py`).
    """

    bundle: Path
    fingerprint: str
    runs: str
    layer: int
    layers: int
    examples: int
    positives: int
    graded: int
    positives_needed: int
    auc: float
    f1: float
    lower: float
    upper: float
    tolerated_miss_rate: float
    cleared: float
    escalated: float
    layer_losses: tuple[float, ...]
    windowing: Windowing
    cut_difference: float
    seconds: float
    distilled: Distilled | None
    findings: tuple[Finding, ...]
    in_context: InContext | None = None


def adapt(
    bundle: Path,
    examples: Sequence[LabelledExample],
    out: Path,
    progress: Progress,
    *,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int = 0,
    distillation: Distillation | None = None,
    test: Sequence[LabelledExample] = (),
    layer: int | None = None,
) -> AdaptReport:
    """Write the adapted bundle `out` from the full bundle and at least 10 examples of both classes.

    `progress` gets a stage's name, how much of it is done, and how much there is in all. With a
    `distillation` a shallower reading learns from the head on unlabelled traffic, and the graph is cut there.
    None of the `test` examples may be among those to adapt on. Without a distillation, `layer` is the one to
    cut at; by default it is chosen. Bundles of one model that are cut at one layer have the same graph.

    Raises TaskError: the model has no such layer, there are too few examples, or of one class only, they
    contradict one another (`export/checking.py`), or heads fitted on them rank others no better than chance.
    BundleError: the bundle is not a full one, `out` exists or cannot be written, or the cut graph differs
    from the full one.
    DeviceError: as in `load_engine`.
    """
    began = time.monotonic()
    if out.exists():
        raise BundleError(f"{out} exists already: remove it, or give another --out")
    require_room(out)
    full = Bundle.load(bundle)
    if full.manifest.layer is not None:
        raise BundleError(f"{bundle} is cut already: adapt the full bundle that it was made from")
    if not full.manifest.bound:
        raise BundleError(
            f"{bundle} has the prompted reading only, as its encoder reads in both directions: "
            "adapt a bundle of another model, or evaluate this one as it is"
        )
    if layer is not None and not 1 <= layer <= full.manifest.source.layers:
        raise TaskError(f"--depth {layer}: the model has layers 1 to {full.manifest.source.layers}")
    digest = examples_digest(examples)
    examples, findings = checked(examples, full.manifest.task, test)
    labels = _labels(examples)
    texts = [example.text for example in examples]
    traffic = None if distillation is None else prepare(distillation, full, texts)
    open_pooled = partial(open_reader, output="pooled", device=device, precision=precision, threads=threads)
    reader = open_pooled(full)
    prove(reader, full, "pooled")
    vectors = _read(reader, texts, progress)
    runs = f"{reader.device.name} {reader.device.precision}"
    del reader  # It holds the full model in memory; cut ones are opened below.
    # The matrices are so small that several threads of the linear algebra library only wait for one another.
    with threadpool_limits(1, "blas"):
        chosen = choose(vectors, labels, partial(progress, "choose the layer"), layer)
    levels, distilled, shallow = levels_of(examples, full.manifest.task), None, None
    learn, grade = from_labels(labels), grade_from_labels(levels)
    if distillation is not None and traffic is not None:
        chosen, learn, grade, distilled, shallow = distil(
            distillation,
            traffic,
            vectors,
            chosen,
            labels,
            levels,
            texts,
            full,
            open_pooled,
            out,
            digest,
            progress,
        )
    progress("cut the graph", 0, 1)
    with staged(out) as folder:
        cut = (
            cut_bundle(full, chosen.layer, folder)
            if shallow is None
            else split_bundle(full, shallow.layer, chosen.layer, folder)
        )
        cut_reader = open_pooled(cut)
        prove(cut_reader, cut, "pooled")
        difference = _difference(cut_reader, vectors, chosen.layer, texts)
        if not difference <= _CUT_TOLERANCE[cut_reader.device.precision]:
            raise BundleError(
                f"the graph cut at layer {chosen.layer} is off by {difference:.3g} standard deviations: "
                "export the bundle again"
            )
        progress("choose the windows", 0, 1)
        fitted = fit(cut_reader, vectors, chosen, labels, examples, full.manifest.task, learn, grade, shallow)
        progress("choose the windows", 1, 1)
        fingerprint = write_adapted(cut, fitted, examples, digest, cut_reader.device.precision)
        # Open it as a worker does, to check that it scores by the identity its thresholds were fitted on.
        written = Bundle.load(folder)
        engine = engine_on(cut_reader, written)
        written.thresholds_for(engine.identity)
        if traffic is not None:
            fingerprint = write_expected(written, engine, traffic.texts, progress)
    risks, bounds = fitted.risks, fitted.bounds
    rate = full.manifest.task.policy.tolerated_miss_rate
    positives = int(labels.sum())
    progress("cut the graph", 1, 1)
    return AdaptReport(
        bundle=out,
        fingerprint=fingerprint,
        runs=runs,
        layer=chosen.layer,
        layers=full.manifest.source.layers,
        examples=len(labels),
        positives=positives,
        graded=graded(examples),
        positives_needed=needed(rate),
        auc=float(roc_auc_score(labels, risks)),
        f1=float(f1_score(labels, risks >= 0.5)),  # noqa: PLR2004 - even odds
        lower=bounds.lower,
        upper=bounds.upper,
        tolerated_miss_rate=rate,
        cleared=float((risks < bounds.lower).mean()),
        escalated=float((risks >= bounds.upper).mean()),
        layer_losses=tuple(chosen.losses.tolist()),
        windowing=fitted.windowing,
        cut_difference=difference,
        seconds=time.monotonic() - began,
        distilled=distilled,
        findings=findings,
    )


def examples_digest(examples: Sequence[LabelledExample]) -> str:
    """Return 12 hex digits that identify a set of labelled texts, whatever their order and file."""
    lines = sorted(
        msgspec.json.encode((example.text, example.at_risk, example.severity)) for example in examples
    )
    return hashlib.sha256(b"\n".join(lines)).hexdigest()[:12]


def _labels(examples: Sequence[LabelledExample]) -> Ints:
    labels = np.array([example.at_risk for example in examples], np.int64)
    positives = int(labels.sum())
    if len(labels) < FEWEST or min(positives, len(labels) - positives) < _FEWEST_OF_A_CLASS:
        raise TaskError(
            f"adapting needs {FEWEST} labelled examples or more, at least {_FEWEST_OF_A_CLASS} at risk and "
            f"{_FEWEST_OF_A_CLASS} not: there are {positives} and {len(labels) - positives}"
        )
    return labels


def _read(reader: Reader, texts: Sequence[str], progress: Progress) -> Vectors:
    rows = reader.cutter(UNCUT).cut(texts)
    done = 0

    def count(read: int) -> None:
        nonlocal done
        done += read
        progress("read the examples", done, len(rows.tokens))

    return Vectors(reader.rows(rows.tokens, count), np.array([span.start for span in rows.spans], np.int64))


def _difference(reader: Reader, full: Vectors, layer: int, texts: Sequence[str]) -> float:
    """Return the largest difference of any feature, in standard deviations of that feature."""
    again = _read(reader, texts, lambda *_: None)
    _, scale = standard(full.means(full.layer(layer)))
    return float(np.max(np.abs(again.windows - full.windows[:, layer - 1]) / scale))
