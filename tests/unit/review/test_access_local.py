"""Sign-in on one machine: a name, a session, roles, forms' tokens, limits; over real HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from review.access import every_route_is_guarded
from review.access.access import Access
from review.access.cookies import local_path
from review.access.errors import AccessRefusedError, NoRoleError
from review.access.sessions import Session, Sessions
from review.errors import DeskError
from review.settings import load_settings
from review.web.pages.language import LANGUAGES, words
from tests.fakes.desk_client import PAGE, DeskClient, hidden
from tests.fakes.small_desk import queue, small_desk


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with small_desk(load_settings(), tmp_path) as address:
        yield address


def test_nobody_sees_anything_before_the_sign_in(address: str) -> None:
    browser = DeskClient(address)
    status, headers, _ = browser.ask("GET", "/?task=stress", headers=PAGE)
    assert (status, headers["location"]) == (303, "/sign-in?next=%2F%3Ftask%3Dstress")
    for method, path in (("GET", "/"), ("GET", "/nowhere"), ("GET", "/api/v1/session"), ("POST", "/decide")):
        status, _, body = browser.ask(method, path, headers={"Content-Type": "application/json"})
        assert (status, "sign in first" in body) == (401, True), path
    # htmx asks for a part of a page: the whole of it has to go to the sign-in.
    part = PAGE | {"HX-Request": "true", "HX-Current-URL": f"{address}/case/case:m:0:1?x"}
    status, headers, _ = browser.ask("GET", "/", headers=part)
    assert (status, headers["hx-redirect"]) == (401, "/sign-in?next=%2Fcase%2Fcase%3Am%3A0%3A1")


def test_a_queue_that_refreshes_itself_keeps_nobody_signed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []
    found = Sessions.find

    def find(self: Sessions, token: str, *, used: bool = True) -> Session | None:
        asked.append(used)
        return found(self, token, used=used)

    with small_desk(load_settings()) as address:
        browser = DeskClient(address).sign_in()
        monkeypatch.setattr(Sessions, "find", find)
        for path in ("/?offset=0&refresh=yes", "/?offset=0"):
            assert browser.get(path)[0] == 200
    assert asked == [False, True]


def test_a_name_is_enough_and_leads_back_to_where_one_wanted_to_go(address: str) -> None:
    browser = DeskClient(address)
    page = browser.get("/sign-in?next=/audit%3Fday=1")[1]
    status, headers, _ = browser.post_form("/sign-in", {"csrf": hidden(page, "csrf"), "name": "  Aoi  M. "})
    assert (status, headers["location"]) == (303, "/audit?day=1")
    assert browser.get_json("/api/v1/session")[1]["roles"] == ["auditor", "lead", "reviewer"]
    assert browser.get_json("/api/v1/session")[1]["id"] == "Aoi M."
    [cookie] = list(browser.cookies)
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Strict"
    assert (cookie.path, cookie.expires) == ("/", None)
    for path in ("/", "/audit", "/held"):
        assert browser.get(path)[0] == 200


@pytest.mark.parametrize("name", ["", "   ", " desk ", "a" * 121, "a\u202eb", "a\x00b"])
def test_a_name_that_cannot_be_shown_is_asked_for_again(address: str, name: str) -> None:
    browser = DeskClient(address)
    page = browser.get("/sign-in")[1]
    status, _, page = browser.post_form("/sign-in", {"csrf": hidden(page, "csrf"), "name": name})
    assert (status, "Please type" in page) == (422, True)


def test_signing_out_ends_the_session_and_not_only_its_cookie(address: str) -> None:
    browser = DeskClient(address).sign_in()
    [token] = [cookie.value for cookie in browser.cookies]
    assert browser.post_form("/sign-out", {})[0] == 303
    assert not list(browser.cookies)
    thief = DeskClient(address)
    assert thief.ask("GET", "/", headers={"Cookie": f"mimamori={token}"})[0] == 401


def test_signing_in_again_is_a_new_session_and_ends_the_former(address: str) -> None:
    browser = DeskClient(address).sign_in()
    [before] = [cookie.value for cookie in browser.cookies]
    browser.sign_in("Ben")
    [after] = [cookie.value for cookie in browser.cookies]
    assert before != after
    assert DeskClient(address).ask("GET", "/", headers={"Cookie": f"mimamori={before}"})[0] == 401


def test_a_token_that_was_made_up_is_nobodys(address: str) -> None:
    browser = DeskClient(address)
    assert browser.ask("GET", "/", headers={"Cookie": "mimamori=" + "A" * 43})[0] == 401
    assert browser.ask("GET", "/", headers={"Cookie": "mimamori=\xe9"})[0] == 401


def test_a_session_outlives_the_desk(tmp_path: Path) -> None:
    with small_desk(load_settings(), tmp_path) as address:
        browser = DeskClient(address).sign_in()
    with small_desk(load_settings(), tmp_path) as address:
        browser.address = address
        assert browser.get("/")[0] == 200
        assert browser.post_form("/decide", {})[0] == 200  # and so does a page that was open meanwhile


def test_a_change_needs_the_token_of_this_session(address: str) -> None:
    browser, other = DeskClient(address).sign_in(), DeskClient(address).sign_in("Ben")
    assert browser.post_form("/decide", {})[2] == "decided by Aoi"
    assert browser.post_form("/decide", {"csrf": other.csrf})[0] == 403
    assert browser.post_form("/decide", {"csrf": ""})[0] == 403
    browser.csrf = "wrong"
    status, answer = browser.post_json("/decide", {})
    assert status == 403
    assert "out of date" in answer["error"]
    assert DeskClient(address).post_form("/sign-in", {"csrf": "x" * 43, "name": "Eve"})[0] == 403


def test_a_change_from_another_site_is_refused_whatever_it_knows(address: str) -> None:
    browser = DeskClient(address).sign_in()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"csrf={browser.csrf}".encode()
    assert browser.ask("POST", "/decide", body, form | {"Origin": address})[0] == 200
    for said in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert browser.ask("POST", "/decide", body, form | said)[0] == 403
    assert browser.ask("POST", "/decide", body, {"Content-Type": "text/plain"})[0] == 415
    assert browser.ask("GET", "/", headers={"Host": "rebound.example"})[0] == 421


def test_every_answer_has_the_security_headers(address: str) -> None:
    browser = DeskClient(address).sign_in()
    for path in ("/", "/nowhere", "/sign-in", "/api/v1/session"):
        _, headers, _ = browser.ask("GET", path, headers=PAGE)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "camera=()" in headers["permissions-policy"]


def test_too_many_requests_are_told_when_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIMAMORI_REVIEW_REQUESTS_PER_MINUTE", "10")
    monkeypatch.setenv("MIMAMORI_REVIEW_SIGN_INS_PER_MINUTE", "2")
    with small_desk(load_settings(), tmp_path) as address:
        browser = DeskClient(address).sign_in()
        statuses = [browser.ask("GET", "/")[0] for _ in range(12)]
        assert statuses[0] == 200
        assert statuses[-1] == 429
        _, headers, body = browser.ask("GET", "/", headers=PAGE)
        assert 1 <= int(headers["retry-after"]) <= 6
        assert "try again in" in body
        # Whoever guesses names, or codes, has far less.
        DeskClient(address).sign_in("Ben")
        page = DeskClient(address)
        csrf = hidden(page.get("/sign-in")[1], "csrf")
        assert page.post_form("/sign-in", {"csrf": csrf, "name": "Chi"})[0] == 429


@pytest.mark.parametrize(
    ("hops", "forwarded", "counted"),
    [
        ("0", "192.0.2.1", ""),
        ("1", "192.0.2.1", "192.0.2.1"),
        ("1", "198.51.100.9, 192.0.2.1", "192.0.2.1"),  # the first is what a browser says of itself
        ("2", "198.51.100.9, 192.0.2.1, 10.0.0.3", "192.0.2.1"),
        ("2", "192.0.2.1", ""),  # fewer than there are: not through the proxies
        ("1", None, ""),
    ],
)
def test_an_address_is_what_the_proxies_say_and_not_the_browser(
    hops: str, forwarded: str | None, counted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIMAMORI_REVIEW_FORWARDED_HOPS", hops)
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": forwarded} if forwarded else {})
    assert Access(load_settings(), None).gate.address(request) == counted


def test_every_refusal_has_words_of_its_own_on_the_page() -> None:
    for language in LANGUAGES:
        spoken = words(language)
        missing = [
            each
            for each in [*AccessRefusedError.__subclasses__(), NoRoleError]
            if not spoken.has(f"access.{each.__name__}")
        ]
        assert missing == []


def test_a_route_that_names_no_role_stops_the_desk() -> None:
    async def open_by_mistake(_request: web.Request) -> web.Response:
        return web.Response()

    application = web.Application()
    application.router.add_get("/", queue)
    every_route_is_guarded(application)
    application.router.add_get("/figures", open_by_mistake)
    with pytest.raises(DeskError, match="/figures names no role"):
        every_route_is_guarded(application)


@pytest.mark.parametrize(
    ("wanted", "goes"),
    [
        ("/case/case:m:0:1", "/case/case:m:0:1"),
        ("/?task=a&kind=b", "/?task=a&kind=b"),
        (None, "/"),
        ("", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_the_way_back_stays_at_the_desk(wanted: str | None, goes: str) -> None:
    assert local_path(wanted) == goes
