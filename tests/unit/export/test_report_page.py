"""The page: everything on it is in its JSON, nothing in it can run or call, and texts stay out of it."""

import math
import re
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from engine.bundle import Bundle
from engine.errors import SettingsError
from engine.scores import Scores
from export.evaluating.evaluate import judge, score
from export.evaluating.figures import backwards
from export.evaluating.intervals import Interval
from export.evaluating.page.render import render
from export.evaluating.report import Asked, Report
from export.evaluating.shots import Shots, draw, measure
from export.evaluating.table import ZeroShotWay
from export.evaluating.writing import as_json, require_room, twin, write_report
from export.examples import LabelledExample
from mimamori.soak.canned_engine import CannedEngine
from tests.fakes.tiny_bundle import TASK, write_tiny_bundle

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\u202e{{ 7 * 7 }}"
EXAMPLES = [
    LabelledExample(f"the words of person {n}", at_risk=n % 2 == 0, severity=TASK.level_names[n % 3])
    for n in range(79)
] + [LabelledExample(HOSTILE, at_risk=True, severity="high")]
VOID = {"meta", "br", "img", "link", "input", "hr", "path", "circle", "rect"}


class Holey(CannedEngine):
    """Some of its scores are not numbers."""

    def read(self, texts: Sequence[str]) -> list[Scores]:
        return [
            msgspec.structs.replace(each, risk=math.nan) if "3" in text else each
            for text, each in zip(texts, super().read(texts), strict=True)
        ]


class Page(HTMLParser):
    """Keeps tags, attributes and words, and refuses tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "full")


def _report(full: Bundle, *, show_text: bool = False, engine: CannedEngine | None = None) -> Report:
    engine = engine or CannedEngine()
    scores = score(engine, EXAMPLES)
    made = judge(
        engine,
        full,
        EXAMPLES,
        scores,
        lower=0.3,
        upper=0.6,
        asked=Asked(0.02, 0.5, show_text, 3),
        data=f"{HOSTILE}.jsonl",
        columns={HOSTILE: [HOSTILE if n % 2 else None for n in range(80)]},
        notes=[HOSTILE],
    )
    rows = measure([ZeroShotWay(scores, 20.0)], draw(EXAMPLES, (0, 5), 2, 1), EXAMPLES)
    shots = Shots("t", 80, 80, (0, 5), 2, 1, rows, {"zero-shot": 0}, {"zero-shot": 20.0})
    return msgspec.structs.replace(made, shots=shots)


@pytest.fixture(scope="module")
def report(full: Bundle) -> Report:
    return _report(full)


def test_the_page_is_made_of_its_json_alone(report: Report) -> None:
    again = msgspec.json.decode(as_json(report), type=Report)
    assert again == report
    assert render(again) == render(report)


def test_what_the_bundle_states_of_its_misses_is_on_the_page(report: Report) -> None:
    said = msgspec.structs.replace(report, states="at most 5 % are missed, with confidence 90 %")
    assert "The bundle states: at most 5 % are missed, with confidence 90 %." in Page(render(said)).words
    assert "The bundle states" not in render(report)


def test_the_page_calls_nothing_and_runs_nothing(report: Report) -> None:
    html = render(report)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(page.tags)
    assert not [
        name for name, _ in page.attributes if name.startswith("on") or name in {"src", "href", "style"}
    ]
    assert "url(" not in html
    assert "@import" not in html
    assert not re.findall(r"https?://", html)
    policy = next(value for _, value in page.attributes if "default-src" in value)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_what_a_file_brings_is_words_and_never_markup(full: Bundle) -> None:
    page = Page(render(_report(full, show_text=True)))
    assert page.words.count("<script>alert(1)</script>") >= 3  # the data's name, a note and a slice, as words
    assert page.tags.count("style") == 1
    assert "{{ 7 * 7 }}" in page.words


def test_texts_stay_out_unless_they_are_asked_for(full: Bundle, report: Report) -> None:
    assert report.worst
    for out in (render(report), as_json(report).decode()):
        assert "the words of person" not in out
    shown = _report(full, show_text=True)
    assert "the words of person" in render(shown)
    assert "⟨U+202E⟩" in render(shown)
    assert "\u202e" not in "".join(each.text or "" for each in shown.worst)


def test_what_got_no_score_is_told_and_never_clear(full: Bundle) -> None:
    report = _report(full, engine=Holey())
    without = sum("3" in example.text for example in EXAMPLES)
    assert report.unanswered == without > 10
    kinds = [[each.risk for each in report.worst if each.kind == kind] for kind in ("missed", "alarm")]
    assert max(kinds[0]) < 0.3
    assert report.reliability is not None
    assert sum(each.examples for each in report.reliability.bins) == 80 - without
    assert report.curve[-1].missed < 1.0
    assert f"{without} messages got no score" in Page(render(report)).words


@pytest.mark.parametrize("against", [True, False])
def test_a_reading_that_ranks_worse_than_chance_is_named(full: Bundle, *, against: bool) -> None:
    engine = CannedEngine()
    texts = [f"message {n}" for n in range(60)]
    risks = [each.risk for each in engine.read(texts)]
    middle = sorted(risks)[30]
    examples = [
        LabelledExample(text, at_risk=(risk < middle) is against)
        for text, risk in zip(texts, risks, strict=True)
    ]
    made = judge(engine, full, examples, score(engine, examples), notes=["known before"])
    words = Page(render(made)).words
    assert made.notes[0] == "known before"
    assert ("rank messages worse than chance" in words) is against
    assert len(made.notes) == 1 + against


@pytest.mark.parametrize(
    ("auc", "high", "said"),
    [(0.4, 0.45, "worse than chance"), (0.4, 0.55, "no better than chance"), (0.5, 0.6, None)],
)
def test_worse_than_chance_is_said_only_where_the_interval_says_it(
    auc: float, high: float, said: str | None
) -> None:
    told = backwards(auc, Interval(0.3, high))
    assert told is None if said is None else said in str(told)


def test_one_class_or_one_example_still_makes_a_page(full: Bundle) -> None:
    for examples in (EXAMPLES[:1], EXAMPLES[1:2], EXAMPLES[:2], [EXAMPLES[1]] * 3):
        engine = CannedEngine(reading="prompted")
        made = judge(engine, full, examples, score(engine, examples))
        words = Page(render(made)).words
        assert "too few to conclude" in words


def test_the_page_and_its_json_are_written_and_never_over_another_file(
    report: Report, tmp_path: Path
) -> None:
    out = tmp_path / "march.html"
    write_report(report, out)
    assert out.read_text(encoding="utf-8") == render(report)
    assert twin(out).read_bytes() == as_json(report)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["march.html", "march.json"]
    out.unlink()
    with pytest.raises(SettingsError, match=r"march\.json exists already"):
        write_report(report, out)
    (tmp_path / "test.json").write_text("[]")
    with pytest.raises(SettingsError, match=r"test\.json exists already"):
        require_room(tmp_path / "test.html")
    with pytest.raises(SettingsError, match=r"ends in \.html"):
        require_room(tmp_path / "report.pdf")
    with pytest.raises(SettingsError, match="cannot write into"):
        require_room(tmp_path / "nowhere" / "report.html")


def test_a_disk_that_fills_up_leaves_nothing(report: Report, tmp_path: Path) -> None:
    """The limit on a file's size fails a write as a full disk does, after its first part."""
    (tmp_path / "in.json").write_bytes(as_json(report))
    (tmp_path / "out").mkdir()
    code = (
        "import resource, signal, sys, msgspec\n"
        "from pathlib import Path\n"
        "from engine.errors import SettingsError\n"
        "from export.evaluating.report import Report\n"
        "from export.evaluating.writing import write_report\n"
        "report = msgspec.json.decode(Path(sys.argv[1], 'in.json').read_bytes(), type=Report)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "for room in sys.argv[2:]:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        write_report(report, Path(sys.argv[1], 'out', 'r.html'))\n"
        "    except SettingsError as error:\n"
        "        print(error, [each.name for each in Path(sys.argv[1], 'out').iterdir()])\n"
    )
    size = len(as_json(report))
    assert size < len(render(report))
    rooms = ("2000", str(size + 10))  # the JSON does not fit, then the page does not
    run = [sys.executable, "-B", "-c", code, str(tmp_path), *rooms]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == 2
    for line in said:
        assert "cannot write" in line
        assert line.endswith("nothing was written []")
