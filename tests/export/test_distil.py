import json
import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from engine.bundle import DRIFT, Bundle
from engine.errors import BundleError, SettingsError, TaskError
from engine.load import load_engine, open_reader
from export.adapting.adapt import AdaptReport, adapt
from export.adapting.distilled import Distillation
from export.adapting.distilling import judged, own_teacher, shallowest, student, trace
from export.adapting.heads import Array, Chosen, Ints, Levels, Vectors, from_labels, out_of_fold
from export.adapting.rates import between, worth_measuring
from export.adapting.traffic import gather, stretches
from export.examples import LabelledExample
from mimamori.cli import app
from tests.fakes.tiny_bundle import LAYERS, TASK, write_tiny_bundle

LEVELS = TASK.level_names


def _text(chance: random.Random, *, at_risk: bool) -> str:
    """Letters of either end of the alphabet, some of the other: no head is perfect."""
    mine, others = ("zqxvw", "abcde") if at_risk else ("abcde", "zqxvw")
    return "".join(chance.choice(mine if chance.random() < 0.7 else others) for _ in range(12))


CHANCE = random.Random(0)  # noqa: S311 - letters, no secrets
EXAMPLES = [
    LabelledExample(
        text=_text(CHANCE, at_risk=n % 2 == 0),
        at_risk=n % 2 == 0,
        severity=LEVELS[n % 3] if n % 2 == 0 else None,
    )
    for n in range(40)
]
TRAFFIC = [_text(CHANCE, at_risk=n % 3 == 0) for n in range(400)]
WORDS = "zzqqprivatewords"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "full")


def _adapt(full: Bundle, out: Path, asked: Distillation | None) -> AdaptReport:
    return adapt(full.path, EXAMPLES, out, lambda *_: None, device="cpu", distillation=asked)


@pytest.fixture(scope="module")
def distilled(full: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdaptReport]:
    out = tmp_path_factory.mktemp("distilled") / "out"
    return out, _adapt(full, out, Distillation(TRAFFIC, depth=1))


def test_the_bundle_is_cut_at_the_depth_asked_for_and_runs(distilled: tuple[Path, AdaptReport]) -> None:
    out, report = distilled
    bundle = Bundle.load(out)
    assert (bundle.manifest.layer, report.layer) == (1, 1)
    assert bundle.fingerprint == report.fingerprint
    risky, clear = load_engine(bundle, device="cpu").read(["zqxvwzqxvwzq", "abcdeabcdeab"])
    assert risky.risk > 0.5 > clear.risk


def test_the_bundle_knows_what_its_traffic_looks_like(
    full: Bundle, tmp_path: Path, distilled: tuple[Path, AdaptReport]
) -> None:
    bundle = Bundle.load(distilled[0])
    assert bundle.fingerprint == distilled[1].fingerprint
    assert bundle.expected is not None
    assert bundle.expected.messages == len(set(TRAFFIC) - {example.text for example in EXAMPLES})
    assert not any(text in (bundle.path / DRIFT).read_text() for text in TRAFFIC)
    risks = [scores.risk for scores in load_engine(bundle, device="cpu").read(TRAFFIC)]
    median = bundle.expected.signals["risk"].edges[4]
    assert np.mean(np.array(risks) <= median) == pytest.approx(0.5, abs=0.05)
    _adapt(full, tmp_path / "alone", None)
    assert Bundle.load(tmp_path / "alone").expected is None  # examples cannot stand for a stream


def test_the_curve_has_every_shallower_depth_with_its_figures(distilled: tuple[Path, AdaptReport]) -> None:
    told = distilled[1].distilled
    assert told is not None
    assert [point.depth for point in told.curve] == list(range(1, told.teacher.depth))
    assert told.teacher.depth <= LAYERS
    assert told.keep is None
    assert told.refitted
    assert all(point.messages_per_second > 0 for point in told.curve)
    assert all(0.5 < point.auc <= 1 and point.correlation > 0.5 for point in told.curve)
    assert told.kept == pytest.approx(told.curve[0].auc / told.teacher.auc)


def test_the_same_examples_and_traffic_give_the_same_bundle(
    full: Bundle, tmp_path: Path, distilled: tuple[Path, AdaptReport]
) -> None:
    assert (
        _adapt(full, tmp_path / "again", Distillation(TRAFFIC, depth=1)).fingerprint
        == distilled[1].fingerprint
    )


def test_whoever_has_the_full_bundle_open_notices_nothing(full: Bundle, tmp_path: Path) -> None:
    """Not even a link to its files, which would change what the system says of them."""
    opened = Bundle.load(full.path)
    _adapt(full, tmp_path / "out", Distillation(TRAFFIC, depth=1))
    opened.require_same()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_severity_is_distilled_with_the_risk(distilled: tuple[Path, AdaptReport]) -> None:
    engine = load_engine(Bundle.load(distilled[0]), device="cpu")
    severities = [scores.severity for scores in engine.read(TRAFFIC[:20])]
    assert len({severity for severity in severities if severity is not None}) > 1
    assert all(severity is not None and len(severity) == len(LEVELS) for severity in severities)


def test_the_shallowest_that_keeps_the_share_is_taken(full: Bundle, tmp_path: Path) -> None:
    told = _adapt(full, tmp_path / "out", Distillation(TRAFFIC, keep=0.9)).distilled
    assert told is not None
    kept = [point.depth for point in told.curve if point.auc >= 0.9 * told.teacher.auc]
    assert told.depth == min(kept, default=told.teacher.depth)


def test_a_visiting_teacher_is_heard_through_texts_alone(full: Bundle, tmp_path: Path) -> None:
    """It has other weights, and is fitted again without each fold where it was adapted on these examples."""
    other = write_tiny_bundle(tmp_path / "other", seed=1)
    _adapt(other, tmp_path / "teacher", None)
    taught = _adapt(full, tmp_path / "out", Distillation(TRAFFIC, tmp_path / "teacher", depth=2)).distilled
    assert taught is not None
    assert taught.refitted
    assert [point.depth for point in taught.curve] == list(range(1, LAYERS + 1))
    adapt(other.path, EXAMPLES[:30], tmp_path / "elsewhere", lambda *_: None, device="cpu")
    held_out = _adapt(
        full, tmp_path / "two", Distillation(TRAFFIC, tmp_path / "elsewhere", depth=2)
    ).distilled
    assert held_out is not None
    assert not held_out.refitted


def test_a_bundle_without_heads_or_of_another_task_teaches_nothing(full: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no heads to teach with: run `mimamori adapt`"):
        _adapt(full, tmp_path / "out", Distillation(TRAFFIC, full.path))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Distillation(TRAFFIC, keep=1.5), "--keep 1.5 is no share"),
        (Distillation(TRAFFIC, depth=LAYERS + 1), "the model has layers 1 to 4"),
        (Distillation(TRAFFIC, depth=LAYERS), "give another --depth"),
        (Distillation(["one"]), r"the traffic has 1 \(of 1:"),
        (
            Distillation(["", " \n", *TRAFFIC[:150], *TRAFFIC[:150], EXAMPLES[0].text + " "]),
            r"2 empty, 150 repeated, 1 among",
        ),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused(
    full: Bundle, tmp_path: Path, asked: Distillation, message: str
) -> None:
    with pytest.raises(TaskError, match=message) as refused:
        _adapt(full, tmp_path / "out", asked)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_of_long_traffic_every_message_has_the_same_chance() -> None:
    texts = [f"message {n}" for n in range(3000)]
    drawn = gather(iter(texts), [], most=600)
    assert (len(drawn.texts), len(set(drawn.texts)), drawn.seen) == (600, 600, 3000)
    assert 150 < sum(int(text.split()[1]) < 1000 for text in drawn.texts) < 250
    assert gather(iter(texts), [], most=600) == drawn


def test_a_long_message_is_heard_in_a_stretch_about_as_long_as_a_window(full: Bundle) -> None:
    reader = open_reader(full, "pooled", device="cpu")
    short, long, endless = stretches(reader, ["short. as it is.", "one two. " * 40, "x" * 200])
    assert short == "short. as it is."
    assert 0 < len(long) <= 24
    assert long.strip() in "one two. " * 40
    assert endless == "x" * 200


COUNT, TOLD, HIDDEN = 60, 600, 8
LABELS: Ints = np.arange(COUNT) % 2
GRADED = Levels(np.flatnonzero(LABELS), np.arange(COUNT // 2) % 3, 3)


def _world(signals: list[float], *, seed: int = 0) -> tuple[Vectors, Vectors, Array]:
    """Examples, traffic and its classes, of a network whose layers tell the classes apart by so much."""
    chance = np.random.default_rng(seed)
    classes = chance.integers(2, size=TOLD)

    def layers(labels: Ints) -> Vectors:
        windows = chance.normal(size=(len(labels), len(signals), HIDDEN))
        for layer, signal in enumerate(signals):
            windows[:, layer, 0] += signal * (2 * labels - 1)
        return Vectors(windows.astype(np.float32), np.arange(len(labels)))

    return layers(LABELS), layers(classes), classes.astype(np.float64)


def _trace(examples: Vectors, traffic: Vectors) -> tuple[tuple[float, ...], float, int | None]:
    layer = examples.windows.shape[1]
    learn = from_labels(LABELS)
    chosen = Chosen(layer, out_of_fold(examples, layer, LABELS, learn), np.zeros(0))
    teacher = own_teacher(examples, chosen, LABELS, GRADED, traffic.layer(layer), "the head")
    (curve, _), best = trace(examples, LABELS, traffic, teacher, lambda *_: None), judged(teacher, LABELS)
    return tuple(reading.auc for reading in curve), best.auc, shallowest(curve, best, 0.98)


@pytest.mark.parametrize("seed", range(5))
def test_layers_that_know_nothing_are_never_taken(seed: int) -> None:
    aucs, best, depth = _trace(*_world([0.0, 0.0, 1.5], seed=seed)[:2])
    assert max(aucs) < 0.98 * best
    assert depth is None


@pytest.mark.parametrize("seed", range(5))
def test_traffic_that_tells_nothing_teaches_nothing(seed: int) -> None:
    """The head's values on noise are noise: a student of them ranks the examples by chance."""
    examples, _, _ = _world([1.5, 1.5], seed=seed)
    noise = np.random.default_rng(seed).normal(size=(TOLD, 2, HIDDEN)).astype(np.float32)
    aucs, best, depth = _trace(examples, Vectors(noise, np.arange(TOLD)))
    assert depth is None
    assert max(aucs) < 0.98 * best


@pytest.mark.parametrize("seed", range(5))
def test_a_layer_that_knows_as_much_learns_as_much(seed: int) -> None:
    examples, traffic, classes = _world([1.5, 1.5], seed=seed)
    aucs, best, _ = _trace(examples, traffic)
    assert aucs[0] > best - 0.05
    learn = from_labels(LABELS)
    chosen = Chosen(2, out_of_fold(examples, 2, LABELS, learn), np.zeros(0))
    taught = student(traffic.layer(1), own_teacher(examples, chosen, LABELS, GRADED, traffic.layer(2), ""))
    assert taught.correlation > 0.5
    head = taught.learn(examples.layer(1), np.arange(COUNT))
    assert roc_auc_score(classes, head(traffic.layer(1))) > 0.95


def test_no_label_leaks_into_the_curve() -> None:
    """Labels by lot, and layers that say the same: whoever saw an example's label would rank it well."""
    aucs = []
    for seed in range(6):
        chance = np.random.default_rng(seed)
        one = [chance.normal(size=(count, 1, 40)).astype(np.float32) for count in (COUNT, TOLD)]
        examples, traffic = (Vectors(np.repeat(each, 2, axis=1), np.arange(len(each))) for each in one)
        aucs.append(_trace(examples, traffic)[0][0])
    assert np.mean(aucs) < 0.6


def test_rates_between_measured_depths_lie_between() -> None:
    assert worth_measuring(range(1, 16), 16, 5) == [1, 2, 3, 4, 5, 6, 8, 12, 16]
    rates = between({1: 1000.0, 3: 500.0}, [1, 2, 3])
    assert rates == {1: pytest.approx(1000.0), 2: pytest.approx(2000 / 3), 3: pytest.approx(500.0)}


def test_a_depth_that_was_held_up_is_no_slower_than_a_deeper_one() -> None:
    rates = between({1: 1000.0, 2: 88.0, 3: 500.0, 4: 490.0}, [1, 2, 3, 4])
    assert rates == {depth: pytest.approx(rate) for depth, rate in enumerate((1000, 500, 500, 490), start=1)}


def test_the_command_prints_the_curve_and_the_choice_and_no_text(full: Bundle, tmp_path: Path) -> None:
    examples, traffic = tmp_path / "examples.jsonl", tmp_path / "traffic.jsonl"
    examples.write_bytes(b"\n".join(map(msgspec.json.encode, EXAMPLES)))
    traffic.write_text("\n".join(json.dumps({"text": text}) for text in [WORDS, *TRAFFIC]))
    out = tmp_path / "out"
    base = [
        "adapt",
        str(full.path),
        "--examples",
        str(examples),
        "--device",
        "cpu",
        "--traffic",
        str(traffic),
    ]
    shown = CliRunner().invoke(app, [*base, "--out", str(out), "--depth", "1"])
    assert shown.exit_code == 0, shown.output
    assert "of the teacher's AUC" in shown.output
    printed = CliRunner().invoke(app, [*base, "--out", str(tmp_path / "two"), "--keep", "0.5", "--json"])
    told = json.loads(printed.stdout)["distilled"]
    assert told["depth"] == 1
    assert {"depth", "messages_per_second", "auc", "f1", "agreement"} <= set(told["curve"][0])
    written = b"".join(path.read_bytes() for path in out.iterdir())
    assert WORDS not in shown.output + printed.output
    assert WORDS.encode() not in written


@pytest.mark.parametrize(
    "options", [["--cascade"], ["--teacher", "x"], ["--keep", "0.9"], ["--traffic", "missing.jsonl"]]
)
def test_options_that_lack_the_traffic_are_refused(full: Bundle, tmp_path: Path, options: list[str]) -> None:
    examples = tmp_path / "examples.jsonl"
    examples.write_bytes(b"\n".join(map(msgspec.json.encode, EXAMPLES)))
    base = ["adapt", str(full.path), "--examples", str(examples), "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, [*base, *options])
    assert isinstance(ran.exception, SettingsError | TaskError)
    assert "--traffic" in str(ran.exception)


def test_a_depth_and_a_share_to_keep_are_not_both_taken(full: Bundle, tmp_path: Path) -> None:
    examples, traffic = tmp_path / "examples.jsonl", tmp_path / "traffic.jsonl"
    examples.write_bytes(b"\n".join(map(msgspec.json.encode, EXAMPLES)))
    traffic.write_text("\n".join(json.dumps({"text": text}) for text in TRAFFIC))
    base = ["adapt", str(full.path), "--examples", str(examples), "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, [*base, "--traffic", str(traffic), "--keep", "0.9", "--depth", "1"])
    assert isinstance(ran.exception, SettingsError)
    assert not (tmp_path / "out").exists()
