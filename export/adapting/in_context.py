"""Few-shot in context: the prompted reading with solved examples in its prefix, to compare with the head.

    folds      three; each is judged by a prompt that holds none of its examples
    candidate  some of the other examples as shots, half of them at risk, in a random order
    validate   each candidate asks about the examples that are left over, and the one with the least loss
               judges the fold. Its answers are calibrated on those left over, as a prompt shifts all answers

The prefix runs once for a candidate, so shots cost little per message. The bundle is proved with the prompt
that it was exported with, whose answers it keeps, before other prompts are bound. Nothing is written.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec
import numpy as np
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from engine.bundle import Bundle, Manifest
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.errors import TaskError
from engine.identity import PROMPTED
from engine.load import open_reader
from engine.proof import prove
from engine.reading.reader import Reader, load_tokenizer
from export.adapting.heads import Array, Ints, fit_platt
from export.adapting.shots import turns_of, with_shots
from export.examples import LabelledExample

CANDIDATES: Final = 4
FOLDS: Final = 3
# Of the examples outside a fold, half may be shots; the others choose among the candidates.
_EXAMPLES_PER_SHOT: Final = 3

Open = Callable[[Bundle], Reader]


class InContext(msgspec.Struct, frozen=True):
    """How shots in the prompt do beside the head, both on examples that they had not seen."""

    shots: int
    candidates: int
    auc: float
    f1: float
    head_auc: float
    head_f1: float
    seconds: float

    @property
    def better(self) -> bool:
        """Whether shots have the higher F1."""
        return self.f1 > self.head_f1

    @property
    def backwards(self) -> bool:
        """Whether shots rank the examples worse than chance."""
        return self.auc < 0.5  # noqa: PLR2004 - chance


class _Asked(NamedTuple):
    """A candidate's loss on the examples left over, and the log-odds [N] that it gives those of the fold."""

    loss: float
    judged: Array


def compare_in_context(
    full: Bundle,
    examples: Sequence[LabelledExample],
    shots: int,
    head: tuple[float, float],
    progress: Callable[[int, int], None],
    *,
    candidates: int = CANDIDATES,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int = 0,
) -> InContext:
    """Measure `shots` of the examples in the prompt of a full bundle; `head` has the head's AUC and F1.

    Raises TaskError: too few examples for so many shots, or the prompt does not fit. BundleError and
    DeviceError: as in `load_engine`.
    """
    began = time.monotonic()
    labels = np.array([example.at_risk for example in examples], np.int64)
    require_comparable(full.manifest, examples, shots)
    opened = partial(open_reader, output="label_logits", device=device, precision=precision, threads=threads)
    reader = opened(full)
    prove(reader, full, "label_logits")
    del reader  # it holds the model in memory
    chance = np.random.default_rng(0)
    allowed = _harmless(full, examples)
    decisions, done = np.zeros(len(labels)), 0
    for train, fold in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels):
        asked = []
        for _ in range(candidates):
            chosen = _draw(
                np.array([index for index in train if allowed[index]], np.int64), labels, shots, chance
            )
            left = np.setdiff1d(train, chosen)
            asked.append(_ask(full, opened, examples, labels, chosen, left, fold))
            done += 1
            progress(done, FOLDS * candidates)
        decisions[fold] = min(asked, key=lambda each: each.loss).judged
    return InContext(
        shots=shots,
        candidates=candidates,
        auc=float(roc_auc_score(labels, decisions)),
        f1=float(f1_score(labels, decisions >= 0)),
        head_auc=head[0],
        head_f1=head[1],
        seconds=time.monotonic() - began,
    )


def require_comparable(manifest: Manifest, examples: Sequence[LabelledExample], shots: int) -> None:
    """Raise TaskError where shots cannot be written, or too few are left to be shots or to choose by."""
    turns_of(manifest.prompt, manifest.task)
    needed = _EXAMPLES_PER_SHOT * shots // 2
    positives = sum(example.at_risk for example in examples)
    fewest = min(positives, len(examples) - positives)
    if shots < 2 or shots % 2 or fewest < needed:  # noqa: PLR2004 - one of each kind
        raise TaskError(
            f"--compare-in-context {shots} needs an even number of shots and {needed} examples of each kind: "
            f"there are {fewest} of one; give fewer shots, or more examples"
        )


def _harmless(full: Bundle, examples: Sequence[LabelledExample]) -> list[bool]:
    """Whether each example can be a shot: one that spells out a template's marker would end its own turn."""
    added = load_tokenizer(full.path).get_added_tokens_decoder().values()
    markers = [token.content for token in added if token.special]
    return [not any(marker in example.text for marker in markers) for example in examples]


def _draw(among: Ints, labels: Ints, shots: int, chance: np.random.Generator) -> Ints:
    sides = [among[labels[among] == side] for side in (0, 1)]
    if min(map(len, sides)) <= shots // 2:
        raise TaskError(f"too few examples can be shots: {shots} of them need {shots // 2 + 1} of each kind")
    halves = [chance.choice(side, shots // 2, replace=False) for side in sides]
    return np.asarray(chance.permutation(np.concatenate(halves)), np.int64)


def _ask(
    full: Bundle,
    opened: Open,
    examples: Sequence[LabelledExample],
    labels: Ints,
    shots: Ints,
    left: Ints,
    fold: Ints,
) -> _Asked:
    manifest = full.manifest
    prompt = with_shots(manifest.prompt, manifest.task, [examples[index] for index in shots])
    reader = opened(msgspec.structs.replace(full, manifest=msgspec.structs.replace(manifest, prompt=prompt)))
    suffix = reader.prompt.risk_suffix
    needed = len(reader.prompt.prefix) + PROMPTED.whole + len(suffix)
    if needed > manifest.source.context:
        raise TaskError(
            f"{len(shots)} shots make a prompt of {needed} tokens with a message, and the model reads "
            f"{manifest.source.context}: give fewer"
        )
    rows = reader.cutter(PROMPTED).cut([examples[index].text for index in (*left, *fold)], suffix)
    clear, at_risk = (column for column, label in enumerate(manifest.labels) if label.stage == "risk")
    logits = reader.rows(rows.tokens).astype(np.float64)
    starts = [span.start for span in rows.spans]
    odds = np.maximum.reduceat(logits[:, at_risk] - logits[:, clear], starts)
    known, unseen = odds[: len(left)], odds[len(left) :]
    with threadpool_limits(1, "blas"):
        platt = fit_platt(known, labels[left], even=0.0)
    losses = np.logaddexp(0, (1 - 2 * labels[left]) * (platt.slope * known + platt.shift))
    return _Asked(float(losses.mean()), platt.slope * unseen + platt.shift)
