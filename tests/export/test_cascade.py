"""A cascade clears at a shallow depth what its bound allows, and reads all others on to the full depth."""

import json
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from typer.testing import CliRunner

from engine.bundle import (
    CALIBRATION,
    DEEPER,
    SHALLOW_HEADS,
    Bundle,
    Calibration,
    Manifest,
    read_manifest,
    write_manifest,
)
from engine.bundle.reference import SHALLOW_REFERENCE
from engine.device_names import DeviceName
from engine.devices.stacked import StackedDevice
from engine.errors import BundleError, DeviceError, TaskError
from engine.load import engine_on, load_engine, load_engines, open_reader
from engine.policy import Policy
from engine.reading.cascade import CascadeEngine
from engine.reading.engines import PooledEngine
from engine.reading.highlights import Highlighter
from export.adapting.adapt import AdaptReport, adapt
from export.adapting.cut import cut_bundle
from export.adapting.distilled import Distillation
from export.adapting.heads import Array, Ints, Linear, Vectors
from export.adapting.split import split_bundle, split_graph
from export.adapting.stopping import Depth, joint_lower, weigh
from export.calibrating.calibrate import calibrate
from export.calibrating.goal import Goal
from export.evaluating.evaluate import evaluate
from export.examples import LabelledExample
from mimamori.cli import adapt as commands
from schemas.events import Thresholds
from tests.fakes.tiny_bundle import MARKER, PROMPT, TASK, write_tiny_bundle

LEVELS = TASK.level_names
CHANCE = random.Random(0)  # noqa: S311 - letters, no secrets


def _text(*, at_risk: bool, letters: int = 12) -> str:
    """Letters of either end of the alphabet, some of the other: no head is perfect."""
    mine, others = ("zqxvw", "abcde") if at_risk else ("abcde", "zqxvw")
    return "".join(CHANCE.choice(mine if CHANCE.random() < 0.7 else others) for _ in range(letters))


EXAMPLES = [
    LabelledExample(
        text=_text(at_risk=n % 2 == 0), at_risk=n % 2 == 0, severity=LEVELS[n % 3] if n % 2 == 0 else None
    )
    for n in range(40)
]
TRAFFIC = [_text(at_risk=n % 3 == 0) for n in range(400)]
LONG = ["abcde. " * 30, "abcde. " * 20 + "zqxvw. ", "zqxvw. " * 9]
SHALLOW, FULL = 1, 2


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "full")


@pytest.fixture(scope="module")
def made(full: Bundle) -> tuple[Bundle, AdaptReport]:
    out = full.path.parent / "cascade"
    asked = Distillation(TRAFFIC, depth=FULL, cascade=True)
    report = adapt(full.path, EXAMPLES, out, lambda *_: None, device="cpu", distillation=asked)
    return Bundle.load(out), report


@pytest.fixture(scope="module")
def cascade(made: tuple[Bundle, AdaptReport]) -> Bundle:
    return made[0]


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_two_cascades_of_one_model_share_both_graphs_and_keep_their_own_prefixes(
    cascade: Bundle, tmp_path: Path, device: DeviceName
) -> None:
    prompt = msgspec.structs.replace(PROMPT, prefix=f"Read it twice.{MARKER}\n")
    full = write_tiny_bundle(tmp_path / "full", prompt=prompt)
    asked = Distillation(TRAFFIC, depth=FULL, cascade=True)
    adapt(full.path, EXAMPLES, tmp_path / "out", lambda *_: None, device="cpu", distillation=asked)
    both = [cascade, Bundle.load(tmp_path / "out")]
    texts = [*TRAFFIC[:20], *LONG]
    alone = [load_engine(each, device=device, precision="fp32").read(texts) for each in both]
    with capture_logs() as log:
        engines = load_engines(both, device=device, precision="fp32", highlights_from=[None, None])
    assert [len(line["for_bundles"]) for line in log if line["event"] == "graph_opened"] == [2]
    for _ in range(2):
        assert [engine.read(texts) for engine in engines] == alone


@pytest.fixture(params=["cpu", "openvino"], scope="module")
def engines(request: pytest.FixtureRequest, cascade: Bundle) -> tuple[CascadeEngine, PooledEngine]:
    """The cascade, and its full depth alone. Both without the second reading of disguised texts."""
    reader = open_reader(cascade, "pooled", device=request.param, precision="fp32", device_tokens=256)
    device, identity = reader.device, engine_on(reader, cascade).identity
    assert cascade.heads is not None
    assert cascade.shallow is not None
    assert isinstance(device, StackedDevice)
    return (
        CascadeEngine(identity, cascade.heads, cascade.shallow.heads, reader, device),
        PooledEngine(identity, cascade.heads, reader, depth=FULL),
    )


@given(
    st.lists(st.sampled_from([*TRAFFIC[:40], *LONG, "", "見守り", "?"]) | st.text(max_size=60), max_size=30)
)
def test_what_stops_is_below_the_stop_and_what_goes_on_has_the_full_depths_scores(
    engines: tuple[CascadeEngine, PooledEngine], texts: list[str]
) -> None:
    cascade, alone = engines
    told = cascade.identity.cascade
    assert told is not None
    read, deep = cascade.read(texts), alone.read(texts)
    assert len(read) == len(texts)
    for scores, whole in zip(read, deep, strict=True):
        assert (scores.windows, scores.truncated) == (whole.windows, whole.truncated)
        if scores.depth == told.depth:
            assert scores.risk < told.stop
            assert not scores.truncated
        else:
            assert scores.depth == told.full
            assert scores.risk == pytest.approx(whole.risk, abs=1e-4)
            assert scores.severity == pytest.approx(whole.severity, abs=1e-4)


def test_both_kinds_are_met_and_a_message_scores_alone_as_in_company(
    engines: tuple[CascadeEngine, PooledEngine],
) -> None:
    """With 256 tokens a run, 400 messages are read in many portions, and wait in several turns."""
    cascade, _ = engines
    read = cascade.read([*TRAFFIC, *LONG])
    assert {scores.depth for scores in read} == {SHALLOW, FULL}
    for text, scores in list(zip([*TRAFFIC, *LONG], read, strict=True))[::20]:
        (by_itself,) = cascade.read([text])
        assert by_itself.risk == pytest.approx(scores.risk, abs=1e-4)
    assert [scores.risk for scores in cascade.read(TRAFFIC[::-1])] == pytest.approx(
        [scores.risk for scores in read[: len(TRAFFIC)][::-1]], abs=1e-4
    )


def test_one_window_that_goes_on_takes_its_whole_message_with_it(
    engines: tuple[CascadeEngine, PooledEngine],
) -> None:
    cascade, alone = engines
    harmless, mixed, _ = cascade.read(LONG)
    assert harmless.windows > 1
    assert mixed.windows > 1
    assert mixed.depth == FULL
    assert mixed.risk == pytest.approx(alone.read(LONG)[1].risk, abs=1e-4)


def test_nothing_that_was_not_read_to_its_end_or_has_no_number_stops(
    cascade: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(cascade, device="cpu", max_message_tokens=8)
    assert {scores.depth for scores in engine.read([text for text in TRAFFIC if len(text) > 8] + [""])} == {
        FULL
    }
    engine = load_engine(cascade, device="cpu")
    assert SHALLOW in {scores.depth for scores in engine.read(TRAFFIC)}
    monkeypatch.setattr(
        "engine.reading.cascade.apply_heads",
        lambda _, vectors: (np.full(len(vectors), np.nan), np.zeros((len(vectors), 3))),
    )
    assert {scores.depth for scores in engine.read(TRAFFIC)} == {FULL}


def test_a_disguised_text_stops_only_if_both_its_readings_do(cascade: Bundle) -> None:
    """Invisible characters hide letters at risk; the text as it is written may be anything."""
    engine = load_engine(cascade, device="cpu")
    risky = next(
        text for text, scores in zip(TRAFFIC, engine.read(TRAFFIC), strict=True) if scores.depth == FULL
    )
    (hidden,) = engine.read(["\u200b".join(risky)])
    assert hidden.depth == FULL
    assert hidden.windows > 1


def test_a_message_that_stopped_is_clear_by_the_threshold_in_force_and_by_nothing_else(
    cascade: Bundle,
) -> None:
    """A lower threshold of an operator's own sends to people what stopped above it."""
    engine = load_engine(cascade, device="cpu")
    stopped = [scores for scores in engine.read(TRAFFIC) if scores.depth == SHALLOW]
    fitted = cascade.thresholds_for(engine.identity)
    assert all(Policy(fitted, 0.0).rule(scores, None, "id").verdict == "clear" for scores in stopped)
    own = cascade.thresholds_for(engine.identity, lower=float(np.median([scores.risk for scores in stopped])))
    verdicts = {
        scores.risk < own.lower: Policy(own, 0.0).rule(scores, None, "id").verdict for scores in stopped
    }
    assert verdicts == {True: "clear", False: "uncertain"}
    truncated = msgspec.structs.replace(stopped[0], truncated=True)
    assert Policy(Thresholds(1.0, 1.0, ""), 0.0).rule(truncated, None, "id").verdict == "uncertain"


def test_the_identity_names_both_depths_and_the_stop(cascade: Bundle) -> None:
    engine = load_engine(cascade, device="cpu")
    told = engine.identity.cascade
    assert told is not None
    assert cascade.calibration is not None
    assert (told.depth, told.full, told.stop) == (SHALLOW, FULL, cascade.calibration.lower)
    assert cascade.manifest.shallow == SHALLOW
    for change in ({"stop": told.stop / 2}, {"full": FULL + 1}):
        other = msgspec.structs.replace(engine.identity, cascade=msgspec.structs.replace(told, **change))
        assert other.digest != engine.identity.digest
        with pytest.raises(BundleError, match="fitted stopping at layer 1 of 2 below"):
            cascade.thresholds_for(other)
    assert str(told) in engine.describe()


def test_thresholds_bound_what_either_depth_clears(cascade: Bundle) -> None:
    report = evaluate(load_engine(cascade, device="cpu"), cascade, EXAMPLES)
    assert set(report.depths) == {SHALLOW, FULL}
    assert sum(report.depths.values()) == len(EXAMPLES)
    assert report.miss_rate is not None
    assert report.miss_rate <= TASK.policy.tolerated_miss_rate


def test_the_report_says_what_stops_and_what_it_costs_people(made: tuple[Bundle, AdaptReport]) -> None:
    bundle, report = made
    assert report.distilled is not None
    told = report.distilled.cascade
    assert told is not None
    assert (told.depth, told.full, told.taken) == (SHALLOW, FULL, True)
    assert told.tolerated_miss_rate == TASK.policy.tolerated_miss_rate
    stopped = [scores.depth == SHALLOW for scores in load_engine(bundle, device="cpu").read(TRAFFIC)]
    assert told.stops == pytest.approx(np.mean(stopped), abs=0.05)
    assert 0 < told.stops <= told.cleared


def test_without_a_cascade_the_bundle_is_as_before(full: Bundle, tmp_path: Path) -> None:
    asked = Distillation(TRAFFIC, depth=1, cascade=False)
    report = adapt(full.path, EXAMPLES, tmp_path / "out", lambda *_: None, device="cpu", distillation=asked)
    assert report.distilled is not None
    assert report.distilled.cascade is None
    manifest, _ = read_manifest(tmp_path / "out")
    assert DEEPER not in manifest.files
    assert "shallow" not in json.loads((tmp_path / "out" / "bundle.json").read_bytes())
    assert "cascade" not in (tmp_path / "out" / CALIBRATION).read_text()


def test_a_cascade_that_cannot_be_is_refused(full: Bundle, tmp_path: Path) -> None:
    asked = Distillation(TRAFFIC, depth=1, cascade=True)
    with pytest.raises(TaskError, match="--cascade: no depth before layer 1"):
        adapt(full.path, EXAMPLES, tmp_path / "out", lambda *_: None, device="cpu", distillation=asked)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("shallow", "layer"), [(1, 2), (1, 4), (2, 3), (3, 4)])
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_going_on_gives_what_the_full_depth_gives_at_once(
    full: Bundle, tmp_path: Path, shallow: int, layer: int, device: str
) -> None:
    for name in ("split", "cut", "first"):
        (tmp_path / name).mkdir()
    split = split_bundle(full, shallow, layer, tmp_path / "split")
    whole, first = (
        cut_bundle(full, depth, tmp_path / name) for depth, name in ((layer, "cut"), (shallow, "first"))
    )
    one, other, only = (
        open_reader(bundle, "pooled", device=device, precision="fp32")  # type: ignore[arg-type] # a device
        for bundle in (split, whole, first)
    )
    rows = one.tokenise(["I am fine", "a longer one, with more words in it", "x"])
    assert np.allclose(one.rows(rows), other.rows(rows), atol=1e-5)
    assert isinstance(one.device, StackedDevice)
    assert np.allclose(one.on(one.device.shallow).rows(rows), only.rows(rows), atol=1e-5)


def _without(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def _other_stop(path: Path) -> None:
    calibration = msgspec.json.decode((path / CALIBRATION).read_bytes(), type=Calibration)
    fitted_on = msgspec.to_builtins(calibration.fitted_on)
    fitted_on["cascade"]["full"] = 3
    stated = msgspec.to_builtins(calibration) | {"fitted_on": fitted_on}
    (path / CALIBRATION).write_bytes(msgspec.json.encode(stated))


@pytest.mark.parametrize(
    "harm",
    [
        _without(DEEPER),
        _without(SHALLOW_HEADS),
        _without(SHALLOW_REFERENCE),
        _without(CALIBRATION),
        _other_stop,
    ],
)
def test_half_a_cascade_is_refused(cascade: Bundle, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    manifest = _copied(cascade, tmp_path)
    harm(tmp_path)
    write_manifest(tmp_path, manifest)
    with pytest.raises(BundleError, match=r"half a cascade|run `mimamori adapt`"):
        Bundle.load(tmp_path)


def test_a_second_graph_whose_weights_no_manifest_lists_is_refused(cascade: Bundle, tmp_path: Path) -> None:
    manifest = _copied(cascade, tmp_path)
    graph = (tmp_path / DEEPER).read_bytes()
    assert (tmp_path / DEEPER).stat().st_size
    (tmp_path / DEEPER).write_bytes(b"\x00" + graph)
    write_manifest(tmp_path, manifest)
    with pytest.raises(BundleError, match="is not an ONNX graph"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("of", ["graph", "heads"])
def test_either_half_must_prove_itself(cascade: Bundle, tmp_path: Path, of: str) -> None:
    """Another network's second half, or shallow heads that say something else than when they were fitted."""
    manifest = _copied(cascade, tmp_path)
    if of == "graph":
        split_graph(
            write_tiny_bundle(tmp_path.parent / f"{tmp_path.name}-other", seed=1).path,
            SHALLOW,
            FULL,
            tmp_path,
        )
        (tmp_path / "model.onnx").write_bytes((cascade.path / "model.onnx").read_bytes())
        (tmp_path / "model.onnx.data").write_bytes((cascade.path / "model.onnx.data").read_bytes())
    else:
        arrays = dict(np.load(tmp_path / SHALLOW_HEADS))
        np.savez(tmp_path / SHALLOW_HEADS, **(arrays | {"risk_bias": arrays["risk_bias"] - np.float32(3)}))
    write_manifest(tmp_path, manifest)
    altered = Bundle.load(tmp_path)
    with pytest.raises((DeviceError, BundleError), match=r"not the original model|other scores than when"):
        load_engine(altered, device="cpu")


def _copied(bundle: Bundle, folder: Path) -> Manifest:
    for file in bundle.path.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return bundle.manifest


COUNT, TOLD = 400, 4000


def _depth(layer: int) -> Depth:
    """A depth whose head reads the one feature of its layer."""

    def learn(_: Array, __: Ints) -> Linear:
        return Linear(np.zeros(1), np.ones(1), np.ones(1), 0.0)

    return Depth(layer, learn, lambda *_: (np.zeros((3, 1)), np.zeros(3)), np.zeros(0))


def _world(seed: int, noise: Sequence[float]) -> tuple[Ints, Vectors, list[Depth]]:
    """Labels, and layers that see them through less and less noise, each with a head."""
    chance = np.random.default_rng(seed)
    labels = chance.permutation(np.arange(COUNT) % 2)
    shared = chance.normal(size=COUNT)
    windows = np.stack(
        [labels * 2.5 + shared * 0.7 + chance.normal(size=COUNT) * each for each in noise], axis=1
    )
    vectors = Vectors(windows[:, :, np.newaxis].astype(np.float32), np.arange(COUNT))
    depths = [
        _depth(layer)._replace(decisions=windows[:, layer - 1].astype(np.float64))
        for layer in range(1, len(noise) + 1)
    ]
    return labels, vectors, depths


def test_the_joint_bound_holds_on_messages_that_were_not_examples() -> None:
    """Of 200 draws of 50 examples: what is missed of the others is on average within the bound."""
    chance = np.random.default_rng(0)
    labels, vectors, _ = _world(0, [1.5, 0.5])
    shallow, deep = (1 / (1 + np.exp(1.25 - vectors.layer(layer)[:, 0])) for layer in (1, 2))
    for rate in (0.05, 0.1):
        missed = []
        for _ in range(200):
            drawn = chance.permutation(COUNT)
            some, others = drawn[:100], drawn[100:]
            lower = joint_lower(shallow[some], deep[some], labels[some], rate)
            at_risk = others[labels[others] == 1]
            missed.append(np.mean((shallow[at_risk] < lower) | (deep[at_risk] < lower)))
        assert 0.4 * rate < np.mean(missed) < rate + 3 * np.std(missed) / np.sqrt(len(missed))


def test_the_cheapest_depth_is_taken_and_none_where_none_pays() -> None:
    labels, vectors, (first, second, deepest) = _world(1, [1.2, 1.0, 0.5])
    rates = {1: 1000.0, 2: 500.0, 3: 100.0}
    ask = partial(weigh, deepest, [first, second], vectors, labels, vectors)
    weighed, taken = ask(rates, 0.1, wanted=None)
    assert weighed is not None
    assert taken is not None
    assert (taken.layer, weighed.depth, weighed.full) == (1, 1, 3)
    assert weighed.faster == pytest.approx(weighed.messages_per_second / 100)
    slow, none = ask({1: 101.0, 2: 100.5, 3: 100.0}, 0.1, wanted=None)
    assert slow is not None
    assert (slow.taken, slow.why, none) == (False, "it would not be faster", None)
    assert ask({1: 101.0, 2: 100.5, 3: 100.0}, 0.1, wanted=True)[1] is not None  # asked for


def test_a_depth_that_ranks_no_better_than_chance_is_no_candidate() -> None:
    labels, vectors, (first, second) = _world(2, [1.0, 0.5])
    backwards = first._replace(decisions=-first.decisions)
    assert weigh(second, [backwards], vectors, labels, vectors, {1: 9.0, 2: 1.0}, 0.1, wanted=None) == (
        None,
        None,
    )


def test_the_command_prints_the_share_the_rate_and_the_bound(full: Bundle, tmp_path: Path) -> None:
    app = typer.Typer()
    commands.register(app)
    examples, traffic = tmp_path / "examples.jsonl", tmp_path / "traffic.jsonl"
    examples.write_bytes(b"\n".join(map(msgspec.json.encode, EXAMPLES)))
    traffic.write_text("\n".join(json.dumps({"text": text}) for text in TRAFFIC))
    base = [
        str(full.path),
        "--examples",
        str(examples),
        "--device",
        "cpu",
        "--traffic",
        str(traffic),
    ]
    base += ["--depth", str(FULL), "--cascade"]
    shown = CliRunner().invoke(app, [*base, "--out", str(tmp_path / "one")])
    assert shown.exit_code == 0, shown.output
    said = " ".join(shown.output.split())
    assert "can stop at layer 1 of 2" in said
    assert "one bound of 10% on misses" in said
    printed = CliRunner().invoke(app, [*base, "--out", str(tmp_path / "two"), "--json"])
    told = json.loads(printed.stdout)["distilled"]["cascade"]
    assert {"stops", "cleared", "messages_per_second", "tolerated_miss_rate", "taken"} <= set(told)


def test_calibrating_again_bounds_what_either_depth_clears_and_moves_no_stop(
    cascade: Bundle, tmp_path: Path
) -> None:
    """A bound on examples kept apart is one on the whole cascade, since its risks are on one scale."""
    chance = random.Random(5)  # noqa: S311 - letters, no secrets
    apart = [
        LabelledExample(
            text="".join(
                chance.choice("zqxvw" if at_risk ^ (chance.random() < 0.3) else "abcde") for _ in range(12)
            ),
            at_risk=at_risk,
        )
        for at_risk in (True, False)
        for _ in range(60)
    ]
    calibrate(cascade.path, apart, tmp_path / "out", lambda *_: None, Goal(0.2), device="cpu")
    again = Bundle.load(tmp_path / "out")
    assert again.cascade == cascade.cascade
    engine = load_engine(again, device="cpu")
    found = evaluate(engine, again, apart)
    assert found.miss_rate is not None
    assert found.miss_rate < 0.2
    assert set(found.depths) == {SHALLOW, FULL}


def test_what_goes_on_has_the_highlights_that_the_full_depth_gives(cascade: Bundle) -> None:
    reader = open_reader(cascade, "pooled", device="cpu", device_tokens=256)
    device, identity = reader.device, engine_on(reader, cascade).identity
    assert cascade.heads is not None
    assert cascade.shallow is not None
    assert isinstance(device, StackedDevice)
    found = Highlighter(cascade.heads, reader, identity.windowing, identity.max_message_tokens, 0.3)
    texts = [" ".join([text[:4], text[4:8], text[8:]]) for text in TRAFFIC]
    read = CascadeEngine(identity, cascade.heads, cascade.shallow.heads, reader, device, found).read(texts)
    deep = PooledEngine(identity, cascade.heads, reader, found, FULL).read(texts)
    went_on = [
        (scores.highlights, whole.highlights)
        for scores, whole in zip(read, deep, strict=True)
        if scores.depth == FULL
    ]
    assert any(one for one, _ in went_on)
    assert all(one == other for one, other in went_on)
    assert not any(scores.highlights for scores in read if scores.depth == SHALLOW)
