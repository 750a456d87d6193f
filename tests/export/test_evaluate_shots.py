"""`mimamori evaluate --train`: readings of a small real network, fitted to draws, measured on a test file."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from engine.bundle import Bundle
from engine.errors import BundleError, SettingsError
from engine.load import load_engine
from export.adapting.adapt import adapt
from export.adapting.distilled import Distillation
from export.evaluating.readings import Readings
from export.evaluating.shots import draw
from export.examples import LabelledExample
from mimamori.cli import evaluate as commands
from tests.fakes.tiny_bundle import TASK, write_tiny_bundle

CHANCE = random.Random(3)  # noqa: S311 - letters, no secrets


def _text(*, at_risk: bool, length: int = 12) -> str:
    """Letters of either end of the alphabet, some of the other: no head is perfect."""
    mine, others = ("zqxvw", "abcde") if at_risk else ("abcde", "zqxvw")
    return "".join(CHANCE.choice(mine if CHANCE.random() < 0.7 else others) for _ in range(length))


TRAIN, TEST = (
    [LabelledExample(_text(at_risk=n % 2 == 0), at_risk=n % 2 == 0) for n in range(60)] for _ in range(2)
)
TRAFFIC = [_text(at_risk=n % 4 == 0) for n in range(260)]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "full")


def _write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _rows(examples: list[LabelledExample]) -> list[dict[str, object]]:
    return [
        {
            "post": example.text,
            "label": "bad" if example.at_risk else "fine",
            "from": "app" if n % 3 else "web",
        }
        for n, example in enumerate(examples)
    ]


COLUMNS = ("--text-column", "post", "--label-column", "label", "--at-risk", "bad", "--not-at-risk", "fine")


def _run(*arguments: str) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    commands.register(app)
    done = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    return done.exit_code, done.stdout, done.exception


def test_one_command_measures_every_reading_of_any_data_set(full: Bundle, tmp_path: Path) -> None:
    test = _write(tmp_path / "test.jsonl", _rows([*TEST, TRAIN[0]]))
    train = _write(tmp_path / "train.jsonl", _rows(TRAIN))
    traffic = _write(tmp_path / "traffic.jsonl", [{"text": text} for text in TRAFFIC])
    report = tmp_path / "report.html"
    asked = ("--shots", "0,1,10,20", "--draws", "2", "--traffic", traffic, "--depths", "1", "--slice", "from")
    code, out, error = _run(
        str(full.path),
        "--examples",
        test,
        "--train",
        train,
        *COLUMNS,
        *asked,
        "--json",
        "--report",
        str(report),
    )
    assert code == 0, error
    told = json.loads(out)
    assert told == json.loads((tmp_path / "report.json").read_text())
    assert told["version"] == 2
    assert told["examples"] == told["shots"]["test_examples"] == 60  # not the row that is in train too
    assert any("row 61" in note for note in told["notes"])
    rows = {(row["way"], row["labels"]): row for row in told["shots"]["rows"]}
    assert set(rows) == {
        ("zero-shot", 0),
        *(
            (way, labels)
            for way in ("head", "distilled, 1 layer", "cascade, 1 layer first")
            for labels in (10, 20)
        ),
    }
    assert rows["zero-shot", 0]["auc"]["mean"] == pytest.approx(told["auc"])
    assert rows["head", 20]["auc"]["mean"] > 0.8
    assert len(rows["head", 20]["f1"]["draws"]) == 2
    assert set(told["shots"]["messages_per_second"]) == {"zero-shot", "head", "distilled, 1 layer"}
    assert {each["by"] for each in told["slices"]} == {"length", "from"}
    page = report.read_text()
    assert "How few labels are enough" in page
    assert sorted(each.name for each in full.path.parent.iterdir()) == ["full"]
    assert TEST[0].text not in page
    assert not told["shots"]["cost_per_million"]
    assert not told["shots"]["notes"]
    code, out, error = _run(str(full.path), "--examples", test, "--train", train, *COLUMNS, *asked[:4])
    assert code == 0, error
    assert "head" in out


@pytest.mark.parametrize(
    ("shots", "depths", "said"),
    [("0,10", "0,1,40", "--depths 0, 40: not distilled"), ("0,5", "1", "No draw has 10 labels")],
)
def test_depths_that_have_no_reading_are_told(
    full: Bundle, tmp_path: Path, shots: str, depths: str, said: str
) -> None:
    files = [_write(tmp_path / f"{name}.jsonl", _rows(rows)) for name, rows in (("a", TEST), ("b", TRAIN))]
    traffic = _write(tmp_path / "traffic.jsonl", [{"text": text} for text in TRAFFIC])
    asked = ("--shots", shots, "--draws", "1", "--traffic", traffic, "--depths", depths, "--json")
    code, out, error = _run(str(full.path), "--examples", files[0], "--train", files[1], *COLUMNS, *asked)
    assert code == 0, error
    assert said in " ".join(json.loads(out)["shots"]["notes"])


@pytest.mark.parametrize("depth", [None, 1])
def test_a_draw_has_the_figures_of_the_bundle_that_adapt_makes_of_it(
    depth: int | None, full: Bundle, tmp_path: Path
) -> None:
    drawn = draw(TRAIN, (20,), 1, seed=2)
    readings = Readings(
        full, drawn, TEST, lambda *_: None, traffic=TRAFFIC, train=TRAIN, depths=(1,), device="cpu"
    )
    mine = readings.head(drawn[0].examples, depth)
    distillation = None if depth is None else Distillation(TRAFFIC, depth=depth)
    out = tmp_path / "out"
    adapt(full.path, drawn[0].examples, out, lambda *_: None, device="cpu", distillation=distillation)
    bundle = Bundle.load(out)
    assert bundle.manifest.layer == (depth or readings.layer)
    scores = load_engine(bundle, device="cpu").read([example.text for example in TEST])
    risks = np.array([each.risk for each in scores])
    # The texts here are one window long, whatever windows the bundle has.
    assert np.corrcoef(mine, risks)[0, 1] > 0.999
    assert np.abs(mine - risks).max() < 0.02


def test_a_cascade_stops_what_its_shallow_depth_clears_and_reads_the_rest_to_the_end(full: Bundle) -> None:
    drawn = draw(TRAIN, (20,), 1, seed=2)
    readings = Readings(
        full, drawn, TEST, lambda *_: None, traffic=TRAFFIC, train=TRAIN, depths=(1,), device="cpu"
    )
    examples = drawn[0].examples
    shallow, deep = readings.head(examples, 1), readings.head(examples)
    mixed = readings.cascade(examples, 1, 0.1)
    stopped = mixed != deep
    assert 0 < stopped.sum() < len(TEST)
    assert np.array_equal(mixed[stopped], shallow[stopped])
    assert shallow[stopped].max() < shallow[~stopped].min()
    labels = np.array([example.at_risk for example in TEST])
    assert stopped[labels].mean() < stopped[~labels].mean()
    # Ten at risk are too few to promise that none in a hundred is missed: everything is read to the end.
    assert np.array_equal(readings.cascade(examples, 1, 0.01), deep)


def test_what_cannot_be_fitted_is_said_before_anything_is_read(full: Bundle, tmp_path: Path) -> None:
    test = _write(tmp_path / "test.jsonl", _rows(TEST))
    train = _write(tmp_path / "train.jsonl", _rows(TRAIN))
    adapt(full.path, TRAIN[:20], tmp_path / "adapted", lambda *_: None, device="cpu")
    cut = str(tmp_path / "adapted")
    for arguments, words in (
        ((cut, "--train", train), "full bundle"),
        ((str(full.path), "--traffic", train), "--train"),
        ((str(full.path), "--train", train, "--shots", "ten"), "--shots ten"),
        ((str(full.path), "--train", train, "--shots", "-5"), "--shots -5"),
        ((str(full.path), "--train", train, "--traffic", "nowhere.jsonl"), "nowhere.jsonl"),
        ((cut, "--report", str(tmp_path / "test.html")), "exists already"),
        ((cut, "--report", "report.pdf"), ".html"),
    ):
        (tmp_path / "test.json").write_text("[]")
        code, _, error = _run(*arguments, "--examples", test, *COLUMNS)
        assert code
        assert isinstance(error, SettingsError) or "nowhere" in words
        assert words in str(error)
    assert not (tmp_path / "test.html").exists()
    with pytest.raises(BundleError, match="no head to fit"):
        Readings(
            Bundle.load(tmp_path / "adapted"), draw(TRAIN, (10,), 1, 1), TEST, lambda *_: None, device="cpu"
        )


def test_with_too_few_labels_for_a_head_the_prompted_reading_is_measured_alone(
    full: Bundle, tmp_path: Path
) -> None:
    test = _write(tmp_path / "test.jsonl", _rows(TEST))
    train = _write(tmp_path / "train.jsonl", _rows(TRAIN))
    code, out, error = _run(
        str(full.path), "--examples", test, "--train", train, *COLUMNS, "--shots", "0,5", "--json"
    )
    assert code == 0, error
    assert [row["way"] for row in json.loads(out)["shots"]["rows"]] == ["zero-shot"]


def test_no_room_for_the_cut_graph_is_one_line(
    full: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match=r"cannot cut the graph in .*: No such file.*TMPDIR"):
        Readings(full, draw(TRAIN, (10,), 1, seed=2), TEST, lambda *_: None, device="cpu")


def test_a_training_file_that_is_too_small_leaves_no_report(full: Bundle, tmp_path: Path) -> None:
    test = _write(tmp_path / "test.jsonl", _rows(TEST))
    train = _write(tmp_path / "train.jsonl", _rows(TRAIN[:6]))
    report = tmp_path / "report.html"
    code, _, error = _run(
        str(full.path),
        "--examples",
        test,
        "--train",
        train,
        *COLUMNS,
        "--shots",
        "10",
        "--report",
        str(report),
    )
    assert code
    assert "5 examples at risk and 5 others: the training file has 3 and 3" in str(error)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["test.jsonl", "train.jsonl"]


def test_the_task_says_which_levels_a_file_may_have(full: Bundle, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": "some words", "at_risk": True, "severity": "dire"}]
    test = _write(tmp_path / "test.jsonl", rows)
    code, _, error = _run(str(full.path), "--examples", test)
    assert code
    assert "row 1" in str(error)
    assert ", ".join(TASK.level_names) in str(error)
    assert _run(str(full.path), "--examples", test, "--severity-column", "-")[0] == 0
