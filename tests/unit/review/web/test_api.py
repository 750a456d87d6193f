"""The API as a program with a desk of its own uses it, and its OpenAPI document, held against the answers."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from mimamori.cli import app
from review.access.services import Services, line_of, new_token
from review.errors import DeskError
from review.people import Role
from review.web.calls import CALLS, ROOT
from tests.fakes.desk_client import DeskClient
from tests.fakes.memory_review import MemoryReview
from tests.fakes.review_cases import TEXTS, a_case
from tests.fakes.served_desk import ServedDesk, served

CASES = [a_case(number) for number in range(3)]


class Program:
    """A program with a token."""

    def __init__(self, desk: ServedDesk, token: str) -> None:
        self._client = DeskClient(desk.url)
        self.document: dict[str, Any] = json.loads(self._client.ask("GET", f"{ROOT}/openapi.json")[2])
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(
        self, name: str, case_id: str = "", body: object = None, *, query: str = "", on_behalf_of: str = ""
    ) -> tuple[int, Any]:
        """Make a call by its name. What comes back fits the document, whatever it is."""
        (call,) = (call for call in CALLS if call.name == name)
        headers = self._headers | ({"On-Behalf-Of": on_behalf_of} if on_behalf_of else {})
        sent = None if call.method == "GET" else json.dumps(body or {}).encode()
        path = ROOT + call.path.replace("{id}", case_id) + query
        status, _, answered = self._client.ask(call.method, path, sent, headers)
        if status == 204:
            return status, None
        said = self.document["paths"][ROOT + call.path][call.method.lower()]["responses"][str(status)]
        schema = said["content"]["application/json"]["schema"] | {"components": self.document["components"]}
        content = json.loads(answered)
        Draft202012Validator(schema).validate(content)
        return status, content


@pytest.fixture
def tokens(tmp_path: Path) -> dict[Role, str]:
    made: dict[Role, str] = {"reviewer": new_token(), "lead": new_token(), "auditor": new_token()}
    lines = [line_of(f"coop-{role}", frozenset({role}), token) for role, token in made.items()]
    (tmp_path / "tokens").write_text("# programs\n\n" + "\n".join(lines) + "\n")
    return made


@pytest.fixture
def desk(tmp_path: Path, tokens: dict[Role, str]) -> Iterator[ServedDesk]:
    assert tokens
    with served(MemoryReview(api_tokens=str(tmp_path / "tokens"), undo_seconds=0.2)) as desk:
        desk.run(desk.review.open(*CASES))
        yield desk


@pytest.fixture
def program(desk: ServedDesk, tokens: dict[Role, str]) -> Program:
    return Program(desk, tokens["reviewer"])


def test_a_case_goes_from_the_queue_to_a_published_decision(desk: ServedDesk, program: Program) -> None:
    status, queue = program.call("cases", query="?task=stress&limit=2", on_behalf_of="amara")
    assert (status, queue["total"], len(queue["cases"])) == (200, 3, 2)
    status, claim = program.call("next", on_behalf_of="amara")
    assert status == 200
    case_id = claim["case"]["id"]
    assert claim["case"]["holder"] == "coop-reviewer/amara"
    assert program.call("reveal", case_id, on_behalf_of="amara")[1]["text"] in TEXTS
    assert program.call("extend", case_id, {"lease": claim["lease"]}, on_behalf_of="amara")[0] == 200
    decision = {"lease": claim["lease"], "finding": "at_risk", "severity": "high", "note": "called"}
    status, decided = program.call("decision", case_id, decision, on_behalf_of="amara")
    assert (status, decided["phase"]) == (201, "decided")
    status, claim = program.call("undo", case_id, on_behalf_of="amara")
    assert status == 200
    status, _ = program.call("decision", case_id, decision | {"lease": claim["lease"]}, on_behalf_of="amara")
    assert status == 201
    while not desk.review.published:
        program.call("mine")
    (published,) = desk.review.published
    assert (published.reviewer, published.finding, published.severity) == (
        "coop-reviewer/amara", "at_risk", "high",
    )  # fmt: skip


def test_two_people_behind_one_program_never_hold_the_same_case(desk: ServedDesk, program: Program) -> None:
    with ThreadPoolExecutor(6) as pool:
        claims = list(pool.map(lambda name: program.call("next", on_behalf_of=name), "abcdef"))
    held = [claim["case"]["id"] for status, claim in claims if status == 200]
    assert len(held) == len(set(held)) == len(CASES)
    assert sorted(status for status, _ in claims) == [200] * 3 + [204] * 3
    assert program.call("claim", held[0], on_behalf_of="g")[0] == 409
    assert len(desk.review.log) == len(CASES)


def test_a_lead_reopens_and_appeals_and_a_reviewer_does_not(
    desk: ServedDesk, program: Program, tokens: dict[Role, str]
) -> None:
    lead = Program(desk, tokens["lead"])
    _, claim = program.call("next", on_behalf_of="amara")
    case_id, lease = claim["case"]["id"], claim["lease"]
    program.call("decision", case_id, {"lease": lease, "finding": "not_at_risk"}, on_behalf_of="amara")
    while not desk.review.published:
        program.call("mine")
    assert program.call("reopen", case_id, {"reason": "the family wrote"})[0] == 403
    assert lead.call("appeal", case_id, {"reason": "the author wrote"})[1]["phase"] == "waiting"
    assert program.call("claim", case_id, on_behalf_of="amara")[0] == 403  # she has read it
    status, again = program.call("claim", case_id, on_behalf_of="ben")
    assert status == 200
    assert (
        program.call("release", case_id, {"lease": again["lease"], "reason": "language"}, on_behalf_of="ben")[
            0
        ]
        == 200
    )
    assert lead.call("held") == (200, [])
    assert lead.call("discard", case_id)[0] == 404


@pytest.mark.parametrize(
    ("name", "case", "body", "query", "status"),
    [
        ("case", "no-such-case", None, "", 404),
        ("claim", "no-such-case", None, "", 404),
        ("cases", "", None, "?limit=1000", 422),
        ("cases", "", None, "?limit=many", 422),
        ("cases", "", None, "?colour=red", 422),
        ("cases", "", None, "?offset=-1", 422),
        ("next", "", {"task": 7}, "", 422),
        ("claim", CASES[0].id, {"lease": "x"}, "", 422),
        ("extend", CASES[0].id, {"lease": "stale"}, "", 409),
        ("release", CASES[0].id, {"reason": "language"}, "", 422),
        ("decision", CASES[0].id, {"lease": "stale", "finding": "at_risk"}, "", 409),
        ("decision", CASES[0].id, {"lease": "x", "finding": "red"}, "", 422),
        ("undo", CASES[0].id, None, "", 409),
        ("held", "", None, "", 403),
    ],
)
def test_what_is_wrong_has_a_status_and_a_reason_that_fit_the_document(
    program: Program, name: str, case: str, body: object, query: str, status: int
) -> None:
    answered, content = program.call(name, case, body, query=query)
    assert answered == status, content
    assert content["error"]


@pytest.mark.parametrize("sent", [b"{", b"[]", b'"x"', b"\xff", b"[" * 20_000])
def test_a_body_that_is_no_json_object_is_refused_and_not_quoted(
    desk: ServedDesk, tokens: dict[Role, str], sent: bytes
) -> None:
    headers = {"Authorization": f"Bearer {tokens['reviewer']}", "Content-Type": "application/json"}
    status, _, body = DeskClient(desk.url).ask("POST", f"{ROOT}/next", sent, headers)
    assert (status, "body" in json.loads(body)["fields"]) == (422, True)


def test_nobody_without_a_token_gets_in(desk: ServedDesk, tokens: dict[Role, str]) -> None:
    client = DeskClient(desk.url)
    for given in ("", "Bearer mmr_wrong", f"Bearer {tokens['reviewer']}x", f"Basic {tokens['reviewer']}"):
        headers = {"Authorization": given} if given else {}
        assert client.ask("GET", f"{ROOT}/cases", None, headers)[0] == 401, given
    auditor = {"Authorization": f"Bearer {tokens['auditor']}"}
    assert client.ask("GET", f"{ROOT}/cases", None, auditor)[0] == 403
    acting = {"Authorization": f"Bearer {tokens['reviewer']}", "On-Behalf-Of": "x" * 200}
    assert client.ask("GET", f"{ROOT}/cases", None, acting)[0] == 403


def test_a_desk_that_recovers_says_so_and_shows_no_case_as_unknown(
    desk: ServedDesk, program: Program
) -> None:
    desk.review.ready = False
    status, content = program.call("case", CASES[0].id)
    assert (status, "recovered" in content["error"]) == (503, True)


def test_every_call_is_in_the_document_with_all_its_answers(program: Program) -> None:
    for call in CALLS:
        operation = program.document["paths"][ROOT + call.path][call.method.lower()]
        assert operation["operationId"] == call.name
        assert {str(call.status), "401", "403", "404", "409", "410", "422", "503"} <= set(
            operation["responses"]
        )
    assert {each["name"] for each in program.document["paths"][f"{ROOT}/cases"]["get"]["parameters"]} == {
        "task", "kind", "level", "state", "overdue", "conversation", "mine", "script", "limit", "offset",
    }  # fmt: skip


def test_the_command_makes_a_token_whose_line_the_desk_reads(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["review-token", "coop", "--role", "reviewer", "--role", "lead"])
    assert made.exit_code == 0
    token, line = made.stdout.strip(), made.stderr.strip()
    assert token not in line
    (tmp_path / "tokens").write_text(line)
    assert line.startswith("coop lead,reviewer ")
    Services(tmp_path / "tokens")
    refused = CliRunner().invoke(app, ["review-token", "coop", "--role", "boss"])
    assert "--role boss: give one of" in str(refused.exception)
    refused = CliRunner().invoke(app, ["review-token", "a b", "--role", "lead"])
    assert "a name without spaces" in str(refused.exception)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("coop reviewer", "line 1: must be `name roles sha256`"),
        (f"coop boss {'0' * 64}", "line 1: no such role: boss"),
        ("coop reviewer mmr_secret", "line 1: the third part must be a SHA-256"),
    ],
)
def test_a_line_that_is_wrong_stops_the_desk_and_is_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "tokens").write_text(line)
    with pytest.raises(DeskError, match=said) as refused:
        Services(tmp_path / "tokens")
    assert "mmr_secret" not in str(refused.value)
    with pytest.raises(DeskError, match="cannot read the tokens of programs"):
        Services(tmp_path / "none")
