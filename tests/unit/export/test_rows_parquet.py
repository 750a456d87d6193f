"""Parquet: text exactly, numbers as ids, and a hostile file that ends in one line."""

import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import MissingExtraError, TaskError
from engine.task import load_task
from export.examples import read_examples
from export.rows import parquet
from mimamori.replay import read_messages

FUZZED = int(os.environ.get("MIMAMORI_TEST_FUZZED_PARQUET", "6"))  # 500 for the long run
TEXTS = ["见守り, \"quoted\" and\r\n'more'", "\0", "I was fine at first, then I wanted to end it all"]


def write(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


@pytest.mark.parametrize(
    ("ids", "texts"),
    [
        (pa.array([1, 2, 2**63 - 1]), pa.array(TEXTS)),
        (pa.array([1, 2, 2**63 - 1], pa.uint64()), pa.array(TEXTS, pa.large_string())),
        (
            pa.array([Decimal(1), Decimal(2), Decimal(2**63 - 1)], pa.decimal128(20, 0)),
            pa.array(TEXTS).dictionary_encode(),
        ),
        (pa.array(["1", "2", str(2**63 - 1)]).dictionary_encode(), pa.array(TEXTS, pa.string_view())),
    ],
)
def test_columns_of_any_text_and_number_type_are_read(tmp_path: Path, ids: Any, texts: Any) -> None:
    path = write(tmp_path, {"ID": ids, "Text": texts, "mood": pa.array([[1], [], None])}, row_group_size=2)
    told: list[str] = []
    messages = list(read_messages(path, tell=told.append))
    assert [message.text for message in messages] == TEXTS
    assert [message.id for message in messages] == ["1", "2", str(2**63 - 1)]
    assert told == [f"{path}: left out: `mood`"]


def test_nulls_times_and_numbers_of_rows(tmp_path: Path) -> None:
    moment = datetime(2026, 3, 14, 22, 41, 7, tzinfo=UTC)
    path = write(tmp_path, {"text": ["a", "b"], "id": [None, "own"], "sent_at": [moment, None]})
    first, second = read_messages(path)
    assert (first.id, first.sent_at) == ("a-1", moment)
    assert (second.id, second.sent_at) == ("own", None)


def test_labelled_examples(tmp_path: Path) -> None:
    path = write(tmp_path, {"text": ["a", "b"], "at_risk": [True, False]})
    assert [example.at_risk for example in read_examples(path, load_task("stress"))] == [True, False]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"id": ["1"]}, "no column is named `text`"),
        ({"text": ["x"], "Text": ["secret"]}, "columns 1 and 2 are both named `text`"),
        ({"text": [["secret"]]}, "column `text` has a type that is not text"),
        ({"text": [b"secret"]}, "column `text` has a type that is not text"),
        ({"text": [5]}, "row 1: `text` is a number: write it as text"),
        ({"text": ["x", None]}, "row 2: `text` is empty"),
        ({"text": ["x"], "id": [1.0]}, "row 1: `id` is a number with a fraction or an exponent"),
        ({"text": ["x"], "id": [Decimal("1.5")]}, "column `id` holds decimals with a fraction"),
        ({"text": ["x"], "sent_at": [datetime(2026, 1, 1)]}, "row 1: `sent_at` is not a time with an offset"),  # noqa: DTZ001
        ({"text": ["x" * (1 << 24) + "secret"]}, "row 1: a cell is longer than 16,777,216 characters"),
        # One text of a megabyte, three thousand times over, in a file of 1 MB.
        (
            {
                "text": pa.DictionaryArray.from_arrays(
                    pa.nulls(3000, pa.int32()).fill_null(0), ["x" * (1 << 20)]
                )
            },
            "takes more than 1 GB to read: write smaller row groups",
        ),
    ],
)
def test_a_wrong_column_is_named_and_never_quoted(tmp_path: Path, columns: dict[str, Any], why: str) -> None:
    path = write(tmp_path, columns)
    with pytest.raises(TaskError) as refusal:
        list(read_messages(path))
    assert why in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("seed", range(FUZZED))
def test_a_damaged_file_is_rows_or_one_line(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - damage, not secrets
    path = write(tmp_path, {"text": TEXTS * 20, "id": list(range(60))}, row_group_size=16)
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 3, 30])):
        content[draw.randrange(4, len(content))] = draw.randrange(256)
    path.write_bytes(content[: draw.choice([len(content), len(content), draw.randrange(len(content))])])
    refusal = ""
    try:
        assert len(list(read_messages(path))) <= 60
    except TaskError as error:
        refusal = str(error)
    assert "\n" not in refusal


def test_a_file_whose_reader_dies_or_never_answers_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, {"text": ["x"]})
    child = tmp_path / "child.py"
    monkeypatch.setattr(parquet, "CHILD", child)
    child.write_text("import os\nos.abort()\n")
    with pytest.raises(
        TaskError, match="cannot be read: it is damaged, or its row groups take more than 1 GB"
    ):
        list(read_messages(path))
    child.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(parquet, "PATIENCE_S", 0.2)
    with pytest.raises(TaskError, match="took longer than"):
        list(read_messages(path))


def test_without_its_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, {"text": ["x"]})
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        MissingExtraError,
        match=r"reading Parquet needs pyarrow: in a clone of Mimamori, pip install '.\[parquet\]'",
    ):
        list(read_messages(path))


def test_nothing_but_a_parquet_file_imports_pyarrow(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\nx\n")
    script = (
        "import sys, pathlib, mimamori.replay as r; list(r.read_messages(pathlib.Path(sys.argv[1]))); "
        "sys.exit('pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script, path], check=False).returncode == 0
