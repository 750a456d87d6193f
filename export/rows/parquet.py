"""Reads Parquet in a separate process with bounded time and memory, which a hostile file cannot leave."""

import importlib.util
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from engine.errors import MissingExtraError
from export.rows.row import MAX_CELL, Row, known_columns, plain, refuse

PATIENCE_S = 10.0
CHILD = Path(__file__).with_name("parquet_child.py")
MEMORY = "its row groups take more than 1 GB to read: write smaller ones, or write JSONL"


def parquet_rows(path: Path, fields: Mapping[str, str], others: dict[str, None]) -> Iterator[Row]:
    """Yield each row. `others` collects the columns that are not fields.

    Raises MissingExtraError: pyarrow is not installed. TaskError: the file is not Parquet or is damaged, a
    column has a type that is not text, or reading takes more than 1 GB or gives no answer within 10 s.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("reading Parquet", "pyarrow", "parquet")
    with subprocess.Popen(  # noqa: S603 - our own file under our own interpreter
        [sys.executable, "-P", str(CHILD), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        try:
            yield from _answers(path, child, fields, others)
        finally:
            child.kill()


def _answers(
    path: Path, child: subprocess.Popen[bytes], fields: Mapping[str, str], others: dict[str, None]
) -> Iterator[Row]:
    assert child.stdin is not None  # noqa: S101 - both are pipes
    assert child.stdout is not None  # noqa: S101
    names = _answer(path, child.stdout)
    columns = known_columns(path, names, fields)
    others.update(dict.fromkeys(name for name in names if plain(name) not in fields))
    child.stdin.write(msgspec.json.encode(columns) + b"\n")
    child.stdin.flush()
    number = 0
    while (batch := _answer(path, child.stdout)) is not None:
        for cells in zip(*batch, strict=True):
            number += 1
            place = f"row {number}"
            if any(isinstance(cell, str) and len(cell) > MAX_CELL for cell in cells):
                raise refuse(path, f"a cell is longer than {MAX_CELL:,} characters", place)
            yield Row(place, number, dict(zip(columns, cells, strict=True)))


def _answer(path: Path, pipe: IO[bytes]) -> Any:
    """Return the child's next answer. Raises TaskError: it refused the file, died of it, or is silent."""
    deadline = time.monotonic() + PATIENCE_S
    size = int.from_bytes(_read(path, pipe, 4, deadline))
    answer = msgspec.msgpack.decode(_read(path, pipe, size, deadline))
    if "refused" in answer:
        raise refuse(path, answer["refused"])
    return answer["answer"]


def _read(path: Path, pipe: IO[bytes], size: int, deadline: float) -> bytes:
    found = bytearray()
    while len(found) < size:
        ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            raise refuse(path, f"took longer than {PATIENCE_S:.0f} s to read: write it again, or write JSONL")
        part = os.read(pipe.fileno(), size - len(found))
        if not part:
            raise refuse(path, f"cannot be read: it is damaged, or {MEMORY}")
        found += part
    return bytes(found)
