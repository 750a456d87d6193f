"""States how many people a bundle misses, on examples that its heads have not seen, in a copy of it.

keep apart   repeated examples, and those that adapt used, are left out           (apart.py)
read         examples as a worker reads messages, and traffic where it is given   (risks.py)
conclude     thresholds by a bound; odds by which risks mean what they say        (conclusion.py)
write        a copy with the new calibration.json, opened as a worker does
report       what it means for the stream and for those who review                (workload.py)
"""

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from engine.bundle import CALIBRATION, Bundle, Calibration, write_manifest
from engine.bundle.calibration import Share, Statement
from engine.bundle.signature import SIGNATURE
from engine.device_names import DeviceChoice, Output, PrecisionChoice
from engine.errors import BundleError
from engine.identity import MAX_MESSAGE_TOKENS
from engine.load import engine_on, identity_of, open_reader
from engine.odds import Array, Odds
from engine.reading.reader import Reader
from export.adapting.adapt import examples_digest
from export.adapting.heads import Ints
from export.building.staging import require_room, staged
from export.calibrating.apart import Apart, keep_apart
from export.calibrating.conclusion import Conclusion, conclude
from export.calibrating.goal import Goal, require_between, require_enough, require_possible
from export.calibrating.risks import Risks
from export.calibrating.share import MOST, draw, fits, from_traffic
from export.calibrating.stating import Bin, calibration_error, reliability, stated_apart
from export.calibrating.workload import Workload, workload
from export.examples import LabelledExample

Progress = Callable[[str, int, int], None]

_POINTS: Final = 51


class Point(msgspec.Struct, frozen=True):
    """What another `lower` would do: the share missed of those at risk, and the share of all reviewed."""

    lower: float
    missed: float
    reviewed: float


class CalibrateReport(msgspec.Struct, frozen=True):
    """What is stated of the new bundle, and on what.

    `workloads` are at the stream's share, and at either end of its interval if it was estimated. Of clear
    messages, people see the share `sampled`. `calibration_error` (expected, in ten bins) and `reliability`
    are at the stream's share, of risks by odds fitted without the example. `traffic_fits` is false where the
    traffic's risks are no mixture of those of the examples. `was_signed`: the bundle had a signature, which
    the copy has not.
    """

    bundle: Path
    fingerprint: str
    runs: str
    scored_by: str
    apart: Apart
    lower: float
    upper: float
    statement: Statement
    odds: Odds
    workloads: tuple[Workload, ...]
    sampled: float
    calibration_error: float
    reliability: tuple[Bin, ...]
    curve: tuple[Point, ...]
    traffic_fits: bool | None
    was_signed: bool
    seconds: float


def calibrate(
    bundle: Path,
    examples: Sequence[LabelledExample],
    out: Path,
    progress: Progress,
    goal: Goal,
    *,
    share: Share | None = None,
    traffic: Iterable[str] | None = None,
    most: int = MOST,
    adapted_on: Sequence[LabelledExample] | None = None,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int = 0,
    sampled: float | None = None,
) -> CalibrateReport:
    """Write `out`, a copy of `bundle` with thresholds whose bound is stated; `bundle` stays as it is.

    Without a `share` of the stream's messages at risk, it is estimated from up to `most` texts of the
    `traffic`; without either, the examples' own is taken. `adapted_on` are the examples that the heads were
    fitted on, where they are known. `sampled` is the share of clear messages that people see, by default the
    task's.

    Raises SettingsError: the goal or share is not between 0 and 1. TaskError: the examples are too few, or
    those that the bundle was adapted on; the share cannot be estimated. BundleError: `out` exists or cannot
    be written; a risk is not a number. DeviceError: as in `load_engine`.
    """
    began = time.monotonic()
    require_possible(goal)
    if share is not None:
        require_between("--prevalence", share.prevalence)
    if out.exists():
        raise BundleError(f"{out} exists already: remove it, or give another --out")
    require_room(out)
    loaded = Bundle.load(bundle)
    kept, apart = keep_apart(examples, loaded.calibration, adapted_on)
    labels = np.array([example.at_risk for example in kept], np.int64)
    require_enough(goal, labels)
    heard = None if share is not None or traffic is None else draw(traffic, most)
    output: Output = "pooled" if loaded.manifest.reading == "pooled" else "label_logits"
    reader = open_reader(loaded, output, device=device, precision=precision, threads=threads)
    texts = [example.text for example in kept]
    risks = Risks(reader, loaded, texts, lambda done, total: progress("read the examples", done, total))
    traffic_fits: bool | None = None

    def find_share(decisions: Array, lower: float) -> Share:
        nonlocal traffic_fits
        if heard is None:
            return share or Share(float(labels.mean()), "examples", seen=len(labels))
        read = risks.of(heard, lower, lambda done, total: progress("read the traffic", done, total))
        found = from_traffic(decisions, labels, read)
        traffic_fits = fits(decisions, labels, read, found.prevalence)
        return found

    told = conclude(risks.hurdles, risks.discounted, labels, goal, find_share)
    calibration = _calibration(loaded, told, reader.device.precision, labels, examples_digest(kept))
    progress("write the bundle", 0, 1)
    fingerprint, scored_by = _write(loaded, calibration, out, reader)
    progress("write the bundle", 1, 1)
    if sampled is None:
        sampled = loaded.manifest.task.policy.quality_sample_share
    stated = told.statement.share
    ends = () if stated.low is None or stated.high is None else (stated.low, stated.high)
    apart_risks = stated_apart(told.decisions, labels, stated.prevalence)
    bins = reliability(apart_risks, labels, stated.prevalence)
    lower, upper = told.thresholds.lower, told.thresholds.upper
    return CalibrateReport(
        bundle=out,
        fingerprint=fingerprint,
        runs=f"{reader.device.name} {reader.device.precision}",
        scored_by=scored_by,
        apart=apart,
        lower=lower,
        upper=upper,
        statement=told.statement,
        odds=told.odds,
        workloads=tuple(
            workload(told.hurdles, told.risks, labels, lower, upper, prevalence, sampled)
            for prevalence in (stated.prevalence, *ends)
        ),
        sampled=sampled,
        calibration_error=calibration_error(bins),
        reliability=tuple(bins),
        curve=tuple(_curve(told, labels, sampled)),
        traffic_fits=traffic_fits,
        was_signed=(bundle / SIGNATURE).exists(),
        seconds=time.monotonic() - began,
    )


def _calibration(bundle: Bundle, told: Conclusion, precision: str, labels: Ints, digest: str) -> Calibration:
    before, thresholds = bundle.calibration, told.thresholds
    return Calibration(
        name=f"{told.statement.stated} examples-{digest}",
        lower=thresholds.lower,
        upper=thresholds.upper,
        tolerated_miss_rate=told.statement.max_miss_rate,
        examples=len(labels),
        positives=told.statement.positives,
        fitted_on=identity_of(
            bundle.manifest,
            bundle.windowing,
            thresholds.lower,
            precision,
            MAX_MESSAGE_TOKENS,
            told.odds,
            bundle.cascade,
        ),
        highest=float(told.risks.max()),
        graded=0 if before is None else before.graded,
        adapted_on="" if before is None else before.adapted_digest,
        statement=told.statement,
    )


def _write(bundle: Bundle, calibration: Calibration, out: Path, reader: Reader) -> tuple[str, str]:
    """Write the copy and open it as a worker does; return its fingerprint and the name of its scores."""
    with staged(out) as folder:
        for name in bundle.manifest.files:
            if name != CALIBRATION:
                shutil.copyfile(bundle.path / name, folder / name)
        content = msgspec.json.format(msgspec.json.encode(calibration), indent=2)
        (folder / CALIBRATION).write_bytes(content + b"\n")
        fingerprint = write_manifest(folder, bundle.manifest)
        written = Bundle.load(folder)
        identity = engine_on(reader, written).identity
        written.thresholds_for(identity)
    return fingerprint, identity.name


def _curve(told: Conclusion, labels: Ints, sampled: float) -> list[Point]:
    prevalence = told.statement.share.prevalence
    at_risk = told.hurdles[labels == 1]
    points = []
    for lower in np.unique(np.quantile(told.risks, np.linspace(0, 1, _POINTS))).tolist():
        there = workload(told.hurdles, told.risks, labels, lower, 1.0, prevalence, sampled)
        points.append(Point(lower, float((at_risk < lower).mean()), there.reviewed / 1000))
    return points
