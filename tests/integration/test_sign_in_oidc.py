"""Signing in with a real identity provider: there, back, roles, sign-out, and while it is down."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from review.access import tokens, web_client
from review.settings import load_settings
from tests.fakes.desk_client import PAGE, DeskClient
from tests.fakes.identity_provider import CLIENT_SECRET, free_port, identity_provider, sign_in, walk
from tests.fakes.small_desk import small_desk


@contextmanager
def desk_of(issuer: str, port: int, folder: Path, **settings: str) -> Iterator[str]:
    """A desk that trusts this issuer, on this port, where the provider sends people back to."""
    given = {
        "ACCESS": "oidc",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "OIDC_ISSUER": issuer,
        "OIDC_CLIENT_ID": "desk",
        "OIDC_CLIENT_SECRET": CLIENT_SECRET,
    } | settings
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            if value:
                patch.setenv(f"MIMAMORI_REVIEW_{name}", value)
        read = load_settings()
    with small_desk(read, folder, port) as address:
        yield address


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def issuer(ports: tuple[int, int]) -> Iterator[str]:
    with identity_provider(f"http://127.0.0.1:{ports[0]}", ports[1]) as running:
        yield running


@pytest.fixture
def address(issuer: str, ports: tuple[int, int], tmp_path: Path) -> Iterator[str]:
    with desk_of(issuer, ports[0], tmp_path) as running:
        yield running


def test_people_sign_in_there_and_come_back_to_the_page_they_wanted(address: str) -> None:
    browser = DeskClient(address)
    status, reached, body = sign_in(browser, "u-1", "/?task=stress")
    assert (status, reached) == (200, f"{address}/?task=stress")
    assert body.startswith("Aoi Mori ")
    session = browser.get_json("/api/v1/session")[1]
    assert (session["id"], session["roles"]) == ("u-1", ["reviewer"])
    assert browser.post_form("/decide", {})[2] == "decided by u-1"
    [cookie] = [each for each in browser.cookies if each.name == "mimamori"]
    assert cookie.get_nonstandard_attr("SameSite") == "Lax"
    assert not [each.name for each in browser.cookies if "sign-in" in each.name]


@pytest.mark.parametrize(
    ("account", "sees"),
    [
        ("u-1", {"/": 200, "/audit": 403, "/held": 403}),
        ("u-2", {"/": 200, "/audit": 403, "/held": 200}),
        ("u-3", {"/": 403, "/audit": 200, "/held": 403}),
        ("u-4", {"/": 403, "/audit": 403, "/held": 403}),
    ],
)
def test_a_role_opens_its_own_pages(address: str, account: str, sees: dict[str, int]) -> None:
    browser = DeskClient(address)
    sign_in(browser, account)
    assert {path: browser.get(path)[0] for path in sees} == sees
    if account == "u-4":
        assert "You are signed in, and have no role at this desk" in browser.get("/")[1]


def test_what_the_provider_is_asked_protects_the_way_back(address: str, issuer: str) -> None:
    browser = DeskClient(address)
    status, headers, _ = browser.ask("GET", "/sign-in", headers=PAGE)
    assert status == 303
    asked = {name: values[0] for name, values in parse_qs(urlsplit(headers["location"]).query).items()}
    assert headers["location"].startswith(issuer)
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43
    assert CLIENT_SECRET not in headers["location"]
    again = browser.ask("GET", "/sign-in", headers=PAGE)[1]["location"]
    assert asked["state"] not in again


def test_a_public_client_needs_no_secret(issuer: str, ports: tuple[int, int], tmp_path: Path) -> None:
    with desk_of(issuer, ports[0], tmp_path, OIDC_CLIENT_ID="public-desk", OIDC_CLIENT_SECRET="") as address:
        assert sign_in(DeskClient(address), "u-1")[0] == 200


def test_a_wrong_secret_signs_nobody_in(issuer: str, ports: tuple[int, int], tmp_path: Path) -> None:
    with desk_of(issuer, ports[0], tmp_path, OIDC_CLIENT_SECRET="another") as address:
        status, _, body = sign_in(DeskClient(address), "u-1")
        assert (status, "was not accepted" in body) == (403, True)


def test_two_tabs_can_sign_in_at_once(address: str) -> None:
    browser = DeskClient(address)
    one, other = (browser.ask("GET", f"/sign-in?next=/held%3F{tab}", headers=PAGE)[1] for tab in (1, 2))
    answers = {"login": "u-2", "password": "any"}
    assert walk(browser, one["location"], answers)[:2] == (200, f"{address}/held?1")
    assert walk(browser, other["location"], answers)[:2] == (200, f"{address}/held?2")


def test_an_answer_counts_once_and_in_the_browser_that_asked(address: str) -> None:
    attacker, victim = DeskClient(address), DeskClient(address)
    # The attacker keeps the last step for the victim, who would then work under the attacker's name.
    answers = {"login": "u-2", "password": "any"}
    _, last, _ = walk(attacker, f"{address}/sign-in", answers, stop_before="/oidc/callback")
    status, _, body = victim.ask("GET", last, headers=PAGE)
    assert (status, "another browser" in body) == (403, True)
    assert not list(victim.cookies)
    assert attacker.ask("GET", last, headers=PAGE)[0] == 303
    assert attacker.ask("GET", last, headers=PAGE)[0] == 403


def test_an_answer_of_another_issuer_or_without_a_code_is_refused(
    address: str, issuer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for answer, reason in (
        ("code=c&iss=http://127.0.0.1:1", "answer_of_another_issuer"),
        ("code=c", "answer_of_another_issuer"),  # this provider always says which it is
        (f"iss={issuer}", "no_code"),
        (f"error=access_denied&iss={issuer}", "provider_says_access_denied"),
        (f"error=<script>&iss={issuer}", "provider_says_something_else"),
        (f"code=c&iss={issuer}", "token_endpoint_says_invalid_grant"),
    ):
        browser = DeskClient(address)
        way = browser.ask("GET", "/sign-in", headers=PAGE)[1]["location"]
        state = parse_qs(urlsplit(way).query)["state"][0]
        status, _, body = browser.ask("GET", f"/oidc/callback?state={state}&{answer}", headers=PAGE)
        assert (status, "was not accepted" in body) == (403, True), answer
        assert f"reason={reason}\n" in capsys.readouterr().out
        # The cookie is found by the beginning of the state: all of it has to fit.
        forged = state[:-1] + ("a" if state[-1] != "a" else "b")
        _, _, body = browser.ask("GET", f"/oidc/callback?state={forged}&{answer}", headers=PAGE)
        assert "another browser" in body


def test_signing_out_ends_both_sessions(address: str, issuer: str) -> None:
    browser = DeskClient(address)
    sign_in(browser, "u-1")
    status, _, page = browser.post_form("/sign-out", {})
    assert status == 200
    assert f'content="0; url={issuer}/session/end?' in page
    assert browser.ask("GET", "/")[0] == 401
    onward = page.partition('content="0; url=')[2].partition('"')[0].replace("&amp;", "&")
    assert "id_token_hint=" in onward
    status, reached, body = walk(browser, onward, {"logout": "yes"})
    assert (status, reached) == (200, f"{address}/signed-out?{urlsplit(reached).query}".rstrip("?"))
    assert "Nobody is signed in" in body
    # The provider asks for the password again.
    assert sign_in(browser, "u-2")[2].startswith("Ben Adler ")


def test_a_session_that_ends_at_the_provider_ends_at_the_desk(
    address: str, issuer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    leaves, elsewhere, other = DeskClient(address), DeskClient(address), DeskClient(address)
    for browser, account in ((leaves, "u-1"), (elsewhere, "u-1"), (other, "u-2")):
        sign_in(browser, account)
    # At the provider itself, as where an administrator ends a session there: the desk's pages are not asked.
    walk(leaves, f"{issuer}/session/end", {"logout": "yes"}, stop_before="/session/end/success")
    assert "signed_out_by_provider" in capsys.readouterr().out
    assert [browser.ask("GET", "/")[0] for browser in (leaves, elsewhere, other)] == [401, 200, 200]
    assert leaves.post_form("/decide", {})[0] == 401
    assert sign_in(leaves, "u-1")[0] == 200


def test_people_sign_in_after_the_provider_has_changed_its_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_ASK_EVERY_S", 0.0)
    desk_port, provider_port = free_port(), free_port()
    with desk_of(f"http://127.0.0.1:{provider_port}", desk_port, tmp_path) as address:
        for _ in range(2):
            with identity_provider(address, provider_port):
                browser = DeskClient(address)
                assert sign_in(browser, "u-1")[0] == 200


def test_while_the_provider_is_down_sessions_go_on_and_nobody_signs_in(tmp_path: Path) -> None:
    desk_port, provider_port = free_port(), free_port()
    issuer = f"http://127.0.0.1:{provider_port}"
    with desk_of(issuer, desk_port, tmp_path) as address:  # it starts without the provider
        status, headers, body = DeskClient(address).ask("GET", "/sign-in", headers=PAGE)
        assert (status, headers["retry-after"]) == (503, "30")
        assert "The identity provider does not answer" in body
        browser = DeskClient(address)
        with identity_provider(address, provider_port):
            assert sign_in(browser, "u-1")[0] == 200
            way = DeskClient(address)
            begun = way.ask("GET", "/sign-in", headers=PAGE)[1]["location"]
        assert browser.get("/")[0] == 200
        assert browser.post_form("/decide", {})[0] == 200
        state = parse_qs(urlsplit(begun).query)["state"][0]
        status, _, body = way.ask("GET", f"/oidc/callback?code=c&state={state}&iss={issuer}", headers=PAGE)
        assert (status, "does not answer" in body) == (503, True)
        status, _, body = browser.post_form("/sign-out", {})
        assert status == 200
        assert browser.ask("GET", "/")[0] == 401


def test_a_provider_that_accepts_and_never_answers_does_not_hold_the_desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_client, "WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        issuer = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with desk_of(issuer, free_port(), tmp_path) as address:
            assert DeskClient(address).get("/sign-in")[0] == 503
