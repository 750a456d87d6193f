"""A lead erases a message or an author from a page, which says first what goes, what stays, until when."""

from collections.abc import Iterator
from html import unescape

import pytest
from msgspec.structs import replace

from review.cases.state import CaseState
from review.retention.forgetting import digest_of
from tests.fakes.desk_client import DeskClient
from tests.fakes.memory_review import MemoryReview
from tests.fakes.review_cases import a_case
from tests.fakes.served_desk import ServedDesk, served

MINE = [a_case(number, author_id="author-<7>", text="the kettle hears me") for number in (1, 2)]
OTHER = a_case(3, author_id="somebody")
THEM = {"what": "author", "wanted": "author-<7>"}


@pytest.fixture
def desk() -> Iterator[ServedDesk]:
    with served(MemoryReview(undo_seconds=600)) as serving:
        serving.run(serving.review.open(*MINE, OTHER))
        yield serving


@pytest.fixture
def lead(desk: ServedDesk) -> DeskClient:
    return DeskClient(desk.url).sign_in("Lena")


def texts(desk: ServedDesk) -> dict[str, str | None]:
    return {s.case.id: s.case.text for s in desk.review.table.entries.values() if isinstance(s, CaseState)}


def post(lead: DeskClient, path: str, **fields: str) -> tuple[int, str]:
    status, _, page = lead.post_form(path, fields)
    return status, unescape(page)


def test_the_page_says_what_goes_and_erases_nothing_yet(desk: ServedDesk, lead: DeskClient) -> None:
    before = texts(desk)
    status, page = post(lead, "/erase", **THEM)
    assert status == 200
    assert "Everything that this author has sent until now: <span" in page
    assert "author-<7>" in page
    assert "Cases at this desk: 2, 2 of them open" in page
    assert f'/case/{MINE[0].id}"' in page
    assert f'/case/{OTHER.id}"' not in page
    for topic in ("mimamori.messages", "mimamori.review-cases", "mimamori.case-events"):
        assert f'<td class="id">{topic}</td>' in page
    assert "from now" in page
    assert "the kettle" not in page
    assert texts(desk) == before
    said = desk.review.audit[-1]
    assert (said.actor, said.action) == (said.actor, "listed")
    assert said.detail == f"erasure:author:{digest_of('author', 'author-<7>')}"


def test_it_is_erased_once_it_is_meant(desk: ServedDesk, lead: DeskClient) -> None:
    status, page = post(lead, "/erase/done", **THEM)
    assert (status, "Tick the box first" in page) == (422, True)
    assert None not in texts(desk).values()
    status, page = post(lead, "/erase/done", **THEM, meant="yes")
    assert (status, "Cases whose words are erased: 2." in page) == (200, True)
    assert texts(desk) == {MINE[0].id: None, MINE[1].id: None, OTHER.id: OTHER.text}
    assert "No desk has answered" not in page
    assert "There are no" not in post(lead, "/erase", what="message", wanted="m-1")[1]
    assert "erased already" in post(lead, "/erase", what="message", wanted="m-1")[1]


def test_what_was_erased_is_listed_by_the_ids_that_people_know(desk: ServedDesk, lead: DeskClient) -> None:
    """The id that a golden item is kept under tells a lead, who may be its next reader, what it is."""
    golden = a_case(9, kind="golden", id=f"case:messages:0:{10**15}", author_id="author-<7>")
    desk.run(desk.review.open(golden))
    desk.review.elsewhere = ["case:messages:1:5"]
    page = post(lead, "/erase/done", **THEM, meant="yes")[1]
    assert "Cases whose words are erased: 4." in page
    for shown in (MINE[0].id, MINE[1].id, "case:messages:0:9"):
        assert f">{shown}</a>" in page
    assert golden.id not in page
    assert "and 1 more" in page  # at another desk, which alone knows how it shows it


def test_a_desk_that_does_not_answer_is_said(desk: ServedDesk, lead: DeskClient) -> None:
    desk.review.silent = True
    assert "No desk has answered for 1 partitions" in post(lead, "/erase/done", **THEM, meant="yes")[1]


def test_from_a_case_its_message_and_its_author_can_be_chosen(lead: DeskClient) -> None:
    page = unescape(lead.get(f"/case/{MINE[0].id}")[1])
    assert 'name="wanted" value="m-1"' in page
    assert 'name="wanted" value="author-<7>"' in page


@pytest.mark.parametrize(
    "fields",
    [{}, {"what": "author"}, {"what": "author", "wanted": " "}, {"what": "all", "wanted": "x"},
     {"what": "message", "wanted": "x" * 257}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/erase", "/erase/done"])
def test_what_names_nothing_erases_nothing(
    desk: ServedDesk, lead: DeskClient, path: str, fields: dict[str, str]
) -> None:
    status, page = post(lead, path, **fields, meant="yes")
    assert (status, "by its id." in page) == (422, True)
    assert None not in texts(desk).values()


def test_a_broker_that_is_down_is_said_and_an_address_erases_nothing(
    desk: ServedDesk, lead: DeskClient
) -> None:
    assert lead.ask("GET", "/erase/done", headers={"Accept": "text/html"})[1]["location"] == "/erase"
    desk.review.down = True
    for path in ("/erase", "/erase/done"):
        status, _ = post(lead, path, **THEM, meant="yes")
        assert status == 503
        assert None not in texts(desk).values()
    desk.review.down, desk.review.ready = False, False
    assert post(lead, "/erase", **THEM)[0] == 503
    assert post(lead, "/erase/done", **THEM, meant="yes")[0] == 503
    assert lead.post_form("/erase/done", {**THEM, "meant": "yes", "csrf": "forged"})[0] == 403


def test_many_cases_are_counted_and_not_all_listed(desk: ServedDesk, lead: DeskClient) -> None:
    desk.run(desk.review.open(*(replace(a_case(number), author_id="busy") for number in range(100, 160))))
    page = post(lead, "/erase", what="author", wanted="busy")[1]
    assert "Cases at this desk: 60, 60 of them open" in page
    assert "and 10 more" in page
