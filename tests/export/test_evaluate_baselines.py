"""`mimamori evaluate --baseline`: every baseline on the same draws as the bundle's readings."""

import json
import random
from pathlib import Path

import pytest
import typer
from aiohttp import web
from typer.testing import CliRunner

from engine.errors import SettingsError
from export.errors import EndpointError
from mimamori.cli import evaluate as commands
from mimamori.cli.measured import numbers
from tests.fakes.chat_server import Body, ChatServer, said
from tests.fakes.tiny_bert import write_tiny_bert
from tests.fakes.tiny_bundle import write_tiny_bundle

CHANCE = random.Random(5)  # noqa: S311 - words, no secrets
DULL = ["lunch", "noon", "hat", "see", "you", "at", "the", "park", "for", "a", "walk", "and", "some", "tea"]


def _write(path: Path, count: int) -> str:
    rows = []
    for n in range(count):
        words = CHANCE.sample(DULL, 4) + ["tired"] * (n % 2)
        rows.append({"text": " ".join(CHANCE.sample(words, len(words))), "at_risk": bool(n % 2)})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    bundle = str(write_tiny_bundle(tmp_path / "full").path)
    files = [
        "--examples",
        _write(tmp_path / "test.jsonl", 20),
        "--train",
        _write(tmp_path / "train.jsonl", 40),
    ]
    return [bundle, *files, "--shots", "0,10", "--draws", "1", "--device", "cpu", "--json"]


def _run(*arguments: str) -> tuple[str, BaseException | None]:
    app = typer.Typer()
    commands.register(app)
    done = CliRunner().invoke(app, arguments)
    return done.output, done.exception


def _named(*names: str) -> list[str]:
    return [word for name in names for word in ("--baseline", name)]


def test_all_baselines_stand_in_one_table(asked: list[str], tmp_path: Path) -> None:
    folder, other = write_tiny_bert(tmp_path / "bert"), write_tiny_bundle(tmp_path / "other").path
    key = tmp_path / "key"
    key.write_text("sk-secret")
    report = tmp_path / "report.html"
    with ChatServer() as server:
        names = _named("tf-idf", f"embedding:{folder}", f"bundle:{other}", "endpoint:judge")
        reach = ["--endpoint", server.url, "--send-texts-to", "127.0.0.1", "--api-key-file", str(key)]
        prices = ["--price-in", "2", "--price-out", "8", "--cost-per-hour", "0.36"]
        few = _named("endpoint-few-shot:judge")
        out, error = _run(*asked, *names, *few, *reach, *prices, "--report", str(report))
    assert error is None, out
    told = json.loads(report.with_suffix(".json").read_text())
    rows = {(row["way"], row["labels"]): row for row in told["shots"]["rows"]}
    judge = f"judge at {server.url.split('/')[2]}"
    learnt = ["TF-IDF + logistic regression", "sentence embedding + logistic regression"]
    assert {key for key in rows if key[0] not in {"zero-shot", "head"}} == {
        *((way, 10) for way in [*learnt, f"{judge}, few-shot"]),
        ("tiny, prompted", 0),
        (f"{judge}, zero-shot", 0),
    }
    assert rows[learnt[0], 10]["auc"]["mean"] > 0.8  # one word tells
    assert rows[f"{judge}, few-shot", 10]["f1"]["mean"] == 1.0
    assert rows[f"{judge}, zero-shot", 0]["unanswered"] == 0
    assert set(told["shots"]["messages_per_second"]) >= {*learnt, "tiny, prompted", f"{judge}, few-shot"}
    rates, costs = told["shots"]["messages_per_second"], told["shots"]["cost_per_million"]
    assert costs["head"] == pytest.approx(100 / rates["head"])  # 0.36 an hour are 0.0001 a second
    assert costs[f"{judge}, zero-shot"] == pytest.approx(50 * 2 + 8)  # by the bill, not by the rate
    assert set(costs) == set(rates)
    page = report.read_text()
    assert judge in page
    assert "108.00 a million messages" in page
    assert "sk-secret" not in page + out


def test_an_endpoint_that_answers_nonsense_is_told_and_clears_nobody(asked: list[str]) -> None:
    async def chatter(_number: int, _body: Body, _request: web.Request) -> web.Response:
        return web.json_response(said("As ever, it depends."))

    with ChatServer(chatter) as server:
        reach = ["--endpoint", server.url, "--send-texts-to", "127.0.0.1"]
        out, error = _run(*asked, *_named("endpoint:judge"), *reach)
    assert error is None, out
    told = json.loads(out[out.index("\n{") :] if out[0] != "{" else out)["shots"]
    (row,) = [row for row in told["rows"] if row["way"].endswith("zero-shot") and "judge" in row["way"]]
    assert row["unanswered"] == 20
    assert row["auc"]["mean"] == 0.5
    assert any("20 of 20 unanswered" in note for note in told["notes"])


def test_numbers_without_any_way_are_told(asked: list[str]) -> None:
    place = asked.index("--shots") + 1
    out, error = _run(*asked[:place], "3,3", *asked[place + 1 :])
    assert error is None, out
    assert "No way can be fitted to so few labels" in out


def test_a_number_that_is_given_twice_counts_once() -> None:
    assert numbers("--shots", "10,0,10") == (10, 0)


def test_nothing_is_sent_where_that_was_not_agreed_to_or_costs_too_much(asked: list[str]) -> None:
    with ChatServer() as server:
        reach = [*asked, *_named("endpoint-few-shot:judge"), "--endpoint", server.url]
        _, error = _run(*reach)
        assert isinstance(error, SettingsError)
        assert "agree with --send-texts-to 127.0.0.1" in str(error)
        prices = ["--price-in", "1000", "--price-out", "1000", "--max-cost", "1"]
        _, error = _run(*reach, "--send-texts-to", "127.0.0.1", *prices)
        assert isinstance(error, EndpointError)
        assert "20 questions" in str(error)  # 20 messages, one draw of 10
        assert not server.bodies


def test_baselines_need_examples_to_draw(asked: list[str]) -> None:
    _, error = _run(*asked[:3], *_named("tf-idf"))
    assert isinstance(error, SettingsError)
    assert "give that too" in str(error)
