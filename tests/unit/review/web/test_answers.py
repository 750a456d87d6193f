"""What the pages answer to forms that come too late, twice or incomplete; asked without a browser."""

import re
from collections.abc import Iterator
from datetime import datetime
from html import unescape

import pytest
from structlog.testing import capture_logs

from review.stepping import utc_now
from schemas.events import CaseEvent
from tests.fakes.desk_client import PAGE, DeskClient, hidden
from tests.fakes.memory_review import MemoryReview
from tests.fakes.review_cases import a_case
from tests.fakes.served_desk import ServedDesk, served

CASE = "/case/case:messages:0:1"


@pytest.fixture
def desk() -> Iterator[ServedDesk]:
    with served(MemoryReview(undo_seconds=600)) as serving:
        serving.run(serving.review.open(a_case(1), a_case(2)))
        yield serving


@pytest.fixture
def aoi(desk: ServedDesk) -> DeskClient:
    return DeskClient(desk.url).sign_in("Aoi")


def claim(person: DeskClient) -> str:
    """Take the case; returns the lease."""
    assert person.post_form(f"{CASE}/claim", {})[0] == 303
    return hidden(person.get(CASE)[1], "lease")


def post(person: DeskClient, step: str, **fields: str) -> tuple[int, str]:
    status, _, page = person.post_form(f"{CASE}/{step}", fields)
    return status, unescape(page)


def test_a_form_without_an_answer_keeps_the_note_and_the_message(aoi: DeskClient) -> None:
    lease = claim(aoi)
    status, page = post(aoi, "decide", lease=lease, note="asked <her> sister", revealed="yes")
    assert status == 422
    assert "Choose one of the answers first." in page
    assert 'value="asked <her> sister"' in page
    assert "stare at the screen" in page


@pytest.mark.parametrize("choice", ["maybe", "at_risk:none such", "unsure:high", "not_at_risk:high"])
def test_an_answer_that_there_is_not_is_refused(desk: ServedDesk, aoi: DeskClient, choice: str) -> None:
    status, page = post(aoi, "decide", lease=claim(aoi), choice=choice)
    assert status == 422
    assert "missing or wrong" in page
    assert [event.action for event in desk.review.log] == ["claimed"]


def test_a_stale_lease_changes_nothing_and_the_page_says_what_is_now(
    desk: ServedDesk, aoi: DeskClient
) -> None:
    claim(aoi)
    for step, fields in {
        "decide": {"choice": "unsure"},
        "extend": {},
        "release": {"reason": "not_now"},
    }.items():
        status, page = post(aoi, step, lease="0" * 16, note="asked <her> sister", **fields)
        assert status == 409
        assert "Your time with this case ran out" in page
        assert 'value="asked <her> sister"' in page
    assert [event.action for event in desk.review.log] == ["claimed"]


def test_a_note_that_comes_after_its_time_is_still_there_to_copy(aoi: DeskClient) -> None:
    lease = claim(aoi)
    post(aoi, "release", lease=lease, reason="not_now")
    status, page = post(aoi, "decide", lease=lease, choice="unsure", note="asked <her> sister")
    assert status == 409
    assert "Your note was not sent: asked <her> sister" in page


def test_a_lead_hands_over_what_a_colleague_has(desk: ServedDesk, aoi: DeskClient) -> None:
    claim(aoi)
    lea = DeskClient(desk.url).sign_in("Lea")
    page = lea.get(CASE)[1]
    assert "with Aoi" in page
    assert post(lea, "release", lease=hidden(page, "lease"), reader="Ben")[0] == 303
    released = desk.review.log[-1]
    assert (released.action, released.actor, released.reader) == ("released", "Lea", "Ben")
    assert "handed over to you" in DeskClient(desk.url).sign_in("Ben").get("/")[1]
    assert "handed over to you" not in aoi.get("/")[1]


def test_a_long_reason_is_kept_out_by_the_field(desk: ServedDesk, aoi: DeskClient) -> None:
    assert post(aoi, "decide", lease=claim(aoi), choice="not_at_risk")[0] == 303
    desk.run(desk.review.settle("case:messages:0:1"))
    [most] = re.findall('name="reason" required maxlength="([0-9]+)"', aoi.get(CASE)[1])
    longest = int(most)
    assert post(aoi, "reopen", reason="x" * (longest + 1))[0] == 422
    assert post(aoi, "reopen", reason="x" * longest)[0] == 303


def test_of_two_decisions_the_second_is_told_that_there_is_one(desk: ServedDesk, aoi: DeskClient) -> None:
    lease = claim(aoi)
    assert post(aoi, "decide", lease=lease, choice="unsure")[0] == 303
    status, page = post(aoi, "decide", lease=lease, choice="at_risk:high")
    assert status == 410
    assert "This case is decided." in page
    assert [event.action for event in desk.review.log] == ["claimed", "decided"]


def test_a_colleagues_case_is_neither_read_nor_decided(desk: ServedDesk, aoi: DeskClient) -> None:
    claim(aoi)
    ben = DeskClient(desk.url).sign_in("Ben")
    status, page = post(ben, "claim")
    assert status == 409
    assert "A colleague has this case." in page
    assert "This case is with Aoi." in page
    assert post(ben, "decide", lease="x", choice="unsure")[0] == 409
    assert post(ben, "undo")[0] in {403, 409}


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", ["Readers at work: 1", "As of "]), ("ja", ["作業中の担当者", "1 人", "の時点"])],
)
def test_the_figures_say_in_each_language_what_people_can_take_and_when_they_were_made(
    aoi: DeskClient, language: str, said: list[str]
) -> None:
    claim(aoi)
    status, _, page = aoi.ask("GET", "/figures", headers={**PAGE, "Accept-Language": language})
    assert status == 200
    assert [each for each in said if each not in unescape(page)] == []


def test_the_queue_shows_what_somebody_has_and_for_how_long(aoi: DeskClient) -> None:
    claim(aoi)
    status, page = aoi.get("/")
    assert status == 200
    assert f'<a href="{CASE}" data-row>' in page


def test_somebody_who_has_a_case_is_led_back_to_it(aoi: DeskClient) -> None:
    claim(aoi)
    status, headers, _ = aoi.post_form("/next", {})
    assert (status, headers["location"]) == (303, CASE)


@pytest.mark.parametrize(
    "step", ["", "/claim", "/reveal", "/extend", "/release", "/decide", "/undo", "/reopen"]
)
def test_an_unknown_case_has_a_page_that_says_so(aoi: DeskClient, step: str) -> None:
    place = "/case/case:nowhere:0:0" + step
    fields = {"choice": "unsure", "lease": "x", "reason": "not_now"}
    status, page = (aoi.post_form(place, fields)[0::2]) if step else aoi.get(place)
    assert status == 404
    assert "There is no such case." in page


@pytest.mark.parametrize("step", ["claim", "reveal", "decide", "undo"])
def test_a_form_whose_address_is_loaded_leads_to_the_case(aoi: DeskClient, step: str) -> None:
    status, headers, _ = aoi.ask("GET", f"{CASE}/{step}", headers={"Accept": "text/html"})
    assert (status, headers["location"]) == (303, CASE)


def test_a_form_without_its_token_is_refused(desk: ServedDesk, aoi: DeskClient) -> None:
    assert aoi.post_form(f"{CASE}/claim", {"csrf": "forged"})[0] == 403
    assert desk.review.log == []


def test_a_release_names_a_reason_that_there_is_or_a_reader(desk: ServedDesk, aoi: DeskClient) -> None:
    lease = claim(aoi)
    for fields in ({}, {"reason": "bored"}, {"reader": "x" * 300}, {"reader": "a\x00b"}):
        assert post(aoi, "release", lease=lease, **fields)[0] == 422
    assert [event.action for event in desk.review.log] == ["claimed"]


def test_while_the_table_is_read_back_every_page_says_so(desk: ServedDesk, aoi: DeskClient) -> None:
    desk.review.ready = False
    for path in ("/", CASE, "/held"):
        status, page = aoi.get(path)
        assert status == 503
        assert "being read back from Kafka" in page
    assert post(aoi, "claim")[0] == 503
    assert aoi.post_form("/next", {})[0] == 503


def test_a_text_whose_reading_cannot_be_recorded_stays_hidden(desk: ServedDesk, aoi: DeskClient) -> None:
    claim(aoi)
    desk.review.no_audit()
    status, page = post(aoi, "reveal")
    assert status == 503
    assert "could not be recorded" in page
    assert "stare at the screen" not in page


def test_a_broker_that_is_down_is_said_and_nothing_is_lost(desk: ServedDesk, aoi: DeskClient) -> None:
    lease = claim(aoi)
    desk.review.down = True
    status, page = post(aoi, "decide", lease=lease, choice="unsure", note="ask her sister")
    assert status == 503
    assert "Kafka has not confirmed it yet." in page
    assert 'value="ask her sister"' in page
    assert re.search('value="unsure"[^>]* checked', page)
    desk.review.down = False
    assert post(aoi, "decide", lease=lease, choice="unsure")[0] == 303


@pytest.mark.parametrize(
    "query",
    [
        "?offset=-1",
        "?offset=99999999999999",
        "?offset=x",
        "?state=x&overdue=x&mine=x",
        "?said=<b>",
        "?task=" + "a" * 5000,
    ],
)
def test_an_address_that_somebody_made_up_is_harmless(aoi: DeskClient, query: str) -> None:
    status, page = aoi.get("/" + query)
    assert status == 200
    assert "<b>" not in page


def test_preferences_lead_back_to_this_desk_alone(aoi: DeskClient) -> None:
    for back, place in {
        "/held": "/held",
        "https://elsewhere.example/": "/",
        "//elsewhere.example": "/",
    }.items():
        status, headers, _ = aoi.post_form("/preferences", {"back": back, "language": "tlh", "theme": "<"})
        assert (status, headers["location"]) == (303, place)
    assert "mimamori_language" not in {cookie.name for cookie in aoi.cookies}


def test_a_case_that_was_raised_says_why(desk: ServedDesk, aoi: DeskClient) -> None:
    at = utc_now()
    raised = CaseEvent("e", "case:messages:0:1", 0, "raised", "desk", at, reason="author:4")
    desk.run(desk.review.deliver(raised))
    why = "4 cases at risk of this author within 24 hours"
    assert why in aoi.get("/")[1]
    assert why in aoi.get(CASE)[1]


@pytest.mark.parametrize("opened", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_clock_that_is_ages_off_costs_nobody_the_queue(
    desk: ServedDesk, aoi: DeskClient, opened: str
) -> None:
    at = datetime.fromisoformat(opened)
    desk.run(desk.review.open(a_case(3, opened_at=at, sent_at=at)))
    for path in ("/", "/figures", "/api/v1/cases", "/case/case:messages:0:3"):
        status, page = aoi.get(path)
        assert status == 200, page
    assert "case:messages:0:3" in aoi.get("/")[1]


def test_a_refusal_is_a_page_for_whoever_looks_at_it(aoi: DeskClient) -> None:
    """htmx says of itself that it takes anything, and shows the answer in place of the page."""
    form = {"Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true", "Accept": "*/*"}
    status, headers, page = aoi.ask("POST", "/next", b"csrf=of-another-tab", form)
    assert (status, headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert "load it again, and repeat what you did" in page
    status, page = aoi.get("/cases")
    assert (status, "There is no such page here" in page) == (404, True)


@pytest.mark.parametrize(
    ("path", "body", "more"),
    [
        ("/next", b"csrf=\xff", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("/api/v1/next", b"\x1f\x8bno", {"Content-Type": "application/json", "Content-Encoding": "gzip"}),
    ],
)
def test_a_body_that_is_not_what_its_headers_say_is_refused(
    aoi: DeskClient, path: str, body: bytes, more: dict[str, str]
) -> None:
    status, _, answer = aoi.ask("POST", path, body, more | {"X-CSRF-Token": aoi.csrf})
    assert (status, "in UTF-8" in answer) == (400, True)


def test_a_fault_of_ours_is_a_page_with_every_header_and_its_words_are_not_logged(
    desk: ServedDesk, aoi: DeskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("stare at the screen")

    monkeypatch.setattr(desk.review.desk, "find", broken)
    with capture_logs() as logs:
        status, headers, page = aoi.ask("GET", CASE, headers=PAGE)
        assert (status, "A fault of the desk" in page) == (500, True)
        assert headers["cache-control"] == "no-store"
        status, answer = aoi.get_json("/api/v1/cases/case:messages:0:1")
        assert (status, list(answer)) == (500, ["error"])
    failed = [each for each in logs if each["event"] == "request_failed"]
    assert [each["error"] for each in failed] == ["RuntimeError"] * 2
    assert "stare" not in repr(logs)
