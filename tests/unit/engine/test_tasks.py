"""The shipped tasks, their labelled examples, the demo's conversations, and the page on writing one's own."""

import itertools
import re
import string
import unicodedata
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TaskError
from engine.task import SHIPPED, Task, load_task
from export.examples import LabelledExample, read_examples, shipped_examples
from mimamori.demo.stage import CONVERSATIONS as DEMO
from schemas.events import Message

TASKS = ("stress", "suicide-risk")
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "write-a-task.md"
LABELLED = tuple(f"{task}.{part}" for task in TASKS for part in ("examples", "heldout"))
PERSONAL = re.compile(r"https?:|www\.|\S@\S|\d{5,}")


def task_of(stem: str) -> Task:
    return load_task(stem.partition(".")[0])


def labelled(stem: str) -> list[LabelledExample]:
    return read_examples(SHIPPED / f"{stem}.jsonl", task_of(stem))


def demo() -> list[Message]:
    return [msgspec.json.decode(line, type=Message) for line in DEMO.read_bytes().splitlines()]


def normalised(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] not in "PZC")


def page_block(language: str) -> str:
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(block)


# The tasks


def test_no_task_ships_without_these_tests() -> None:
    assert {file.stem for file in SHIPPED.glob("*.yaml")} == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_a_shipped_task_loads_under_its_own_name(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert task.languages == ("en", "ja")
    assert len(task.instruction.split()) <= 45
    assert shipped_examples(task) == SHIPPED / f"{name}.examples.jsonl"


@pytest.mark.parametrize("name", TASKS)
def test_answers_differ_in_their_first_letter_and_the_question_lists_them(name: str) -> None:
    task = load_task(name)
    levels = task.severity.levels
    assert (task.risk.clear, task.risk.at_risk) == ("No", "Yes")
    assert [level.answer for level in levels] == list(string.ascii_uppercase[: len(levels)])
    for level in levels:
        assert f"{level.answer}: " in task.severity.question
        assert level.meaning


@pytest.mark.parametrize("message", ["Message:", "{message} and again {message}"])
def test_a_task_without_exactly_one_slot_for_the_message_is_refused(message: str, tmp_path: Path) -> None:
    shipped = (SHIPPED / "stress.yaml").read_text(encoding="utf-8")
    altered = re.sub(r"^message: .*$", f'message: "{message}"', shipped, flags=re.MULTILINE)
    assert altered != shipped
    (tmp_path / "task.yaml").write_text(altered, encoding="utf-8")
    with pytest.raises(TaskError, match="needs exactly one"):
        load_task(tmp_path / "task.yaml")


def test_levels_run_from_least_to_most_severe() -> None:
    assert load_task("stress").level_names == ("low", "moderate", "high")
    assert load_task("suicide-risk").level_names == (
        "supportive",
        "indicator",
        "ideation",
        "behaviour",
        "attempt",
    )


def test_the_graver_task_tolerates_fewer_misses() -> None:
    tolerated = {name: load_task(name).policy.tolerated_miss_rate for name in TASKS}
    assert tolerated["suicide-risk"] < tolerated["stress"]


# The labelled examples


@pytest.mark.parametrize("stem", LABELLED)
def test_labelled_files_are_large_enough_balanced_and_partly_japanese(stem: str) -> None:
    examples = labelled(stem)
    total = len(examples)
    least, most = (40, 60) if stem.endswith("heldout") else (80, 100)
    assert least <= total <= most
    assert 0.45 <= sum(e.at_risk for e in examples) / total <= 0.55
    assert 0.15 <= sum(e.language == "ja" for e in examples) / total <= 0.25
    assert {e.language for e in examples} == {"en", "ja"}
    for language in ("en", "ja"):
        assert {e.at_risk for e in examples if e.language == language} == {True, False}


@pytest.mark.parametrize("stem", LABELLED)
def test_lengths_and_difficulties_vary(stem: str) -> None:
    examples = labelled(stem)
    words = [len(e.text.split()) for e in examples if e.language == "en"]
    assert min(words) <= 5
    assert max(words) >= 60
    notes = {e.note for e in examples} - {None}
    page = PAGE.read_text(encoding="utf-8")
    assert len(notes) >= 12
    assert not [note for note in notes if f"`{note}`" not in page]
    hard_negatives = sum(e.note is not None for e in examples if not e.at_risk)
    assert hard_negatives >= 0.4 * sum(not e.at_risk for e in examples)


@pytest.mark.parametrize("stem", LABELLED)
def test_severity_follows_the_written_rule(stem: str) -> None:
    task = task_of(stem)
    at_risk_levels = set(task.level_names) - {"supportive"}
    least = 3 if stem.endswith("heldout") else 8
    counts = Counter(e.severity for e in labelled(stem) if e.at_risk)
    assert set(counts) == at_risk_levels
    assert min(counts.values()) >= least
    unaffected = {e.severity for e in labelled(stem) if not e.at_risk}
    assert unaffected == ({None, "supportive"} if task.name == "suicide-risk" else {None})


@pytest.mark.parametrize("stem", LABELLED)
@pytest.mark.parametrize("head", [10, 25])
def test_the_head_of_a_file_holds_both_classes(stem: str, head: int) -> None:
    positives = sum(e.at_risk for e in labelled(stem)[:head])
    assert 0.3 * head <= positives <= 0.7 * head


def test_no_text_is_used_twice_in_any_file() -> None:
    texts = [e.text for stem in LABELLED for e in labelled(stem)] + [m.text for m in demo()]
    repeated = [n for n, count in Counter(map(normalised, texts)).items() if count > 1]
    assert repeated == []


def test_no_text_holds_an_address_or_a_long_number() -> None:
    texts = [e.text for stem in LABELLED for e in labelled(stem)] + [m.text for m in demo()]
    assert not [text for text in texts if PERSONAL.search(text)]


# The demo's conversations


def test_the_demo_is_live_looking_traffic() -> None:
    messages = demo()
    assert 110 <= len(messages) <= 140
    assert len({m.id for m in messages}) == len(messages)
    sent = [m.sent_at for m in messages if m.sent_at is not None]
    assert len(sent) == len(messages)
    assert sent == sorted(sent)
    assert 0.15 <= sum(m.language == "ja" for m in messages) / len(messages) <= 0.3


def test_demo_conversations_are_interleaved_and_have_several_authors() -> None:
    messages = demo()
    authors: dict[str | None, set[str | None]] = {}
    for message in messages:
        authors.setdefault(message.conversation_id, set()).add(message.author_id)
    assert len(authors) >= 15
    assert min(map(len, authors.values())) >= 2
    together = sum(a.conversation_id == b.conversation_id for a, b in itertools.pairwise(messages))
    assert together < 0.1 * len(messages)


# Mistakes in one's own files


@given(
    field=st.sampled_from(sorted(set(Task.__struct_fields__) - {"policy"})),
    tail=st.text(string.ascii_lowercase, min_size=1, max_size=5),
)
def test_a_misspelt_field_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, field: str, tail: str
) -> None:
    content = msgspec.to_builtins(load_task("stress"))
    content[field + tail] = content.pop(field)
    file = tmp_path_factory.mktemp("task") / "mine.yaml"
    file.write_bytes(msgspec.yaml.encode(content))
    with pytest.raises(TaskError, match=f"`{field}`|`{field}{tail}`"):
        load_task(file)


def test_a_misspelt_threshold_is_refused(tmp_path: Path) -> None:
    yaml = (SHIPPED / "stress.yaml").read_text(encoding="utf-8").replace("lower:", "lowr:")
    file = tmp_path / "mine.yaml"
    file.write_text(yaml, encoding="utf-8")
    with pytest.raises(TaskError, match="lowr"):
        load_task(file)


def test_an_unquoted_no_is_refused(tmp_path: Path) -> None:
    yaml = (SHIPPED / "stress.yaml").read_text(encoding="utf-8").replace('clear: "No"', "clear: No")
    file = tmp_path / "mine.yaml"
    file.write_text(yaml, encoding="utf-8")
    with pytest.raises(TaskError, match=r"clear"):
        load_task(file)


def test_an_unknown_task_names_the_shipped_ones() -> None:
    with pytest.raises(TaskError, match="stress, suicide-risk"):
        load_task("weather")


@pytest.mark.parametrize(
    "line",
    [
        b'{"text": "tea with aunt vera", "at_risk": true, "severity": "terrible"}',
        b'{"text": "tea with aunt vera", "at_risk": "tea with aunt vera"}',
        b'{"text": "tea with aunt vera", "risk": true}',
        b'{"text": "tea with aunt vera", "at_risk": true',
        b'{"text": "  ", "at_risk": true, "note": "tea with aunt vera"}',
    ],
    ids=["wrong severity", "wrong type", "missing field", "cut off", "blank text"],
)
def test_a_wrong_line_is_named_and_its_text_is_not_shown(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_bytes(b'{"text": "fine", "at_risk": false}\n\n' + line + b"\n")
    with pytest.raises(TaskError, match=r"mine\.jsonl, row 3: ") as raised:
        read_examples(file, load_task("stress"))
    assert "vera" not in str(raised.value)


def test_a_missing_file_of_examples_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"cannot read .*none\.jsonl: No such file"):
        read_examples(tmp_path / "none.jsonl", load_task("stress"))


# The page on writing one's own task


def test_the_worked_example_on_the_page_is_valid(tmp_path: Path) -> None:
    task_file = tmp_path / "rental-scam.yaml"
    task_file.write_text(page_block("yaml"), encoding="utf-8")
    examples_file = tmp_path / "rental-scam.examples.jsonl"
    examples_file.write_text(page_block("json"), encoding="utf-8")
    task = load_task(task_file)
    examples = read_examples(examples_file, task)
    assert task.name == "rental-scam"
    assert {e.at_risk for e in examples} == {True, False}
