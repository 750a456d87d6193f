"""Shallower readings of a network that learn from an adapted head, on unlabelled traffic.

    teacher   gives every message of the traffic its decision value; it was fitted on the labels
    student   at each depth, a ridge regression of those values on the depth's pooled vectors, standardised.
              How strong its penalty is, is chosen on a fifth of the traffic that is kept apart
    curve     how every student does on the labelled examples, and on the traffic kept apart
    choice    the shallowest that keeps the stated share of the teacher's AUC

No label leaks into the curve: what judges an example learnt from a teacher that was fitted without it. What
is not guaranteed: that the traffic is like the stream, and with few examples that the share kept on them is
the share kept on the stream.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

from export.adapting.heads import (
    Array,
    Chosen,
    Grade,
    Ints,
    Learn,
    Levels,
    Linear,
    Vectors,
    fit_platt,
    from_labels,
    grade_from_labels,
    out_of_fold,
    standard,
)

KEEP: Final = 0.98
_PENALTIES: Final = (1e1, 1e2, 1e3, 1e4, 1e5)
_KEPT_APART: Final = 5  # one message in so many
NOTHING: Final = np.zeros(0)

Teach = Callable[[Ints], Array]
"""Decision values of the traffic [M] by a teacher that has seen the labels of these examples alone."""


class Teacher(NamedTuple):
    """Who teaches: `layer` of some network, to students up to `deepest` of the network at hand.

    `decisions` [N] are of the examples, by teachers that had not seen them. `grades` [M, S] are of the
    traffic: what the severity head says before softmax.
    """

    name: str
    layer: int
    deepest: int
    teach: Teach
    decisions: Array
    grades: Array


class Reading(msgspec.Struct, frozen=True):
    """A depth of the curve. AUC and F1 (at even odds) are out of fold, on the labelled examples.

    On traffic that the student did not learn from: `correlation` of its decision values with the teacher's,
    and `agreement`, the share of messages that both put on the same side of even odds.
    """

    depth: int
    auc: float
    f1: float
    correlation: float
    agreement: float


class Student(NamedTuple):
    """A depth's student: heads by the labels their teachers saw, and how it does on traffic kept apart.

    `decisions` [N] are of the examples, by students of teachers that had not seen them; none before `trace`.
    """

    learn: Learn
    grade: Grade
    penalty: float
    correlation: float
    agreement: float
    decisions: Array = NOTHING


def own_teacher(
    vectors: Vectors, chosen: Chosen, labels: Ints, levels: Levels, traffic: Array, name: str
) -> Teacher:
    """The heads of layer `chosen.layer`; `traffic` [M, H] are the traffic's vectors at that layer."""
    means = vectors.means(vectors.layer(chosen.layer))
    learn = from_labels(labels)
    known: dict[bytes, Array] = {}

    def teach(examples: Ints) -> Array:
        key = examples.tobytes()  # every depth asks for the same folds
        if key not in known:
            known[key] = learn(means, examples)(traffic)
        return known[key]

    risk = learn(means, np.arange(len(labels)))
    weight, bias = grade_from_labels(levels)(means, risk)
    grades = (traffic - risk.mean) / risk.scale @ weight.T + bias
    return Teacher(name, chosen.layer, chosen.layer - 1, teach, chosen.decisions, grades)


def student(traffic: Array, teacher: Teacher) -> Student:
    """The student for vectors like those of the traffic [M, H].

    Severity is learnt from the teacher too. From its labels alone a shallow layer orders messages worse
    (layers 1 and 4: Spearman .10 against .13 with 50 labels, .18 against .26 with 200; the teacher .14, .29).
    """
    mean, scale = standard(traffic)
    z = (traffic - mean) / scale
    values = teacher.teach(np.arange(len(teacher.decisions)))
    penalty, guessed, apart = _choose_penalty(z, values)
    inverse = np.linalg.inv(z.T @ z + penalty * np.eye(z.shape[1]))

    def learn(_: Array, chosen: Ints) -> Linear:
        taught = teacher.teach(chosen)
        centre = float(taught.mean())
        return Linear(mean, scale, inverse @ (z.T @ (taught - centre)), centre)

    def grade(_: Array, __: Linear) -> tuple[Array, Array]:
        centre = teacher.grades.mean(axis=0)
        return (inverse @ (z.T @ (teacher.grades - centre))).T, centre

    true = values[apart]
    spread = float(guessed.std() * true.std())
    return Student(
        learn,
        grade,
        penalty,
        float(np.mean((guessed - guessed.mean()) * (true - true.mean()))) / spread if spread > 0 else 0.0,
        float(np.mean((guessed > 0) == (true > 0))),
    )


def trace(
    vectors: Vectors, labels: Ints, traffic: Vectors, teacher: Teacher, progress: Callable[[int, int], None]
) -> tuple[tuple[Reading, ...], tuple[Student, ...]]:
    """The curve and its students: every depth that the teacher can teach, the shallowest first."""
    curve, students = [], []
    for depth in range(1, teacher.deepest + 1):
        progress(depth - 1, teacher.deepest)
        taught = student(traffic.layer(depth), teacher)
        decisions = out_of_fold(vectors, depth, labels, taught.learn)
        curve.append(_reading(depth, decisions, labels, taught.correlation, taught.agreement))
        students.append(taught._replace(decisions=decisions))
    progress(teacher.deepest, teacher.deepest)
    return tuple(curve), tuple(students)


def judged(teacher: Teacher, labels: Ints) -> Reading:
    """How the teacher does; its depth is a layer of its own network."""
    return _reading(teacher.layer, teacher.decisions, labels, 1.0, 1.0)


def shallowest(curve: tuple[Reading, ...], teacher: Reading, keep: float) -> int | None:
    """The shallowest depth that keeps `keep` of the teacher's AUC; None where none does."""
    return next((reading.depth for reading in curve if reading.auc >= keep * teacher.auc), None)


def _reading(depth: int, decisions: Array, labels: Ints, correlation: float, agreement: float) -> Reading:
    platt = fit_platt(decisions, labels)
    flagged = platt.slope * decisions + platt.shift >= 0
    return Reading(
        depth,
        float(roc_auc_score(labels, decisions)),
        float(f1_score(labels, flagged)),
        correlation,
        agreement,
    )


def _choose_penalty(z: Array, values: Array) -> tuple[float, Array, Ints]:
    """The penalty that errs least on the messages kept apart, what it makes of them, and which they are."""
    apart = np.zeros(len(z), np.bool_)
    apart[np.random.default_rng(0).permutation(len(z))[: len(z) // _KEPT_APART]] = True
    centre = float(values[~apart].mean())
    learnt = z[~apart]
    eigenvalues, basis = np.linalg.eigh(learnt.T @ learnt)
    projected = basis.T @ (learnt.T @ (values[~apart] - centre))
    guesses = [z[apart] @ (basis @ (projected / (eigenvalues + penalty))) + centre for penalty in _PENALTIES]
    errors = [float(np.mean((guess - values[apart]) ** 2)) for guess in guesses]
    best = int(np.argmin(errors))
    return _PENALTIES[best], guesses[best], np.flatnonzero(apart)
