"""What an endpoint may do wrong: a text without an answer, or one clear line. Never a text or the key."""

import asyncio
import math
import socket
import ssl
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from engine.errors import SettingsError
from engine.task import load_task
from export.baselines.endpoint.address import Key, address_of, read_key
from export.baselines.endpoint.endpoint import Asking, Endpoint
from export.baselines.endpoint.line import Patience
from export.baselines.endpoint.pace import Limits
from export.baselines.endpoint.way import EndpointWay
from export.errors import EndpointError
from tests.fakes.chat_server import Body, ChatServer, Fault, refused, said

TEXTS = ["I AM SO TIRED", "lunch at noon?", "tired, again", "see you"]
ONE_BY_ONE = Limits(at_once=1)


def ask(
    url: str,
    texts: list[str] = TEXTS,
    attempts: int = 3,
    timeout_s: float = 20.0,
    limits: Limits = ONE_BY_ONE,
) -> list[float]:
    patience = Patience(attempts, first_wait_s=0.001, longest_wait_s=2.0, timeout_s=timeout_s)
    asking = Asking(patience=patience, limits=limits)
    key = Key("sk-secret")
    task = load_task("stress")
    endpoint = Endpoint(address_of(url, "127.0.0.1"), "judge", task.risk, key, asking)
    return list(EndpointWay(endpoint, task).risks([], texts, lambda _: None))


def line_of(url: str, attempts: int = 3, timeout_s: float = 20.0) -> str:
    """The error's line. Nothing that an error shows or carries holds a text, the key or a server's words."""
    with pytest.raises(EndpointError) as raised:
        ask(url, attempts=attempts, timeout_s=timeout_s)
    shown = "".join(traceback.format_exception(raised.value))
    assert not [word for word in ("TIRED", "sk-secret", "cannot do this for") if word in shown]
    line = str(raised.value)
    assert "\n" not in line
    return line.removeprefix(url.split("/")[2] + " ")


def always(status: int, code: str | None = None) -> Fault:
    async def fault(_number: int, _body: Body, _request: web.Request) -> web.Response:
        return refused(status, code=code)

    return fault


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [
        (401, "invalid_api_key", "answered 401 (invalid_api_key): check the key"),
        (402, "", "answered 402: the account has no credit"),
        (403, "", "answered 403: the key may not use this model"),
        (
            404,
            "model_not_found",
            "answered 404 (model_not_found): check the URL (it usually ends in /v1) and",
        ),
        (405, "", "answered 405: check the URL"),
        (429, "insufficient_quota", "answered 429 (insufficient_quota): the account has no credit"),
        (400, "unknown", "answered 400: nothing more was sent"),
    ],
)
def test_what_no_patience_mends_ends_it_at_once(status: int, code: str, line: str) -> None:
    with ChatServer(always(status, code)) as server:
        assert line_of(server.url).startswith(line)
    assert len(server.bodies) <= (5 if status == 400 else 1)  # a 400 may be about any of the parameters


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (429, "answered 429 in 3 attempts: try again later, or lower the limits"),
        (500, "answered 500: nothing more was sent"),
        (503, "answered 503: nothing more was sent"),
    ],
)
def test_what_passes_is_tried_again_and_not_for_ever(status: int, line: str) -> None:
    with ChatServer(always(status)) as server:
        assert line_of(server.url).startswith(line)
    assert len(server.bodies) == 3


@pytest.mark.parametrize("dated", [False, True])
def test_retry_after_is_honoured(dated: bool) -> None:  # noqa: FBT001 - a case
    moments: list[float] = []

    async def busy(number: int, _body: Body, _request: web.Request) -> web.Response | None:
        moments.append(asyncio.get_running_loop().time())
        if number != 1:
            return None
        until = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        return refused(429, {"Retry-After": until if dated else "0.3"})

    with ChatServer(busy) as server:
        assert ask(server.url, TEXTS[:2]) == [1.0, 0.0]
    assert moments[2] - moments[1] >= (0.5 if dated else 0.3)  # a date has whole seconds


def test_a_wait_that_is_too_long_is_said() -> None:
    async def busy(_number: int, _body: Body, _request: web.Request) -> web.Response:
        return refused(429, {"Retry-After": "3600"})

    with ChatServer(busy) as server:
        assert line_of(server.url).startswith("answered 429 and asks to wait 3,600 s: try again then")


@pytest.mark.parametrize("after", ["", "soon", "nan", "-5", "Thu, 32 Foo"])
def test_a_wait_that_is_none_is_backed_off(after: str) -> None:
    async def busy(number: int, _body: Body, _request: web.Request) -> web.Response | None:
        return None if number else refused(429, {"Retry-After": after})

    with ChatServer(busy) as server:
        assert ask(server.url, TEXTS[:1]) == [1.0]


Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def truncated(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b'{"choices": [{"message": {"content": "N', content_type="application/json")


async def page(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>I AM SO TIRED of this proxy</html>", content_type="text/html")


async def huge(_request: web.Request) -> web.StreamResponse:
    return web.json_response(said("No" * 1_000_000))


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "500"})
    await response.prepare(request)
    await response.write(b'{"choices": ')
    assert request.transport is not None
    request.transport.close()
    return response


async def broken(_request: web.Request) -> web.StreamResponse:
    return refused(500)


BROKEN: list[Reply] = [truncated, page, huge, cut_off, broken]


@pytest.mark.parametrize("reply", BROKEN)
@pytest.mark.parametrize("lasting", [False, True])
def test_a_broken_reply_is_asked_again_and_costs_no_other_text(reply: Reply, lasting: bool) -> None:  # noqa: FBT001 - a case
    """Where it lasts, that text alone has no answer."""
    seen = 0

    async def fault(_number: int, body: Body, request: web.Request) -> web.StreamResponse | None:
        nonlocal seen
        if "noon" not in body["messages"][-1]["content"]:
            return None
        seen += 1
        return await reply(request) if lasting or seen == 1 else None

    with ChatServer(fault) as server:
        risks = ask(server.url)
    assert seen == (3 if lasting else 2)
    assert (risks[0], risks[2], risks[3]) == (1.0, 1.0, 0.0)
    assert math.isnan(risks[1]) if lasting else risks[1] == 0.0


@pytest.mark.parametrize("dripping", [False, True])
def test_a_reply_that_does_not_come_in_time_is_none(dripping: bool) -> None:  # noqa: FBT001 - a case
    ended: list[Body] = []

    async def slow(_number: int, body: Body, request: web.Request) -> web.StreamResponse | None:
        if "noon" not in body["messages"][-1]["content"]:
            return None
        response = web.StreamResponse()
        if dripping:
            await response.prepare(request)
        for _ in range(1000):
            if dripping:
                await response.write(b" ")
            await asyncio.sleep(0.02)
        ended.append(body)
        return response

    with ChatServer(slow) as server:
        risks = ask(server.url, attempts=1, timeout_s=1.5)
    assert not ended
    assert math.isnan(risks[1])
    assert (risks[0], risks[2], risks[3]) == (1.0, 1.0, 0.0)


def test_three_texts_in_a_row_without_a_reply_end_it() -> None:
    async def dying(number: int, _body: Body, _request: web.Request) -> web.Response | None:
        return refused(502) if number >= 2 else None

    with (
        ChatServer(dying) as server,
        pytest.raises(EndpointError, match=r"answered 502, for 3 texts in a row"),
    ):
        ask(server.url, [f"text {n}" for n in range(50)])
    assert len(server.bodies) == 2 + 3 * 3


def test_one_line_comes_out_of_many_requests_at_once() -> None:
    async def locked(number: int, _body: Body, _request: web.Request) -> web.Response | None:
        return refused(401) if number >= 2 else None

    with ChatServer(locked) as server, pytest.raises(EndpointError, match="answered 401"):
        ask(server.url, [f"text {n}" for n in range(50)], limits=Limits(at_once=4))
    assert len(server.bodies) <= 2 + 4


def test_nothing_follows_a_redirect() -> None:
    with ChatServer() as elsewhere:

        async def moved(_number: int, _body: Body, _request: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": f"{elsewhere.url}/chat/completions"})

        with ChatServer(moved) as server:
            assert line_of(server.url).startswith(
                "answered 307, a redirect, and messages go to the host that"
            )
        assert not elsewhere.bodies


def test_an_endpoint_that_is_down_is_said() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        assert line_of(url).startswith("cannot be reached in 3 attempts")


def test_a_proxy_sees_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """With TLS it is asked for a tunnel; without, and on this machine, it is not asked at all."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        heard: list[bytes] = []

        def refuse() -> None:
            while True:
                try:
                    caller, _ = proxy.accept()
                except OSError:
                    return
                with caller:
                    heard.append(caller.recv(1 << 16))
                    caller.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        with ChatServer() as server:
            assert ask(server.url, TEXTS[:1]) == [1.0]
        assert not heard
        patience = Patience(2, first_wait_s=0.001, longest_wait_s=0.01)
        outside = address_of("https://api.example.com/v1", "api.example.com")
        task = load_task("stress")
        endpoint = Endpoint(outside, "judge", task.risk, Key("sk-secret"), Asking(patience=patience))
        with pytest.raises(EndpointError, match=r"api\.example\.com cannot be reached in 2 attempts"):
            EndpointWay(endpoint, task).risks([], TEXTS, lambda _: None)
        proxy.shutdown(socket.SHUT_RDWR)
    assert len(heard) == 2
    assert all(each.startswith(b"CONNECT api.example.com:443 ") for each in heard)
    assert not [each for each in heard if b"TIRED" in each or b"sk-secret" in each]


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[ChatServer]:
    """Serves TLS with a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "both.pem"
    pem.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    with ChatServer(tls=tls) as server:
        yield server


def test_a_certificate_that_nobody_vouches_for_is_refused(stranger: ChatServer) -> None:
    assert line_of(stranger.url).startswith("has no certificate for TLS that this machine trusts")
    assert not stranger.bodies


@pytest.mark.parametrize(
    ("url", "consent", "line"),
    [
        (
            "https://api.example.com/v1",
            None,
            "would send every message to api.example.com: agree with --send",
        ),
        ("https://api.example.com/v1", "example.com", "does not name api.example.com, where"),
        ("https://api.example.com:8443/v1", "api.example.com:443", "does not name api.example.com:8443"),
        (
            "http://models.lan:8000/v1",
            "models.lan:8000",
            "does not name http://models.lan:8000, .*without TLS",
        ),
        ("ftp://api.example.com", "api.example.com", "must be a URL such as"),
        ("api.example.com/v1", "api.example.com", "must be a URL such as"),
        ("https://[::1", "::1", "must be a URL such as"),
        ("https://api.exam\x1bple.com/v1", "api.example.com", "must be a URL such as"),
        ("https://me:sk-secret@api.example.com/v1", "api.example.com", "must have no user"),
        ("https://api.example.com/v1?key=sk-secret", "api.example.com", "must have no user"),
    ],
)
def test_nothing_is_sent_without_consent_that_names_the_host(
    url: str, consent: str | None, line: str
) -> None:
    with pytest.raises(SettingsError, match=line) as raised:
        address_of(url, consent)
    assert "sk-secret" not in str(raised.value)


def test_consent_names_the_host() -> None:
    assert (
        address_of("https://API.example.com/v1/", "api.example.com").url
        == "https://api.example.com/v1/chat/completions"
    )
    assert address_of("https://h:8443/v1", "h").place == "h:8443"
    assert address_of("https://h:8443/v1", "H:8443").place == "h:8443"
    assert address_of("http://models.lan:8000/v1", "http://models.lan:8000").place == "models.lan:8000"
    assert address_of("http://[::1]:8000/v1", "[::1]:8000").place == "[::1]:8000"


def test_the_key_comes_from_a_variable_or_a_file_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("sk-secret\n")
    monkeypatch.setenv("A_KEY", "sk-secret")
    for key in (read_key(None, file), read_key("A_KEY", None)):
        assert key is not None
        assert key.header == {"Authorization": "Bearer sk-secret"}
        assert "secret" not in f"{key} {key!r}"
    assert read_key(None, None) is None
    with pytest.raises(SettingsError, match="not in both"):
        read_key("A_KEY", file)
    with pytest.raises(SettingsError, match="is not set"):
        read_key("NO_KEY", None)
    with pytest.raises(SettingsError, match="cannot read the endpoint's key from"):
        read_key(None, tmp_path / "none")
    file.write_text("sk-secret\nInjected: header")
    with pytest.raises(SettingsError, match="must be one line") as raised:
        read_key(None, file)
    assert "secret" not in str(raised.value)
