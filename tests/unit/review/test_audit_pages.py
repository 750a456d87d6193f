"""The audit log over HTTP: what is written down before it is answered, the page, and the export."""

import csv
import io
from collections.abc import Iterator

import pytest

from review.audit.trail import revealed
from tests.fakes.desk_client import DeskClient
from tests.fakes.memory_review import MemoryReview
from tests.fakes.served_desk import ServedDesk, served
from tests.unit.review.test_entries import CASE


@pytest.fixture
def desk() -> Iterator[ServedDesk]:
    review = MemoryReview(undo_seconds=0)
    review.desk._before_reveal = revealed(review.trail)
    with served(review) as serving:
        serving.run(review.open(CASE))
        yield serving


def written(desk: ServedDesk) -> list[tuple[str, str, str]]:
    return [(each.actor, each.action, each.detail or each.case_id or "") for each in desk.review.audit]


def test_who_signs_in_and_looks_is_written_down(desk: ServedDesk) -> None:
    aoi = DeskClient(desk.url).sign_in("Aoi")
    (actor, action, _), *_ = written(desk)
    assert action == "signed_in"
    for _ in range(3):  # a page that refreshes itself
        assert aoi.get("/?task=stress")[0] == 200
        assert aoi.get_json("/api/v1/cases?task=stress")[0] == 200
    assert aoi.get_json(f"/api/v1/cases/{CASE.id}")[0] == 200
    assert written(desk)[1:] == [(actor, "listed", "queue task=stress"), (actor, "listed", f"case {CASE.id}")]


def test_a_text_is_not_shown_where_it_cannot_be_written_down(desk: ServedDesk) -> None:
    aoi = DeskClient(desk.url).sign_in("Aoi")
    assert aoi.post_json(f"/api/v1/cases/{CASE.id}/claim", {})[0] == 200
    desk.review.down = True
    status, answer = aoi.post_json(f"/api/v1/cases/{CASE.id}/reveal", {})
    assert (status, answer) == (
        503,
        {"error": "this could not be written to the audit log, so it was not done: try again in a moment"},
    )
    desk.review.down = False
    assert aoi.post_json(f"/api/v1/cases/{CASE.id}/reveal", {}) == (200, {"text": CASE.text})
    (record,) = [each for each in desk.review.audit if each.action == "revealed"]
    assert (record.case_id, record.bundle) == (CASE.id, CASE.bundle)


def test_what_is_refused_is_written_down(desk: ServedDesk) -> None:
    aoi = DeskClient(desk.url).sign_in("Aoi")
    _, claim = aoi.post_json(f"/api/v1/cases/{CASE.id}/claim", {})
    unsure = {"finding": "unsure", "lease": claim["lease"]}
    assert aoi.post_json(f"/api/v1/cases/{CASE.id}/decision", unsure)[0] == 201
    desk.run(desk.review.desk.end_overdue())
    assert aoi.post_json(f"/api/v1/cases/{CASE.id}/claim", {})[0] == 403  # another reader's now
    assert written(desk)[-1][1:] == ("refused", f"POST /api/v1/cases/{{id}}/claim {CASE.id}")
    assert aoi.post_form(f"/case/{CASE.id}/claim", {})[0] == 403  # the same by the page
    assert written(desk)[-1][1:] == ("refused", f"POST /case/{{id}}/claim {CASE.id}")
    aoi.get(f"/case/{CASE.id}")
    of_the_case = aoi.get(f"/audit?case={CASE.id}")[1]
    for what in ("refused", "listed"):
        assert f"<td>{what}</td>" in of_the_case
    assert "signed_in" not in of_the_case


def test_a_sign_in_that_cannot_be_written_down_opens_no_session(desk: ServedDesk) -> None:
    desk.review.down = True
    with pytest.raises(AssertionError, match="503"):
        DeskClient(desk.url).sign_in("Aoi")


def test_the_page_shows_what_is_asked_for_and_is_written_down_itself(desk: ServedDesk) -> None:
    aoi = DeskClient(desk.url).sign_in("Aoi")
    assert aoi.get_json("/api/v1/cases")[0] == 200
    status, page = aoi.get("/audit?action=signed_in&days=7&actor=")
    assert status == 200
    assert "<td>signed_in</td>" in page
    assert "<td>listed</td>" not in page
    assert "audit log: days=7 action=signed_in" in [detail for _, _, detail in written(desk)]
    assert "<script>" not in aoi.get("/audit?case=<script>alert(1)</script>&days=nan")[1]

    status, headers, body = aoi.ask("GET", "/audit/export?action=listed")
    assert (status, headers["content-disposition"][:20]) == (200, "attachment; filename")
    rows = list(csv.DictReader(io.StringIO(body)))
    assert {row["action"] for row in rows} == {"listed"}
    assert written(desk)[-1][1:] == ("exported", "audit log: days=1 action=listed")


def test_without_kafka_the_page_says_so(desk: ServedDesk) -> None:
    aoi = DeskClient(desk.url).sign_in("Aoi")
    assert aoi.get("/audit")[0] == 200
    desk.review.down = True
    status, page = aoi.get("/audit")
    assert status == 503
    assert "cannot be read now" in page
