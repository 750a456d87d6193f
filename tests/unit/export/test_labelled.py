"""Other people's files: their columns, their labels, and what is wrong with them, by row."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import TaskError
from export.evaluating.labelled import Columns, Labelled, apart, notes_on, read_labelled
from tests.fakes.tiny_bundle import TASK

POSTS = """Post,Label,grade,forum
"I cannot go on, it is too much",stress,high,work
see you at eight,calm,,home
"again, nothing but noise",stress,low,work
"""
COLUMNS = Columns(
    {"text": "post", "at_risk": "label", "severity": "grade"}, ("Forum",), ("Stress",), ("calm", "none")
)


def _written(folder: Path, content: str, name: str = "posts.csv") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_columns_and_labels_of_any_name_are_read_and_others_are_left_out(tmp_path: Path) -> None:
    read = read_labelled(_written(tmp_path, POSTS), TASK, COLUMNS)
    assert [example.at_risk for example in read.examples] == [True, False, True]
    assert [example.severity for example in read.examples] == ["high", None, "low"]
    assert read.examples[0].text == "I cannot go on, it is too much"
    assert read.slices == {"Forum": ["work", "home", "work"]}
    assert read.places[2] == "row 3 (line 4)"


def test_every_format_gives_the_same_examples(tmp_path: Path) -> None:
    rows = [
        {"post": "one two", "label": 1, "depth": 2.5, "nice": True},
        {"post": "three", "label": 0, "depth": None, "nice": False},
    ]
    jsonl = _written(tmp_path, "\n".join(map(json.dumps, rows)), "rows.jsonl")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    tsv = _written(
        tmp_path, "post\tlabel\tdepth\tnice\none two\t1\t2.5\ttrue\nthree\t0\t\tfalse\n", "rows.tsv"
    )
    columns = Columns({"text": "post", "at_risk": "label"}, ("depth", "nice"))
    found = [read_labelled(path, TASK, columns) for path in (jsonl, tmp_path / "rows.parquet", tsv)]
    assert all(each.examples == found[0].examples for each in found)
    assert all(each.slices == {"depth": ["2.5", None], "nice": ["true", "false"]} for each in found)


def test_whole_numbers_stored_with_a_point_are_labels(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a b", "c d"], "at_risk": [1.0, 0.0]}), tmp_path / "rows.parquet")
    read = read_labelled(tmp_path / "rows.parquet", TASK)
    assert [example.at_risk for example in read.examples] == [True, False]


@pytest.mark.parametrize(
    ("content", "columns", "words"),
    [
        ("text,label\nsecret words,1\n", Columns(), ("row 1", "`at_risk` is missing", "--label-column")),
        ("body,at_risk\nsecret words,1\n", Columns(), ("no column is named `text`", "--text-column")),
        ("text,at_risk\nsecret words,1\n", Columns({"text": "body"}), ("no column is named `body`",)),
        ("text,at_risk\nfine,0\nsecret words,maybe\n", Columns(), ("row 2", "neither true nor false")),
        ("text,at_risk\nfine,\n", Columns(), ("row 1", "`at_risk` is missing or empty")),
        ("text,at_risk\nfine,0\n,1\n", Columns(), ("row 2", "`text` is empty")),
        ("text,at_risk\nfine,0\n   ,1\n", Columns(), ("row 2", "nothing but whitespace")),
        ("text,at_risk,severity\nsecret words,1,dire\n", Columns(), ("row 1", "low, moderate, high")),
        (POSTS, COLUMNS._replace(clear=("none",)), ("row 2", "none of the labels given")),
        (POSTS, COLUMNS._replace(clear=()), ("belong together",)),
        (POSTS, COLUMNS._replace(slices=("town",)), ("`town`", "--slice")),
        (POSTS, COLUMNS._replace(slices=("label",)), ("--slice label", "read already")),
        (POSTS, COLUMNS._replace(named={"text": "post", "at_risk": "Post"}), ("`post`", "--label-column")),
        ("text,at_risk\n", Columns(), ("no labelled examples",)),
    ],
)
def test_what_is_wrong_is_named_by_row_and_quotes_no_text(
    content: str, columns: Columns, words: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(TaskError) as caught:
        read_labelled(_written(tmp_path, content), TASK, columns)
    for word in words:
        assert word in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_row_without_the_column_of_texts_says_how_to_name_it(tmp_path: Path) -> None:
    path = _written(tmp_path, '{"post": "secret words", "at_risk": true}\n', "rows.jsonl")
    with pytest.raises(TaskError, match=r"row 1: `text` is missing: .*--text-column"):
        read_labelled(path, TASK)


def test_severity_in_other_words_can_be_left_out(tmp_path: Path) -> None:
    path = _written(tmp_path, "text,at_risk,severity\nsome words,1,dire\n")
    assert read_labelled(path, TASK, Columns(severity=False)).examples[0].severity is None


def _labelled(folder: Path, rows: list[tuple[str, int]], name: str) -> Labelled:
    lines = "".join(json.dumps({"text": text, "at_risk": bool(label)}) + "\n" for text, label in rows)
    return read_labelled(_written(folder, lines, name), TASK)


def test_a_test_text_that_is_in_train_too_is_left_out_and_counted(tmp_path: Path) -> None:
    train = _labelled(tmp_path, [("Hello  there", 0), ("no way", 1)], "train.jsonl")
    test = _labelled(tmp_path, [("new", 1), ("hello there ", 0), ("newer", 0), ("NO WAY", 1)], "test.jsonl")
    left, notes = apart(test, train)
    assert [example.text for example in left.examples] == ["new", "newer"]
    assert left.places == ["row 1", "row 3"]
    assert notes == ["2 rows of test.jsonl are in train.jsonl too, the first is row 2: they were left out"]
    with pytest.raises(TaskError, match="every text of"):
        apart(train, train)


def test_repetitions_and_contradictions_are_noted_with_their_rows(tmp_path: Path) -> None:
    rows = [("a b", 1), ("c", 0), ("A  b", 1), ("c", 1), ("d", 0)]
    again, against = notes_on(_labelled(tmp_path, rows, "rows.jsonl"))
    assert "1 rows" in again
    assert "row 1 and row 3" in again
    assert "row 2 and row 4" in against
    assert notes_on(_labelled(tmp_path, rows[:2], "rows.jsonl")) == []
