"""The conversation around a message, on the page of a case and in the API: hidden until it is asked for."""

from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from review.cases.state import CaseState
from review.people import Person
from review.retention.forgetting import erasure_id
from review.stepping import utc_now
from schemas.events import CaseEvent
from tests.fakes.desk_client import DeskClient, hidden
from tests.fakes.memory_review import MemoryReview
from tests.fakes.review_cases import a_case
from tests.fakes.served_desk import ServedDesk, served

CASE = a_case(1, conversation_id="chat-1", text="and now the kettle too")
PLACE = f"/case/{CASE.id}"
EARLIER, LATER = "I burnt the <rice>", "shall I come over?"


def beside(number: int, text: str, minutes: int, author: str) -> Any:
    assert CASE.sent_at is not None
    sent = CASE.sent_at + timedelta(minutes=minutes)
    return a_case(number, text=text, sent_at=sent, conversation_id="chat-1", author_id=author)


@pytest.fixture
def desk() -> Iterator[ServedDesk]:
    with served(MemoryReview(undo_seconds=600, conversation_context=5)) as serving:
        assert CASE.author_id
        earlier = beside(2, EARLIER, -3, CASE.author_id)
        serving.run(serving.review.open(CASE, earlier, beside(3, LATER, 2, "somebody")))
        yield serving


@pytest.fixture
def aoi(desk: ServedDesk) -> DeskClient:
    person = DeskClient(desk.url).sign_in("Aoi")
    assert person.post_form(f"{PLACE}/claim", {})[0] == 303
    return person


def test_it_is_hidden_until_asked_for_and_each_reading_is_written_down(
    desk: ServedDesk, aoi: DeskClient
) -> None:
    page = unescape(aoi.get(PLACE)[1])
    assert "1 before this one, 1 after it." in page
    assert EARLIER not in page
    assert LATER not in page
    status, _, page = aoi.post_form(f"{PLACE}/context", {"revealed": "yes"})
    assert status == 200
    page = unescape(page)
    assert page.index(EARLIER) < page.index(LATER)
    assert "3 min before · same author" in page
    assert "2 min after · another author" in page
    assert "and now the kettle too" in page  # what was shown stays shown
    assert "Escalation" not in page.partition('id="context"')[2].partition("</section>")[0]
    seen = [(each.message_id, each.detail) for each in desk.review.audit if each.action == "revealed"]
    assert seen == [("m-1", None), ("m-2", f"beside {CASE.id}"), ("m-3", f"beside {CASE.id}")]


def test_a_form_that_is_not_whole_shows_it_again_and_the_message_does_not_hide_it(aoi: DeskClient) -> None:
    lease = hidden(aoi.get(PLACE)[1], "lease")
    for step, fields in {
        "decide": {"lease": lease, "revealed": "yes", "context": "yes"},
        "reveal": {"context": "yes"},
    }.items():
        page = aoi.post_form(f"{PLACE}/{step}", fields)[2]
        assert LATER in page
        assert "and now the kettle too" in page


def test_no_text_is_shown_where_a_reading_cannot_be_written_down(desk: ServedDesk, aoi: DeskClient) -> None:
    desk.review.no_audit()
    status, _, page = aoi.post_form(f"{PLACE}/context", {})
    assert (status, LATER in page, "could not be recorded" in page) == (503, False, True)


@pytest.mark.parametrize("step", ["decide", "reveal", "context"])
def test_what_is_erased_while_the_conversation_is_recorded_is_on_no_page(
    desk: ServedDesk, aoi: DeskClient, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    lease = hidden(aoi.get(PLACE)[1], "lease")

    async def erase(_state: CaseState, _who: Person, beside: str | None) -> None:
        if beside is not None:
            asked = erasure_id("message", CASE.message_id)
            await desk.review.deliver(CaseEvent("erasure:1", asked, 0, "erased", "dana", utc_now()))

    monkeypatch.setattr(desk.review.desk, "_before_reveal", erase)
    fields = {"lease": lease, "revealed": "yes", "context": "yes"}
    page = aoi.post_form(f"{PLACE}/{step}", fields)[2]
    assert "and now the kettle too" not in page
    assert LATER not in page  # nobody knows any more what conversation the message was of


def test_it_is_off_unless_the_house_wants_it() -> None:
    with served(MemoryReview()) as serving:
        serving.run(serving.review.open(CASE, beside(3, LATER, 2, "somebody")))
        aoi = DeskClient(serving.url).sign_in("Aoi")
        assert aoi.post_form(f"{PLACE}/claim", {})[0] == 303
        assert 'id="context"' not in aoi.get(PLACE)[1]
        status, _, page = aoi.post_form(f"{PLACE}/context", {})
        assert (status, LATER in page) == (403, False)


def test_programs_have_the_same(aoi: DeskClient) -> None:
    place = f"/api/v1/cases/{CASE.id}/context"
    status, found = aoi.get_json(place)
    assert (status, [sorted(each) for each in found]) == (200, [["at", "before", "same_author"]] * 2)
    status, found = aoi.post_json(place, {})
    assert (status, [each["text"] for each in found]) == (200, [EARLIER, LATER])
    assert [each["same_author"] for each in found] == [True, False]
