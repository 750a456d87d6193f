"""A front under load, at its end, and with requests that it refuses."""

import json
import logging
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog
from prometheus_client import generate_latest

from engine.errors import DeviceError, FatalError, SettingsError
from engine.scores import Scores
from front.settings import FrontSettings, load_front_settings
from front.startup import start
from mimamori.cli.serve import serve
from mimamori.soak.canned_engine import CannedEngine
from tests.fakes.served_front import served_front
from worker.settings import Settings

PRIVATE = "nobody must find this line in a log"
Answer = tuple[int, dict[str, object], dict[str, str]]


def ask(url: str, body: object, path: str = "/v1/moderations", **headers: str) -> Answer:
    """The status, the JSON and the headers of an answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    request = urllib.request.Request(url + path, content, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response), dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def code(answer: Answer) -> tuple[int, object]:
    error = answer[1]["error"]
    assert isinstance(error, dict)
    return answer[0], error["code"]


class HeldEngine(CannedEngine):
    """Reads the front's own first texts at once, and others only when it is let go."""

    def __init__(self) -> None:
        super().__init__(levels=3)
        self.holds = threading.Event()
        self.go = threading.Event()
        self.texts: list[str] = []

    def read(self, texts: Sequence[str]) -> list[Scores]:
        if "kettle" not in texts[0]:
            self.texts += texts
            self.holds.set()
            assert self.go.wait(30)
        return super().read(texts)


def test_a_front_on_a_port_that_is_taken_says_so() -> None:
    with served_front() as first, served_front(port=first.service.port) as second:
        pass
    assert isinstance(second.error, SettingsError)
    assert "MIMAMORI_FRONT_PORT" in str(second.error)


@pytest.mark.parametrize("several", [{"more_bundles": "a"}, {"canary_bundle": "a"}])
def test_settings_of_several_bundles_are_refused(several: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="a front screens with one bundle: remove MIMAMORI_MORE_BUNDLES"):
        start(Settings.model_validate(several), FrontSettings())


def test_under_load_it_sheds_with_503_and_answers_what_it_has_admitted() -> None:
    engine = HeldEngine()
    # Nothing is measured with so few texts, and then 2048 tokens may wait.
    with served_front(engine, deadline_s=30.0) as front, ThreadPoolExecutor(8) as pool:
        front.service._reading._pace._rate = 10.0  # 300 tokens within the deadline
        first = pool.submit(ask, front.url, {"input": "x" * 400})
        assert engine.holds.wait(30)
        second = pool.submit(ask, front.url, {"input": "y" * 400})
        until(lambda: front.service._line.waiting_tokens > 200)  # both
        shed = pool.submit(ask, front.url, {"input": "z" * 600}).result()
        assert code(shed) == (503, "overloaded")
        assert 1 <= int(shed[2]["Retry-After"]) <= 30
        engine.go.set()
        assert (first.result()[0], second.result()[0]) == (200, 200)


def test_the_deadline_is_kept_while_something_else_is_read() -> None:
    engine = HeldEngine()
    with served_front(engine, deadline_s=0.2) as front, ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, front.url, {"input": "first"})
        assert engine.holds.wait(30)
        assert code(ask(front.url, {"input": "second"})) == (503, "overloaded")
        engine.go.set()
        assert first.result()[0] == 200
    assert engine.texts == ["first"]


def test_a_slow_start_is_forgotten_while_short_texts_are_read() -> None:
    with served_front() as front:
        pace = front.service._reading._pace
        pace._rate = 10.0  # tokens a second
        for number in range(400):
            ask(front.url, {"input": f"a short text {number}"})
        assert pace.tokens_in(1.0) > 100
        fast = pace._rate = 1e9
        for number in range(100):
            ask(front.url, {"input": f"another text {number}"})
        assert pace.tokens_in(1.0) == fast  # what is read in small batches says nothing of large ones


def test_it_drains_what_it_has_admitted_and_admits_no_more() -> None:
    engine = HeldEngine()
    with served_front(engine) as front, ThreadPoolExecutor(2) as pool:
        asked = pool.submit(ask, front.url, {"input": ["one", "two"]})
        assert engine.holds.wait(30)
        front.service.stop()
        until(lambda: front.service._line._closed)
        assert front.service._ready() == "draining"
        engine.go.set()
        status, answer, _ = asked.result()
        assert (status, len(answer["results"])) == (200, 2)  # type: ignore[arg-type] # JSON
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", front.service.port), timeout=5)


def test_texts_of_a_caller_that_has_gone_are_not_read() -> None:
    engine = HeldEngine()
    with served_front(engine) as front, ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, front.url, {"input": "first"})
        assert engine.holds.wait(30)
        body = json.dumps({"input": "nobody waits for this"}).encode()
        head = (
            "POST /v1/moderations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", front.service.port)) as gone:
            gone.sendall(head.encode() + body)
            until(lambda: len(front.service._line._waiting) == 1)
        until(lambda: not front.service._line._waiting)
        engine.go.set()
        assert first.result()[0] == 200
    assert engine.texts == ["first"]


def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    ticks = threading.Event()
    for _ in range(int(within_s / 0.01)):
        if condition():
            return
        ticks.wait(0.01)
    raise AssertionError("it never came true")


def test_a_text_that_the_model_fails_on_is_for_a_person_and_the_others_have_scores() -> None:
    class Picky(CannedEngine):
        def read(self, texts: Sequence[str]) -> list[Scores]:
            if any("poison" in text for text in texts):
                raise ValueError("cannot")
            return super().read(texts)

    with served_front(Picky(levels=3)) as front:
        _, answer, _ = ask(front.url, {"input": ["good", "poison", "well"]})
    results: list[dict[str, dict[str, object]]] = answer["results"]  # type: ignore[assignment] # JSON
    assert [one["mimamori"]["reasons"] == ["unscorable"] for one in results] == [False, True, False]
    assert results[1]["flagged"]
    assert results[1]["mimamori"]["verdict"] == "uncertain"
    assert results[1]["category_scores"] == {"stress": 1.0}


def test_a_model_that_fails_for_good_ends_the_front_and_tells_the_caller() -> None:
    class Broken(CannedEngine):
        def read(self, texts: Sequence[str]) -> list[Scores]:
            if "kettle" in texts[0]:
                return super().read(texts)
            raise DeviceError("the device is gone")

    with served_front(Broken(levels=3)) as front:
        status, answer, _ = ask(front.url, {"input": "hello"})
    assert status == 500
    assert "no scores" in str(answer)
    assert isinstance(front.error, FatalError)
    assert str(front.error) == "the device is gone"


def test_limits_and_forms() -> None:
    with served_front(max_body_bytes=2048, max_texts=3) as front:
        url = front.url
        assert code(ask(url, {"input": "x" * 3000})) == (413, "request_too_large")
        assert code(ask(url, {"input": ["a"] * 4})) == (413, "request_too_large")
        assert ask(url, {"input": "hi"}, Content_Type="text/plain")[0] == 415
        for wrong in (
            b"",
            b"{",
            b'{"input": "\xff"}',
            b'{"input": 7}',
            b'{"input": []}',
            b"[]",
            b'{"input": [7]}',
        ):
            assert ask(url, wrong)[0] == 400, wrong
        assert ask(url, {}, "/v1/embeddings")[0] == 404
        assert ask(url, {"input": ["a"] * 3})[0] == 200


def test_no_text_is_logged_whatever_happens(capfd: pytest.CaptureFixture[str]) -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    logging.getLogger().setLevel(logging.DEBUG)
    with served_front(max_body_bytes=2048) as front:
        for body in (
            {"input": PRIVATE},
            {"input": {PRIVATE: PRIVATE}},
            {"input": PRIVATE * 100},
            {"input": [PRIVATE, 7]},
        ):
            _, answer, _ = ask(front.url, body)
            assert PRIVATE not in str(answer)
        ask(
            front.url,
            {"comment": {"text": PRIVATE}},
            f"/v1alpha1/comments:analyze?key={PRIVATE.replace(' ', '+')}",
        )

    class Talkative(CannedEngine):
        def read(self, texts: Sequence[str]) -> list[Scores]:
            if "kettle" in texts[0]:
                return super().read(texts)
            raise ValueError(f"cannot read {PRIVATE}")

    with served_front(Talkative(levels=3)) as front:
        assert PRIVATE not in str(ask(front.url, {"input": PRIVATE}))
    assert "ValueError" in str(front.error)
    assert PRIVATE not in str(front.error)
    said = "".join(capfd.readouterr())
    assert "front_stopped" in said
    assert PRIVATE not in said


def raw(port: int, sent: bytes) -> bytes:
    """What comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as asking:
        asking.sendall(sent)
        came = b""
        while more := asking.recv(65536):
            came += more
        return came


def post(body: bytes, *headers: str) -> bytes:
    head = ["POST /v1/moderations HTTP/1.1", "Host: x", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def test_a_chunk_whose_length_counts_characters_is_refused_without_a_word_of_it(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    body = '{"input": "もう何日も眠れていません。PRIVATE"}'
    chunks = f"{len(body):x}\r\n{body}\r\n0\r\n\r\n".encode()
    with served_front(tokens=TOKEN) as front:  # and none is sent
        came = raw(front.service.port, post(chunks, "Transfer-Encoding: chunked"))
    assert b" 400 " in came[:20]
    assert b"not valid HTTP" in came
    said = came.decode() + caplog.text + "".join(capfd.readouterr())
    assert not [word for word in ("PRIVATE", "眠れ", r"\xe7\x9c\xa0", r"input\"") if word in said]


@pytest.fixture
def loggers_and_signals() -> Iterator[None]:
    """Puts back what a command sets for its whole process."""
    root, numbers = logging.getLogger(), (signal.SIGTERM, signal.SIGINT)
    handlers, level, signals = root.handlers[:], root.level, [signal.getsignal(n) for n in numbers]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for number, handler in zip(numbers, signals, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("loggers_and_signals")
def test_what_a_library_says_is_logged_without_what_it_quotes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Failing:
        def run(self) -> None:
            logging.getLogger("aiohttp.server").error("request failed", exc_info=ValueError(PRIVATE))

    monkeypatch.setattr("front.startup.start", lambda *_: Failing())
    monkeypatch.setattr("worker.startup.settle_memory", lambda: None)
    logging.getLogger().handlers.clear()  # as in a process of its own
    serve()
    said = "".join(capfd.readouterr())
    assert "library_says" in said
    assert "ValueError" in said
    assert PRIVATE not in said


def test_what_cannot_be_a_request_gets_400() -> None:
    deep = b'{"input":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    asked = b'{"comment":' + b'{"text":' * 20_000
    with served_front() as front:
        port = front.service.port
        for path in ("/v1/moderations", "/v1alpha1/comments:analyze"):
            for body in (deep, asked, deep.replace(b"input", b"comment")):
                assert ask(front.url, body, path)[0] == 400
            assert ask(front.url, b"no gzip", path, Content_Encoding="gzip")[0] == 400
        assert b" 400 " in raw(
            port, b"GET /$discovery/rest HTTP/1.1\r\nHost: x:y\r\nConnection: close\r\n\r\n"
        )
        said = raw(port, b"GET /v1/moderations HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 405 " in said[:20]
        assert b"\r\nAllow: POST\r\n" in said


def test_beyond_loopback_nobody_asks_without_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="MIMAMORI_FRONT_TOKENS"):
        load_front_settings(host="0.0.0.0")  # noqa: S104 - it is refused
    file = tmp_path / "tokens"
    file.write_text("# the chat service\nthe-token-of-the-chat\n")
    monkeypatch.setenv("MIMAMORI_FRONT_TOKENS_FILE", str(file))
    assert load_front_settings(host="0.0.0.0").known_tokens == {"the-token-of-the-chat"}  # noqa: S104 - it has a token
    file.write_bytes(
        "\ufeffthe-token-of-the-chat\r\n  # the-token-of-before\r\n".encode()
    )  # saved on Windows
    assert load_front_settings().known_tokens == {"the-token-of-the-chat"}
    file.write_text("# nobody\n")
    with pytest.raises(SettingsError, match="holds no token"):
        load_front_settings()
    monkeypatch.setenv("MIMAMORI_FRONT_TOKEN", "misspelt")
    with pytest.raises(SettingsError, match="no such setting: MIMAMORI_FRONT_TOKEN;"):
        load_front_settings()


def test_a_short_token_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMAMORI_FRONT_TOKENS", "long-enough-to-be-a-token,hunter2")
    with pytest.raises(SettingsError, match="fewer than 16") as refused:
        load_front_settings()
    assert "hunter2" not in str(refused.value)


TOKEN = "the-token-of-the-chat"  # noqa: S105 - of a front that lives as long as a test


def test_a_token_is_taken_from_where_clients_put_it() -> None:
    body = {"comment": {"text": "hi"}, "requestedAttributes": {"STRESS": {}}}
    path = "/v1alpha1/comments:analyze"
    with served_front(tokens=f"{TOKEN},another-long-token") as front:
        assert ask(front.url, body, path)[0] == 401
        assert ask(front.url, body, f"{path}?key={TOKEN}x")[0] == 401
        assert ask(front.url, body, f"{path}?key={TOKEN}")[0] == 200
        assert ask(front.url, body, path, X_Goog_Api_Key=TOKEN)[0] == 200
        assert ask(front.url, body, path, Authorization=f"Bearer {TOKEN}")[0] == 200


def test_a_name_for_a_task_that_is_not_screened_stops_the_start() -> None:
    with (
        pytest.raises(SettingsError, match="MIMAMORI_FRONT_CATEGORIES maps violence"),
        served_front(categories={"violence": "threats"}),
    ):
        pass


def test_probes_and_metrics_are_on_a_port_of_their_own() -> None:
    with served_front() as front:
        ask(front.url, {"input": ["one", "two"]})
        assert (front.service._live(), front.service._ready()) == (None, None)
        shown = generate_latest(front.service._metrics.registry).decode()
    assert 'mimamori_front_requests_total{api="openai",status="200"} 1.0' in shown
    # What alerts count is there before it happens.
    for status in ("401", "500", "503"):
        assert f'mimamori_front_requests_total{{api="perspective",status="{status}"}} 0.0' in shown
    assert (
        sum(
            float(line.split()[-1])
            for line in shown.splitlines()
            if line.startswith("mimamori_front_texts_total{")
        )
        == 2
    )
    assert "mimamori_front_batch_texts_count 2.0" in shown  # with the front's own first batch
