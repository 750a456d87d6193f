"""What is read blind looks like any other case, byte for byte, wherever a reviewer can look.

A golden item, a quality sample and an escalation that the model found severe and raised are each put in the
same place of the same queue, and one reviewer does the same with each. What they are shown is kept from every
face: pages, fragments, API, headers. Where a digit stands in the one, a digit must stand in the others.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec import structs

from review.access.services import line_of, new_token
from review.figures.golden import GoldenItem
from review.figures.imitation import Imitation
from review.people import DESK
from schemas.events import CaseEvent, ReviewCase
from tests.fakes.desk_client import DeskClient
from tests.fakes.memory_review import MemoryReview
from tests.fakes.review_cases import LEVELS, a_case
from tests.fakes.served_desk import served

TEXT = "the rent is due, and I smile at everybody"
API = "/api/v1"
# What differs each time, whatever the case.
LEASE = re.compile(r"[0-9a-f]{16}")
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
SINCE = re.compile(r'("since":[0-9]+)[.][0-9]+')
HEADERS = ("content-type", "location", "cache-control", "content-security-policy")


def short(number: int) -> dict[str, Any]:
    """A platform that counts its messages, and knows no conversations."""
    return {"message_id": f"m-{number}", "author_id": f"user-{number}", "conversation_id": None}


def long(number: int) -> dict[str, Any]:
    """One with UUIDs, and times in whole milliseconds of its own zone."""
    uuid = f"{number:08x}-4a1c-4f7e-9{number % 4096:03x}-{number * 7919:012x}"
    zone = datetime.now(UTC).astimezone().tzinfo
    return {
        "message_id": uuid,
        "author_id": f"@{number * 31}",
        "conversation_id": f"room/{number % 900 + 100}",
        "sent_at": datetime.now(zone).replace(microsecond=731_000) - timedelta(seconds=631),
    }


def nameless(number: int) -> dict[str, Any]:
    """One that says nothing but what was written."""
    return {"message_id": f"{number}", "author_id": None, "sent_at": None, "task": "suicide-risk"}


def real(number: int, make: Callable[[int], dict[str, Any]], **fields: Any) -> ReviewCase:
    opened = datetime.now(UTC) - timedelta(seconds=630)
    usual = {"text": TEXT, "opened_at": opened, "sent_at": opened - timedelta(seconds=1.25)}
    case = a_case(number, **{**usual, **make(number), **fields})
    return structs.replace(case, levels=LEVELS[case.task])


def the_three(make: Callable[[int], dict[str, Any]]) -> dict[str, ReviewCase]:
    """An escalation, a quality sample, and a golden item sent by `mimamori golden`'s own rules."""
    beside = [real(number, make) for number in range(1000, 1060, 3)]
    item = GoldenItem("rent", beside[0].task, TEXT, "not_at_risk")
    golden = Imitation(beside, whole=False).case(item, beside[0].opened_at)
    sample = real(1001, make, kind="quality_sample", verdict="clear", risk=0.02, severity=None, reasons=[])
    return {"escalation": real(1001, make), "quality sample": sample, "golden item": golden}


class Reviewer:
    """Somebody with a token of a reviewer, who writes down all that comes back."""

    def __init__(self, url: str, token: str) -> None:
        self._client = DeskClient(url)
        self._token = token
        self.seen: dict[str, str] = {}

    def ask(self, name: str, method: str, path: str, content: object = None) -> str:
        page = not path.startswith(API)
        sent = {"Authorization": f"Bearer {self._token}", "Accept": "text/html" if page else "*/*"}
        body = None
        if method == "POST":
            sent["Content-Type"] = "application/x-www-form-urlencoded" if page else "application/json"
            body = (urlencode(content or {}) if page else json.dumps(content or {})).encode()  # type: ignore[arg-type]  # a dict
        status, headers, answer = self._client.ask(method, path, body, sent)
        assert status < 400, (name, status, answer)
        told = [f"{name}: {headers.get(name, '')}" for name in HEADERS]
        self.seen[name] = "\n".join([str(status), *told, answer])
        return answer

    def look_around(self, when: str, case_id: str) -> None:
        for name, path in {
            "API, list": f"{API}/cases",
            "API, claimed": f"{API}/cases?state=claimed",
            "API, mine in the list": f"{API}/cases?mine=true",
            "API, of its kind": f"{API}/cases?kind=escalation&limit=7",
            "API, case": f"{API}/cases/{case_id}",
            "API, mine": f"{API}/mine",
            "queue": "/",
            "queue, claimed": "/?state=claimed",
            "live arrivals": "/?offset=0&refresh=yes",
            "case": f"/case/{case_id}",
        }.items():
            self.ask(f"{when}: {name}", "GET", path)


def life_of(case: ReviewCase, tokens: Path) -> dict[str, str]:
    """All that one reviewer is shown of a case from its arrival until their decision could last be undone."""
    token = new_token()
    tokens.write_text(line_of("r", frozenset({"reviewer"}), token))
    with served(MemoryReview(api_tokens=str(tokens), undo_seconds=600, most_severe_minutes=5)) as desk:
        desk.run(desk.review.open(case))
        if case.kind == "escalation":
            for why in ("author:4", "conversation:3"):
                raised = CaseEvent(f"e:{why}", case.id, 0, "raised", DESK, datetime.now(UTC), reason=why)
                desk.run(desk.review.deliver(raised))
        reviewer = Reviewer(desk.url, token)
        (shown,) = json.loads(reviewer.ask("first", "GET", f"{API}/cases"))["cases"]
        case_id = shown["id"]
        reviewer.look_around("waiting", case_id)
        claim = json.loads(reviewer.ask("next", "POST", f"{API}/next", {"kind": "escalation"}))
        assert claim["case"]["id"] == case_id
        reviewer.look_around("held", case_id)
        reviewer.ask("API, reveal", "POST", f"{API}/cases/{case_id}/reveal")
        reviewer.ask("reveal", "POST", f"/case/{case_id}/reveal")
        chosen = f"at_risk:{shown['levels'][-1]}"
        reviewer.ask("decide", "POST", f"/case/{case_id}/decide", {"lease": claim["lease"], "choice": chosen})
        reviewer.look_around("decided", case_id)
        reviewer.ask("undo", "POST", f"/case/{case_id}/undo")
        reviewer.look_around("undone", case_id)
        lease = json.loads(reviewer.ask("again", "GET", f"{API}/cases/{case_id}"))["lease"]
        decision = {"lease": lease, "finding": "not_at_risk"}
        reviewer.ask("API, decide", "POST", f"{API}/cases/{case_id}/decision", decision)
        reviewer.look_around("decided again", case_id)
        reviewer.ask("skip", "POST", f"{API}/cases/{case_id}/undo")
    assert desk.review.published == []
    return {name: _make_of(content) for name, content in reviewer.seen.items()}


def _make_of(content: str) -> str:
    """What is left where each digit is any digit; of the fractions of Unix seconds, any number of them."""
    return re.sub("[0-9]", "0", SINCE.sub(r"\1", LEASE.sub("lease", UUID.sub("uuid", content))))


@pytest.mark.parametrize("make", [short, long, nameless])
def test_no_face_of_the_desk_tells_a_blind_case_from_an_escalation(
    make: Callable[[int], dict[str, Any]], tmp_path: Path
) -> None:
    seen = {name: life_of(case, tmp_path / name) for name, case in the_three(make).items()}
    escalation = seen.pop("escalation")
    assert len(escalation) > 45
    for name, shown in seen.items():
        assert shown.keys() == escalation.keys()
        for face, content in shown.items():
            assert content == escalation[face], f"{name}, {face}"
