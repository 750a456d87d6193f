"""CSV and TSV in every shape that careless and hostile hands give it: read exactly, or refused."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import TaskError
from engine.task import load_task
from export.examples import LabelledExample, read_examples
from export.rows import Separator
from mimamori.replay import read_messages
from schemas.events import Message

STRESS = load_task("stress")


def pairs(path: Path, separator: Separator | None = None) -> list[tuple[str, str]]:
    return [(message.id, message.text) for message in read_messages(path, separator)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"id,text\n1,fine\n2,well\n"),
        ("a.csv", b"ID, Text \r\n1,fine\r\n2,well"),
        ("a.csv", b"id,text\r1,fine\r2,well\r"),
        ("a.csv", b"id;text\n1;fine\n2;well\n"),
        ("a.tsv", b"id\ttext\n1\tfine\n2\twell\n"),
        ("a.CSV", b"text|id\n\nfine|1\nwell|2\n\n"),
        ("a.csv", b"sep=;\r\nid;text\r\n1;fine\r\n2;well\r\n"),
        ("a.csv", b'"sep=|"\nid|text\n1|fine\n2|well\n'),
        ("a.csv", b"\xef\xbb\xbfsep=,\nid,text\n1,fine\n2,well\n"),
        ("a.csv", "id,text\r\n1,fine\r\n2,well\r\n".encode("utf-16")),
        ("a.csv", b"\xfe\xff" + "id\ttext\n1\tfine\n2\twell\n".encode("utf-16-be")),
        ("a.csv", "id,text\n1,fine\n2,well\n".encode("utf-32")),
        ("a.csv", b'"id","text",,\n"1",fine,,\n,,,\n2,"well",,\n'),
        ("a.jsonl", '{"ID": 1, "Text": "fine"}\r\n{"ID": 2, "Text": "well"}\r\n'.encode("utf-16")),
        ("a.ndjson", b'\xef\xbb\xbf{"id": "1", "text": "fine"}\n\n{"id": "2", "text": "well"}'),
    ],
)
def test_what_leaves_no_doubt_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert pairs(tmp_path / name) == [("1", "fine"), ("2", "well")]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("id;text\n1;yes, no, and so on\n", ["yes, no, and so on"]),
        ("id,text\n1,yes; no; and so on\n", ["yes; no; and so on"]),
        ('id,text\n1,"a ""quote"", and a comma"\n', ['a "quote", and a comma']),
        ('id,text\n1,a "quote" inside\n', ['a "quote" inside']),
        ('id,text\n1,"two\r\nlines"\n2,x\n', ["two\r\nlines", "x"]),
        ("id,text\n1,a\0b\n", ["a\0b"]),
        ("id,text\n1,  spaces stay  \n", ["  spaces stay  "]),
        ("id,text\n1,见\u2028守\x0bり\x85\n", ["见\u2028守\x0bり\x85"]),
    ],
)
def test_a_cell_is_read_as_it_was_written(tmp_path: Path, content: str, texts: list[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode())
    assert [text for _, text in pairs(path)] == texts


def test_a_separator_in_doubt_is_asked_for_and_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,text;text\n1,x;y\n")
    with pytest.raises(TaskError, match=r"--separator \(comma, semicolon, tab, pipe\)"):
        pairs(path)
    assert pairs(path, "semicolon") == [("a-1", "y")]
    (tmp_path / "a.jsonl").write_text('{"text": "x"}')
    with pytest.raises(TaskError, match=r"--separator is for \.csv and \.tsv files"):
        pairs(tmp_path / "a.jsonl", "comma")


def test_what_is_left_out_and_what_stands_twice_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,text,mood,{'words ' * 20}\n1,x,y,z\n2,x,y,z\n1,x,y,z\n1,x,y,z\n")
    told: list[str] = []
    places = "row 1 (line 2) and row 3 (line 4)"
    assert len(list(read_messages(path, tell=told.append))) == 4
    assert told == [
        f"{path}: left out: `mood`, 1 more",
        f"{path}: 2 ids are repeated, first in {places}: each row counts separately",
    ]


def test_labelled_examples_from_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "Text;At_Risk;Severity;note\nlovely, thanks;no;;\nno sleep again;YES;medium;slang\ntea;0;;\n"
        "late again;1;low;\nfine;false;;\nso tired;True;high;\n"
    )
    levels = STRESS.level_names
    path.write_text(
        path.read_text().replace("medium", levels[0]).replace("low", levels[0]).replace("high", levels[-1])
    )
    examples = read_examples(path, STRESS)
    assert [e.at_risk for e in examples] == [False, True, False, True, False, True]
    assert examples[1] == LabelledExample("no sleep again", at_risk=True, severity=levels[0], note="slang")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            "text,at_risk\nx,perhaps\n",
            r"row 1 \(line 2\): `at_risk` is neither true nor false: label the row",
        ),
        ("text,at_risk\nx,\n", r"row 1 \(line 2\): `at_risk` is empty: label the row with true or false"),
        ("text\nx\n", r"row 1 \(line 2\): `at_risk` is missing: label the row"),
        ("text,at_risk,severity\nx,yes,awful\n", r"row 1 \(line 2\): `severity` must be empty .* or one of"),
        (
            "text,at_risk,severty\nx,yes,\n",
            r"row 1 \(line 2\): `severty`: not a field \(text, at_risk, id, sev",
        ),
        ("id,text,at_risk\n1,I was fine, then,yes\n", r"row 1 \(line 2\): 4 cells under 3 columns"),
    ],
)
def test_a_wrong_example_is_named(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(TaskError, match=why):
        read_examples(path, STRESS)


texts = st.text(
    st.sampled_from(list('"""\'\',,;;\t|\\\n\r\0 ab=見\ufeff\u2028'))
    | st.characters(exclude_categories=["Cs"]),
    min_size=1,
    max_size=12,
)


@given(
    st.lists(texts, min_size=1, max_size=5),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC, csv.QUOTE_NONE]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    st.sampled_from([("text",), ("id", "text"), ("text", "id"), ("id", "text", "mood")]),
    st.booleans(),
)
@example(["I was fine\rthen not"], ",", csv.QUOTE_MINIMAL, "\n", "utf-8", ("text",), False)
@example(["a\n"], ",", csv.QUOTE_MINIMAL, "\r", "utf-8", ("id", "text"), False)
def test_what_is_written_as_csv_comes_back_exactly_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    mark: str,
    quoting: int,
    end: str,
    encoding: str,
    columns: tuple[str, ...],
    declared: bool,  # noqa: FBT001 - hypothesis draws it
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=mark, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    rows = [{"id": str(n), "text": text, "mood": ""} for n, text in enumerate(texts)]
    try:
        writer.writerow(columns)
        writer.writerows([row[column] for column in columns] for row in rows)
    except csv.Error:
        return  # QUOTE_NONE writes no cell that it would have to quote
    path = tmp_path_factory.getbasetemp() / "any.csv"
    content = (f"sep={mark}{end}" if declared else "") + buffer.getvalue()
    path.write_bytes(content.encode(encoding))
    try:
        back = [message.text for message in read_messages(path)]
    except TaskError:
        assert quoting != csv.QUOTE_ALL or not all(text.strip() for text in texts) or columns == ("text",)
        return
    assert back == texts


@given(st.lists(texts, min_size=1, max_size=5), st.sampled_from(",;\t|"))
def test_an_exporter_that_quotes_nothing_never_shortens_a_text(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], mark: str
) -> None:
    # What begins with a quote, or breaks the line, is another file by then: no reader could tell.
    texts = [text.replace("\n", " ").replace("\r", " ").lstrip('"') or "x" for text in texts]
    path = tmp_path_factory.getbasetemp() / "naive.csv"
    content = "".join(f"{n}{mark}{text}\n" for n, text in enumerate(texts))
    path.write_bytes(f"id{mark}text\n{content}".encode())
    try:
        back = [message.text for message in read_messages(path)]
    except TaskError:
        return
    assert back == texts


@given(st.binary(max_size=200), st.sampled_from(["any.csv", "any.tsv", "any.jsonl"]), st.booleans())
def test_any_bytes_are_messages_or_one_line(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    name: str,
    headed: bool,  # noqa: FBT001 - hypothesis draws it
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(b"text,id\n" * headed + content)
    refusal = ""
    try:
        assert all(isinstance(message, Message) for message in read_messages(path))
    except TaskError as error:
        refusal = str(error)
    assert "\n" not in refusal


def test_a_million_characters_in_one_cell_and_a_quote_that_swallows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"' + "x\n" * 500_000 + '"\n')
    assert pairs(path) == [("1", "x\n" * 500_000)]
    path.write_text('id,text\n1,"' + ("x" * 999 + "\n") * 18_000)
    with pytest.raises(
        TaskError, match=r"row 1 \(line 2\): a cell is longer than 16,777,216 characters, or its"
    ):
        pairs(path)
