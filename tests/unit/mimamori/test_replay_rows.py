"""JSONL and CSV rows as messages: every row is checked, and a wrong one is named, never quoted."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TaskError
from mimamori.replay import message_key, read_messages
from schemas.events import Message

SECRET = "nobody else may read this"  # noqa: S105 - a message's text


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_jsonl_rows_keep_their_fields_and_drop_those_that_messages_do_not_have(tmp_path: Path) -> None:
    row = {"id": "m1", "text": "x", "conversation_id": "c", "sent_at": "2026-01-01T00:00:00Z", "label": 1}
    (message,) = read_messages(write(tmp_path, "a.jsonl", json.dumps(row)))
    assert message == Message("m1", "x", conversation_id="c", sent_at=datetime(2026, 1, 1, tzinfo=UTC))


def test_rows_without_an_id_get_one_that_is_the_same_next_time(tmp_path: Path) -> None:
    path = write(
        tmp_path, "talk.jsonl", '{"text": "a"}\n\n{"text": "b", "id": ""}\r\n{"text": "c", "id": "own"}'
    )
    assert [m.id for m in read_messages(path)] == ["talk-1", "talk-3", "own"]
    assert list(read_messages(path)) == list(read_messages(path))


def test_a_number_as_an_id_is_read_as_it_stands(tmp_path: Path) -> None:
    big = 123456789012345678901234567890
    path = write(tmp_path, "a.jsonl", f'{{"text": "x", "id": {big}, "author_id": 0}}')
    (message,) = read_messages(path)
    assert (message.id, message.author_id) == (str(big), "0")


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    content = '\ufeffid,text,mood\r\n1,"two\r\nlines, a comma and a ""quote""",x\r\n,plain 見守り,\r\n'
    first, second = read_messages(write(tmp_path, "Chat.CSV", content))
    assert (first.id, first.text) == ("1", 'two\r\nlines, a comma and a "quote"')
    assert (second.id, second.text) == ("Chat-2", "plain 見守り")


def test_csv_values_stay_text_and_empty_cells_are_absent(tmp_path: Path) -> None:
    content = "text,id,language,sent_at\nnull,007,,2026-01-01T00:00:00Z\ntrue,1e3,en,\n"
    first, second = read_messages(write(tmp_path, "a.csv", content))
    assert (first.text, first.id, first.language) == ("null", "007", None)
    assert first.sent_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert (second.text, second.id, second.sent_at) == ("true", "1e3", None)


def test_a_text_longer_than_the_csv_module_allows_is_read(tmp_path: Path) -> None:
    (message,) = read_messages(write(tmp_path, "a.csv", "text\n" + "x" * 1_000_000 + "\n"))
    assert len(message.text) == 1_000_000


def test_a_byte_order_mark_before_jsonl_is_no_fault(tmp_path: Path) -> None:
    assert [m.text for m in read_messages(write(tmp_path, "a.jsonl", '\ufeff{"text": "x"}\n'))] == ["x"]


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", ""), ("a.jsonl", "\n \n"), ("a.csv", "text\n")])
def test_a_file_without_rows_gives_no_messages(tmp_path: Path, name: str, content: str) -> None:
    assert list(read_messages(write(tmp_path, name, content))) == []


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.jsonl", f'{{"text": "x"}}\n{{"text": "{SECRET}', "row 2: is not JSON"),
        ("a.jsonl", f'{{"text": "x"}}\n{SECRET}', "row 2: is not JSON"),
        ("a.jsonl", f'["{SECRET}"]', "row 1: is not a JSON object"),
        ("a.jsonl", f'{{"text": ["{SECRET}"]}}', "row 1: `text` is a list or an object"),
        ("a.jsonl", f'{{"text": {{"{SECRET}": 1}}}}', "row 1: `text` is a list or an object"),
        ("a.jsonl", '{"text": 5}', "row 1: `text` is a number: write it as text, in quotes"),
        ("a.jsonl", '{"text": false}', "row 1: `text` is true or false"),
        ("a.jsonl", '{"text": null}', "row 1: `text` is empty"),
        ("a.jsonl", '{"text": " \\n"}', "row 1: `text` is nothing but whitespace"),
        ("a.jsonl", f'{{"id": "{SECRET}"}}', "row 1: `text` is missing"),
        (
            "a.jsonl",
            f'{{"text": "x", "sent_at": "{SECRET}"}}',
            "row 1: `sent_at` is not a time with an offset",
        ),
        ("a.jsonl", '{"text": "x", "sent_at": "2026-01-01T00:00:00"}', "row 1: `sent_at` is not a time with"),
        ("a.jsonl", f'{{"text": "x", "id": "{SECRET * 20}"}}', "row 1: `id` is longer than 256 characters"),
        ("a.jsonl", f'{{"text": "x", "task": "{SECRET * 20}"}}', "row 1: `task` is longer than 256"),
        ("a.jsonl", '{"text": "x", "id": 1e20}', "row 1: `id` is a number with a fraction or an exponent"),
        ("a.jsonl", '{"text": "x", "id": true}', "row 1: `id` is true or false"),
        ("a.jsonl", f'{{"text": "x", "text": "{SECRET}"}}', "row 1: `text` is given twice"),
        ("a.jsonl", f'{{"text": "x", "Text": "{SECRET}"}}', "row 1: `text` is given twice"),
        ("a.jsonl", '{"text": "' + SECRET + '", "more": ' + "[" * 100_000, "row 1: is not JSON"),
        ("a.jsonl", b'{"text": "' + SECRET.encode() + b'\xff"}', "line 1, byte 36: is not UTF-8: save"),
        ("a.csv", f"id,text\n1,x\n{SECRET}", "row 2 (line 3): 1 cell under 2 columns"),
        ("a.csv", f"id,text\n1,{SECRET}, and so on", "row 1 (line 2): 3 cells under 2 columns"),
        ("a.csv", f"text,sent_at\nx,{SECRET}", "row 1 (line 2): `sent_at` is not a time"),
        ("a.csv", f'text\nx\n"{SECRET}\ny\n', "row 2 (line 3): its quotes do not match: one is opened"),
        ("a.csv", f'text\n"{SECRET}" more\n', "row 1 (line 2): its quotes do not match: put the cell"),
        ("a.csv", f'id,text,task\n1,she said "{SECRET}, and" so\n', "row 1 (line 2): a cell has a quote in"),
        ("a.csv", f"text\n{SECRET}\rand more\n", "row 1 (line 2): a line ends otherwise"),
        ("a.csv", f"text\r\n{SECRET}\nand more\r\n", "row 1 (line 2): a line ends otherwise"),
        ("a.csv", f"id,text\r\n1,x\r\n2,{SECRET}\n", "row 2 (line 3): a line ends otherwise"),
        ("a.csv", "text\rx\ry\n", "row 2 (line 3): a line ends otherwise"),
        ("a.csv", f"text,at\n{SECRET}", "row 1 (line 2): 1 cell under 2 columns"),
        ("a.csv", f"id,text\n{SECRET},\n", "row 1 (line 2): `text` is empty"),
        ("a.csv", f"id,text,\n1,x,{SECRET}\n", "row 1 (line 2): column 3 has no name but is not empty"),
        ("a.csv", f"id,text,TEXT \n1,x,{SECRET}\n", "columns 2 and 3 are both named `text`"),
        ("a.csv", f"{SECRET}\nx\n", "no column is named `text`"),
        ("a.csv", "id:text\n1:x\n", "no column is named `text`"),
        (
            "a.csv",
            "id,text;text\n1,x;y\n",
            "more than one separator fits the first line: say which with --sep",
        ),
        ("a.csv", "sep=:\nid:text\n", "line 1: `sep=` names none of the separators"),
        ("a.csv", "", "is empty"),
        ("a.csv", b"text\n" + SECRET.encode() + b"\xff\n", "line 2, byte 26: is not UTF-8: save"),
        ("a.csv", f'"{SECRET}', "the first line: its quotes do not match"),
        ("a.csv", "text\nx\n".encode("utf-16-le"), "looks like UTF-16 without its byte order mark"),
        ("a.csv", "text\nx\n".encode("utf-16")[:-1], "is not in UTF-16, which its byte order mark names"),
        ("a.csv.gz", b"\x1f\x8b\x08\x00", "is compressed: unpack it first"),
        ("a.xlsx", b"PK\x03\x04", "is a spreadsheet or a zip archive: save it as CSV"),
        ("a.txt", SECRET, "its name does not tell its format: name it .jsonl, .csv, .tsv or .parquet"),
        ("a.csv", b"PAR1", "holds Parquet: name it .parquet"),
    ],
)
def test_a_wrong_row_is_named_and_never_quoted(
    tmp_path: Path, name: str, content: str | bytes, place: str
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(TaskError) as refusal:
        list(read_messages(path))
    assert place in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.csv", "."])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(TaskError, match="cannot read"):
        list(read_messages(tmp_path / name))


def test_a_pipe_is_refused_since_it_cannot_be_checked_and_then_sent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(TaskError, match="it is not a file: save what it holds in one first"):
        list(read_messages(tmp_path / "pipe.csv"))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip), max_size=8))
def test_any_texts_come_back_from_jsonl_in_order(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert [m.text for m in read_messages(path)] == texts


def test_a_conversation_stays_in_one_partition() -> None:
    assert message_key(Message("m1", "x", conversation_id="c")) == b"c"
    assert message_key(Message("m1", "x")) == b"m1"
