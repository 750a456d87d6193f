"""The page: texts escaped, nothing inline, readable without a mouse; and who may ask for it."""

import re
from datetime import UTC, datetime, timedelta
from typing import get_args

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from markupsafe import escape

from review.cases.entries import Unreadable
from review.queue.order import Filter, Page
from review.web.guard import SECURITY_HEADERS, refusal
from review.web.html import Overview, age, link, render_queue
from schemas.events import Highlight, Origin, ReviewCase, Severity
from schemas.reasons import DEAD_LETTER_REASONS, REASONS, DeadLetterReason, Reason
from schemas.vocabulary import CASE_KINDS, FINDINGS, CaseKind, Finding

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


def case(text: str | None) -> ReviewCase:
    return ReviewCase(
        "case:m:0:1", "label:m:0:1", "m-<1>", Origin("m", 0, 1), "stress", "escalation", "at_risk", 0.9,
        Severity("a&b", {"a&b": 0.7, "c": 0.3}), 70.0, ["truncated"], "0" * 64, None, text, NOW,
    )  # fmt: skip


def render(*cases: ReviewCase, unreadable: int = 0, total: int | None = None, held: int = 4) -> str:
    last = Unreadable("cases", 2, 9, "invalid_json: malformed", NOW) if unreadable else None
    overview = Overview(
        Page(list(cases), len(cases) if total is None else total, 0, 20),
        ["stress"],
        {one.id: ("a&b", "c") for one in cases},
        unreadable,
        last,
    )
    return render_queue(overview, Filter(), held, 4)


def test_texts_and_ids_are_escaped() -> None:
    html = render(case('<img src=x onerror="alert(1)"> & friends'))
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt; &amp; friends" in html
    assert "m-&lt;1&gt;" in html
    assert 'value="a&amp;b"' in html


def test_nothing_on_the_page_is_inline_or_from_elsewhere() -> None:
    html = render(case("still here, still trying"))
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
    assert re.findall(r"<script([^>]*)>", html) == [' src="/static/desk.js" defer']
    assert not re.search(r'(src|href)="(https?:)?//', html)
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_every_field_has_a_label_and_every_finding_a_button() -> None:
    html = render(case("hello"))
    for field in re.finditer(r"<(input|select)\b", html):
        before = html[: field.start()]
        assert before.rfind("<label") > before.rfind("</label>")
    assert re.findall(r'name="finding" value="([a-z_]+)"', html) == ["at_risk", "not_at_risk", "unsure"]


def test_a_case_without_text_says_so() -> None:
    assert "<blockquote" not in render(case(None))
    assert "Look the message up by its id" in render(case(None))


def test_unreadable_records_and_missing_partitions_are_seen() -> None:
    assert "2 records could not be read" in (html := " ".join(render(unreadable=2).split()))
    assert "cases, partition 2, offset 9 (invalid_json: malformed)" in html
    assert "holds 3 of 4 partitions" in render(held=3)
    assert "partitions;" not in render()


def test_an_empty_queue_and_a_recovering_one_have_their_own_words() -> None:
    assert "Nobody is waiting" in render()
    assert "being read back from Kafka" in render_queue(None, Filter(), 0, 4)


def test_every_reason_and_kind_of_the_contract_has_words() -> None:
    assert set(CASE_KINDS) == set(get_args(CaseKind))
    assert set(REASONS) == set(get_args(Reason))
    assert set(FINDINGS) == set(get_args(Finding))
    assert set(DEAD_LETTER_REASONS) == set(get_args(DeadLetterReason))


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=47), "47 h"),
        (timedelta(days=3), "3 d"),
    ],
)
def test_age_in_its_largest_unit(past: timedelta, words: str) -> None:
    assert age(NOW - past, NOW) == words
    assert age((NOW - past).replace(tzinfo=None), NOW) == words


def test_links_keep_the_filter() -> None:
    assert link(Filter(task="a b&c"), 20) == "/?task=a+b%26c&offset=20"
    assert link(Filter(), 0) == "/?"


JSON = {"Host": "localhost:6066", "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"Host": "localhost:6066"}, None),
        ("GET", "/", {"Host": "[::1]:6066"}, None),
        ("GET", "/", {"Host": "LOCALHOST"}, None),
        ("GET", "/", {"Host": "rebound.example:6066"}, 421),
        ("GET", "/readyz", {"Host": "10.0.0.7:6066"}, None),
        ("POST", "/api/cases/x/decision", JSON, None),
        ("POST", "/api/cases/x/decision", JSON | {"Origin": "http://localhost:6066"}, None),
        ("POST", "/api/cases/x/decision", JSON | {"Origin": "http://localhost:8000"}, 403),
        ("POST", "/api/cases/x/decision", JSON | {"Origin": "null"}, 403),
        ("POST", "/api/cases/x/decision", JSON | {"Sec-Fetch-Site": "same-origin"}, None),
        ("POST", "/api/cases/x/decision", JSON | {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", "/api/cases/x/decision", JSON | {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", "/api/cases/x/decision", JSON | {"Content-Type": "text/plain"}, 415),
        ("POST", "/api/cases/x/decision", {"Host": "localhost"}, 415),
    ],
)
def test_other_pages_in_the_browser_are_kept_out(
    method: str, path: str, headers: dict[str, str], status: int | None
) -> None:
    response = refusal(make_mocked_request(method, path, headers=headers), LOOPBACK)
    assert (response.status if response else None) == status


def test_a_text_that_is_not_whole_says_so() -> None:
    note = "The middle of this message is left out"
    assert note not in render(case("hello"))
    assert note in render(msgspec.structs.replace(case("hello"), text_shortened=True))


def test_a_case_that_no_model_has_read_says_so_and_why() -> None:
    unread = msgspec.structs.replace(
        case("half a <message>"),
        kind="unread",
        label_id=None,
        verdict=None,
        risk=None,
        severity=None,
        reasons=[],
        bundle=None,
        dead_letter_id="dead-letter:m:0:1",
        unread_because="invalid_json",
    )
    page = render(unread)
    assert CASE_KINDS["unread"] in page
    assert "What arrived, as far as it can be shown." in page
    assert "no model has read this: the record is broken" in page
    assert "half a &lt;message&gt;" in page
    assert "<meter" not in page


def highlighted(text: str, *places: tuple[int, int], **changes: object) -> str:
    """The blockquote of a case with these highlights."""
    highlights = [Highlight(start, end, 0.5) for start, end in places]
    html = render(msgspec.structs.replace(case(text), highlights=highlights, **changes))
    return html[html.index("<blockquote") : html.index("</blockquote>")]


def marked(html: str) -> list[str]:
    return re.findall(r"<mark[^>]*><span class=\"sr\">\[marked: </span>(.*?)<span", html, re.DOTALL)


def test_highlights_are_marked_in_words_too_and_counted_in_code_points() -> None:
    text = "😔 fine <b>now</b>, \u200bcan't sleep\n again"
    start = text.index("can't")
    html = highlighted(text, (start, start + len("can't sleep")), (2, 10))
    assert marked(html) == ["fine &lt;b&gt;", "can&#39;t sleep"]
    assert "50 % of what raised the score" in html
    assert re.sub(r"<span class=\"sr\">.*?</span>|<[^>]+>", "", html) == escape(text)


@pytest.mark.parametrize("places", [[(5, 5)], [(8, 2)], [(0, 99)], [(99, 120)], [(0, 4), (2, 6)]])
def test_places_that_do_not_fit_the_text_are_left_out(places: list[tuple[int, int]]) -> None:
    assert len(marked(highlighted("I cannot sleep", *places))) == (len(places) == 2)


def test_a_shortened_or_absent_text_is_not_marked() -> None:
    assert marked(highlighted("the beginning […] the end", (4, 13), text_shortened=True)) == []
    without = render(msgspec.structs.replace(case(None), highlights=[Highlight(0, 3, 0.5)]))
    assert "<mark" not in without
    assert "legend" not in without
