"""The JSON Schemas and the examples: fresh, valid, and saying the same as the structs."""

import base64
import copy
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

import schemas
from schemas import generate
from schemas.events import Label, Message
from schemas.generate import FrozenSchemaError
from schemas.kinds import KIND_OF, KINDS, Kind

FOLDER = Path(schemas.__file__).parent
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)

formats = FormatChecker(formats=())


@formats.checks("date-time")
def _is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    try:
        return msgspec.convert(value, schemas.events.Time) is not None
    except msgspec.ValidationError:
        return False


def _read(path: str) -> Any:
    return msgspec.json.decode((FOLDER / path).read_bytes())


def _validator(kind: Kind) -> Draft202012Validator:
    return Draft202012Validator(_read(f"json/{kind.name}.schema.json"), format_checker=formats)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the folder that may be spoilt."""
    return Path(shutil.copytree(FOLDER, tmp_path / "schemas"))


def test_the_schemas_are_what_the_structs_say_today(copied: Path) -> None:
    assert generate.generate(copied) == [], "stale: run `python -m schemas.generate`"


def test_a_stale_schema_is_noticed_and_mended(copied: Path) -> None:
    stale = copied / "json" / "label.schema.json"
    stale.write_bytes(stale.read_bytes().replace(b'"at_risk"', b'"risky"'))
    assert generate.generate(copied) == [stale]
    assert generate.generate(copied) == []


def test_a_released_version_cannot_change(copied: Path) -> None:
    frozen = copied / "history" / f"v{KIND_OF[Label].version}" / "label.schema.json"
    frozen.write_bytes(frozen.read_bytes().replace(b'"maxLength": 256', b'"maxLength": 255'))
    with pytest.raises(FrozenSchemaError, match=r"raise its version in schemas/kinds\.py"):
        generate.generate(copied)


def test_rewording_is_no_new_version(copied: Path) -> None:
    frozen = copied / "history" / "v1" / "label.schema.json"
    reworded = frozen.read_bytes().replace(b"screened message", b"message that was screened")
    frozen.write_bytes(reworded)
    generate.generate(copied)
    assert frozen.read_bytes() == reworded


@every_kind
def test_each_schema_is_a_draft_2020_12_schema_with_a_versioned_id(kind: Kind) -> None:
    schema = _read(f"json/{kind.name}.schema.json")
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:mimamori:{kind.name}:{kind.version}"
    assert schema["additionalProperties"] is True


@every_kind
def test_examples_pass_both_validators_and_survive_the_codec(kind: Kind) -> None:
    examples = _read(f"examples/{kind.name}.json")
    assert len(examples) >= 4
    assert len({example["name"] for example in examples}) == len(examples)
    for example in examples:
        _validator(kind).validate(example["payload"])
        event = schemas.decode(kind.event, msgspec.json.encode(example["payload"]))
        _validator(kind).validate(msgspec.json.decode(schemas.encode(event)))


def test_some_examples_are_in_japanese() -> None:
    texts = [example["payload"]["text"] for example in _read("examples/message.json")]
    assert any("\u3040" <= character <= "\u30ff" for text in texts for character in text)


def test_example_ids_are_the_ids_that_mimamori_would_give() -> None:
    for name, make in (
        ("label", schemas.label_id),
        ("review-case", schemas.case_id),
        ("dead-letter", schemas.dead_letter_id),
        ("shadow-label", schemas.shadow_label_id),
    ):
        for example in _read(f"examples/{name}.json"):
            payload = example["payload"]
            assert payload["id"] == make(schemas.Origin(**payload["origin"]))
    first, *_ = _read("examples/review-decision.json")
    assert first["payload"]["id"] == schemas.decision_id(
        first["payload"]["case_id"], first["payload"]["reviewer"], 0
    )


def test_example_cases_and_decisions_repeat_what_they_say_they_repeat() -> None:
    """Author and time are the message's, thresholds and score the label's, and a decision has the case's."""
    messages, labels, cases, decisions = (
        {example["payload"]["id"]: example["payload"] for example in _read(f"examples/{name}.json")}
        for name in ("message", "label", "review-case", "review-decision")
    )
    known = [case for case in cases.values() if case["label_id"] in labels]
    assert known
    for case in known:
        label, message = labels[case["label_id"]], messages[case["message_id"]]
        assert (case["thresholds"], case["scored_by"]) == (label["thresholds"], label["scored_by"])
        assert (case["author_id"], case["sent_at"]) == (message.get("author_id"), message.get("sent_at"))
    steps = [
        step["payload"]["decision"]
        for step in _read("examples/case-event.json")
        if "decision" in step["payload"]
    ]
    assert steps
    assert all(decisions[step["id"]] | {"note": None} == step for step in steps)
    for decision in decisions.values():
        case = cases[decision["case_id"]]
        assert (decision["bundle"], decision["scored_by"]) == (case["bundle"], case["scored_by"])


def test_a_dead_letter_gives_back_the_original_bytes() -> None:
    (kept,) = [e["payload"] for e in _read("examples/dead-letter.json") if e["payload"]["original"]]
    letter = schemas.decode(schemas.DeadLetter, msgspec.json.encode(kept))
    assert letter.original == base64.b64decode(kept["original"])
    assert letter.original is not None
    assert len(letter.original) == letter.original_size


@pytest.mark.parametrize(
    "refused",
    [refused for refused in _read("examples/message.refused.json") if refused["reason"] == "schema_mismatch"],
    ids=lambda refused: refused["name"],
)
def test_the_json_schema_refuses_what_the_codec_refuses(refused: dict[str, Any]) -> None:
    assert not _validator(KIND_OF[Message]).is_valid(refused["payload"])


VALIDATORS = {kind: _validator(kind) for kind in KINDS}
PAYLOADS = [(kind, example["payload"]) for kind in KINDS for example in _read(f"examples/{kind.name}.json")]


def _paths(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, item in inner for path in _paths(item, (*at, key)))]


telling = st.sampled_from(
    ["clear", "truncated", "2026-03-14T22:41:07Z", "2026-03-14T22:41:07", "x" * 257, "x" * 321]
)
scalars = st.none() | st.booleans() | st.integers(-5, 500) | st.floats(-2, 2) | st.text(max_size=4) | telling
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def _is_judged_alike(name: object, value: object) -> bool:
    """JSON Schema calls 1.0 an integer, and knows nothing of base64; a struct is stricter in both."""
    if isinstance(value, float) and value.is_integer():
        return False
    return name != "original" or not isinstance(value, str)


@given(data=st.data())
def test_struct_and_json_schema_judge_alike(data: st.DataObject) -> None:
    """Whatever is put in whatever place of an example, or taken away: one says yes where the other does."""
    kind, payload = data.draw(st.sampled_from(PAYLOADS))
    changed = copy.deepcopy(payload)
    *above, last = data.draw(st.sampled_from([path for path in _paths(payload) if path]))
    parent = changed
    for step in above:
        parent = parent[step]
    if isinstance(parent, dict) and data.draw(st.booleans()):
        del parent[last]
    else:
        parent[last] = data.draw(json_values.filter(lambda value: _is_judged_alike(last, value)))
    try:
        schemas.decode(kind.event, msgspec.json.encode(changed))
        readable = True
    except schemas.SchemaMismatch:
        readable = False
    assert VALIDATORS[kind].is_valid(changed) == readable
