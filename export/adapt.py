"""Turns a full bundle and 10 to 50 labelled examples into an adapted one, in seconds and without torch.

    read      every layer's pooled vector of every example, on the engine's own device
    choose    layer and regularisation, by cross-validation          (heads.py)
    fit       risk and severity heads on all examples; calibration   (heads.py)
    bound     thresholds with a stated bound on misses               (thresholds.py)
    cut       the graph at the layer, checked against the full one   (cut.py)

The same examples on the same device give the same bundle; another device rounds otherwise. What is not
guaranteed: that the examples are like the stream.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from sklearn.metrics import f1_score, roc_auc_score
from threadpoolctl import threadpool_limits

from export.cut import cut_graph
from export.heads import Chosen, Ints, Platt, Vectors, choose, fit_platt, fit_risk, fit_severity
from export.staging import staged
from export.thresholds import conformal_bounds, needed
from worker.bundle import CALIBRATION, HEADS, TOKENIZER, Bundle, Calibration, Heads, write_manifest
from worker.engine import DeviceChoice, PrecisionChoice, Reader, open_reader
from worker.engine.proof import head_scores, prove
from worker.engine.reading import Windowing, cut, sigmoid
from worker.errors import BundleError, TaskError
from worker.reference import REFERENCE
from worker.task import LabelledExample, Task

Progress = Callable[[str, int, int], None]

FEWEST: Final = 10
_FEWEST_OF_A_CLASS: Final = 2  # cross-validation needs one to fit and one to test
# Of the pooled vector's standard deviations. The device rounds; a wrong layer is off by whole ones.
_CUT_TOLERANCE: Final = {"fp32": 1e-2, "bf16": 0.5, "fp16": 0.1, "int8": 0.5}


class AdaptReport(msgspec.Struct, frozen=True):
    """What was chosen and what to expect. Scores are out-of-fold: by heads that had not seen the example.

    `positives_needed` of each class are needed before a threshold can promise anything.
    `cut_difference`: cut graph against full graph, in standard deviations of the vector's features.
    """

    bundle: Path
    fingerprint: str
    runs: str
    layer: int
    layers: int
    strength: float
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
    cut_difference: float
    seconds: float


def adapt(
    bundle: Path,
    examples: Sequence[LabelledExample],
    out: Path,
    progress: Progress,
    *,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int = 0,
) -> AdaptReport:
    """Write the adapted bundle `out` from the full bundle and at least 10 examples of both classes.

    `progress` gets a stage's name, how much of it is done, and how much there is.

    Raises TaskError: too few examples, of one class only, or heads that tell nothing apart. BundleError: the
    bundle is not a full one, `out` exists, or the cut graph differs from the full one. DeviceError: as in
    `load_engine`.
    """
    began = time.monotonic()
    labels = _labels(examples)
    if out.exists():
        raise BundleError(f"{out} exists already: remove it, or give another --out")
    full = Bundle.load(bundle)
    if full.manifest.layer is not None:
        raise BundleError(f"{bundle} is cut already: adapt the full bundle that it was made from")
    if not full.manifest.bound:
        raise BundleError(
            f"{bundle} has the prompted reading only, as its encoder reads in both directions: "
            "adapt a bundle of another model, or evaluate this one as it is"
        )
    reader = open_reader(full, "pooled", device=device, precision=precision, threads=threads)
    prove(reader, full, "pooled")
    vectors = _read(reader, [example.text for example in examples], progress)
    runs = f"{reader.device.name} {reader.device.precision}"
    del reader  # it holds the full model; the cut one is opened below
    # The matrices are tiny: threads of the linear algebra library only wait for one another.
    with threadpool_limits(1, "blas"):
        chosen = choose(vectors, labels, lambda done, total: progress("choose the layer", done, total))
        heads, platt = _fit(vectors, chosen, labels, examples, full.manifest.task)
    if not platt.slope > 0:
        raise TaskError(
            "heads fitted on these examples rank others no better than chance: check the labels, bring more"
        )
    risks = sigmoid(platt.slope * chosen.decisions + platt.shift)
    rate = full.manifest.task.policy.tolerated_miss_rate
    bounds = conformal_bounds(risks, labels, rate)
    positives = int(labels.sum())
    name = f"examples-{examples_digest(examples)}"
    graded = sum(example.severity is not None for example in examples)
    highest = float(risks.max())
    calibration = Calibration(name, bounds.lower, bounds.upper, rate, len(labels), positives, highest, graded)
    progress("cut the graph", 0, 1)
    with staged(out) as folder:
        fingerprint = _write(full, folder, chosen.layer, heads, calibration)
        cut = Bundle.load(folder)
        cut_reader = open_reader(cut, "pooled", device=device, precision=precision, threads=threads)
        prove(cut_reader, cut, "pooled")
        difference = _difference(cut_reader, vectors, chosen.layer, heads, examples)
        if not difference <= _CUT_TOLERANCE[cut_reader.device.precision]:
            raise BundleError(
                f"the graph cut at layer {chosen.layer} is off by {difference:.3g} standard deviations: "
                "export the bundle again"
            )
    progress("cut the graph", 1, 1)
    return AdaptReport(
        bundle=out,
        fingerprint=fingerprint,
        runs=runs,
        layer=chosen.layer,
        layers=full.manifest.source.layers,
        strength=chosen.strength,
        examples=len(labels),
        positives=positives,
        graded=graded,
        positives_needed=needed(rate),
        auc=float(roc_auc_score(labels, risks)),
        f1=float(f1_score(labels, risks >= 0.5)),  # noqa: PLR2004 - even odds
        lower=bounds.lower,
        upper=bounds.upper,
        tolerated_miss_rate=rate,
        cleared=float((risks < bounds.lower).mean()),
        escalated=float((risks >= bounds.upper).mean()),
        layer_losses=tuple(chosen.losses.tolist()),
        cut_difference=difference,
        seconds=time.monotonic() - began,
    )


def examples_digest(examples: Sequence[LabelledExample]) -> str:
    """12 hex digits that tell one set of labelled texts from another, in whatever order and file."""
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
    rows = cut(reader.tokenise(texts), Windowing(), (), reader.prompt.blank)
    done = 0

    def count(read: int) -> None:
        nonlocal done
        done += read
        progress("read the examples", done, len(rows.tokens))

    return Vectors(reader.rows(rows.tokens, count), np.array([span.start for span in rows.spans], np.int64))


def _fit(
    vectors: Vectors, chosen: Chosen, labels: Ints, examples: Sequence[LabelledExample], task: Task
) -> tuple[Heads, Platt]:
    """Fit both heads on all examples; the calibration goes into the risk head's weight and bias."""
    means = vectors.means(vectors.layer(chosen.layer))
    risk = fit_risk(means, labels, chosen.strength)
    platt = fit_platt(chosen.decisions, labels)
    graded = [index for index, example in enumerate(examples) if example.severity is not None]
    levels = [task.level_names.index(examples[index].severity or "") for index in graded]
    z = (means[graded] - risk.mean) / risk.scale
    severity = fit_severity(z, np.array(levels, np.int64), len(task.level_names), chosen.strength)
    heads = Heads(
        mean=risk.mean.astype(np.float32),
        scale=risk.scale.astype(np.float32),
        risk_weight=(platt.slope * risk.weight).astype(np.float32),
        risk_bias=np.array(platt.slope * risk.bias + platt.shift, np.float32),
        severity_weight=severity[0].astype(np.float32),
        severity_bias=severity[1].astype(np.float32),
    )
    return heads, platt


def _write(full: Bundle, folder: Path, layer: int, heads: Heads, calibration: Calibration) -> str:
    cut_graph(full.path, layer, folder)
    (folder / TOKENIZER).write_bytes((full.path / TOKENIZER).read_bytes())
    kept = full.reference.at_layer(layer)
    msgspec.structs.replace(kept, scores=head_scores(heads, kept.pooled)).save(folder / REFERENCE)
    np.savez(folder / HEADS, **{name: getattr(heads, name) for name in heads.__struct_fields__})
    (folder / CALIBRATION).write_bytes(
        msgspec.json.format(msgspec.json.encode(calibration), indent=2) + b"\n"
    )
    manifest = msgspec.structs.replace(full.manifest, reading="pooled", layer=layer, labels=())
    return write_manifest(folder, manifest)


def _difference(
    reader: Reader, full: Vectors, layer: int, heads: Heads, examples: Sequence[LabelledExample]
) -> float:
    """The largest difference of a vector's feature, in that feature's standard deviations."""
    again = _read(reader, [example.text for example in examples], lambda *_: None)
    return float(np.max(np.abs(again.windows - full.windows[:, layer - 1]) / heads.scale))
