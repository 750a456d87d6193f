"""A reader who reads one script is given cases in it, and the browser remembers which."""

from collections.abc import Iterator
from html import unescape

import pytest
from msgspec.structs import replace

from tests.fakes.desk_client import DeskClient, hidden
from tests.fakes.memory_review import MemoryReview
from tests.fakes.review_cases import a_case
from tests.fakes.served_desk import ServedDesk, served

JAPANESE = a_case(2, text="引っ越してから猫としか話していない")


@pytest.fixture
def desk() -> Iterator[ServedDesk]:
    with served(MemoryReview(undo_seconds=600)) as serving:
        cases = [a_case(1), JAPANESE, a_case(3, text="😭😭"), a_case(4, text=None)]
        serving.run(serving.review.open(*cases))
        yield serving


def listed(page: str) -> set[int]:
    return {number for number in range(1, 9) if f'data-case="case:messages:0:{number}"' in page}


def test_a_script_is_asked_for_once_and_holds_until_somebody_asks_otherwise(desk: ServedDesk) -> None:
    kaori = DeskClient(desk.url).sign_in("Kaori")
    first = unescape(kaori.get("/")[1])
    assert listed(first) == {1, 2, 3, 4}
    assert '<option value="Jpan">Japanese</option>' in first
    assert listed(kaori.get("/?script=Jpan")[1]) == {2, 3, 4}
    page = kaori.get("/")[1]
    assert listed(page) == {2, 3, 4}
    assert '<input type="hidden" name="script" value="Jpan">' in page
    # From the page of a case, where no filter stands, the next one is in that script too.
    taken = kaori.post_form("/next", {})[1]["location"]
    assert not taken.endswith(":1")
    assert "With you" in kaori.get("/")[1]
    lease = hidden(kaori.get(taken)[1], "lease")
    kaori.post_form(f"{taken}/release", {"lease": lease, "reason": "not_now"})
    for address in ("/?script=", "/", "/?script=Klingon"):
        assert 1 in listed(kaori.get(address)[1])
    assert 1 in listed(DeskClient(desk.url).sign_in("Aoi").get("/")[1])  # others have their own


def test_the_rest_of_a_conversation_is_whole_whatever_the_browser_remembers(desk: ServedDesk) -> None:
    desk.run(
        desk.review.open(
            *(replace(case, conversation_id="c1") for case in (a_case(5), a_case(6, text="眠れない夜")))
        )
    )
    kaori = DeskClient(desk.url).sign_in("Kaori")
    kaori.get("/?script=Jpan")
    assert listed(kaori.get("/?conversation=c1")[1]) == {5, 6}
    assert listed(kaori.get("/")[1]) == {2, 3, 4, 6}


def test_the_case_and_the_api_say_the_script(desk: ServedDesk) -> None:
    kaori = DeskClient(desk.url).sign_in("Kaori")
    assert "<dt>Script</dt><dd>Japanese</dd>" in kaori.get(f"/case/{JAPANESE.id}")[1]
    found = kaori.get_json("/api/v1/cases?script=Jpan")[1]
    assert {case["id"]: case["script"] for case in found["cases"]} == {
        JAPANESE.id: "Jpan",
        "case:messages:0:3": None,
        "case:messages:0:4": None,
    }
    assert kaori.get_json("/api/v1/cases?script=Klingon")[0] == 422
    assert kaori.post_json("/api/v1/next", {"script": "Latn"})[1]["case"]["id"] != JAPANESE.id
