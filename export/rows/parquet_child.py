"""The process that reads a Parquet file: first the names, then the wanted columns, in batches.

It is run as a file and imports nothing of Mimamori, so that it starts as quickly as pyarrow does. It writes
frames to standard output: four bytes of length, then msgpack, `{"answer": …}` or `{"refused": why}`.
"""

import os
import sys
from pathlib import Path
from typing import Any

import msgspec

GIGABYTE = 1 << 30
BATCH_BYTES = 1 << 24
BATCH_ROWS = 4096
CROWD = 10_000_000


def main(path: str) -> None:
    """Answer with the columns' names, read which of them are wanted, and answer with their values."""
    _bound()
    import pyarrow as pa  # noqa: PLC0415 - within the bounds
    import pyarrow.parquet as pq  # noqa: PLC0415

    pa.set_cpu_count(1)
    try:
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
        rows = file.metadata.num_rows
        if rows > max(CROWD, Path(path).stat().st_size):
            _refuse(f"says that it holds {rows:,} rows, more than it has bytes: write it again")
        schema = file.schema_arrow
        _answer(schema.names)
        wanted: dict[str, int] = msgspec.json.decode(sys.stdin.buffer.readline())
        names = [schema.names[column] for column in wanted.values()]
        for field, column in wanted.items():
            if why := _unfit(pa, schema.field(column).type):
                _refuse(f"column `{field}` {why}")
        size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        count = max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(size, 1)))
        for batch in file.iter_batches(count, columns=names, use_threads=False):
            batch.validate(full=True)
            _answer([_values(pa, batch.column(batch.schema.get_field_index(name))) for name in names])
        _answer(None)
    except (MemoryError, pa.ArrowMemoryError):
        _refuse("takes more than 1 GB to read: write smaller row groups, or write JSONL")
    except UnicodeDecodeError:
        _refuse("holds text that is not UTF-8: write it again")
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        _refuse("is damaged, or is not Parquet: write it again")


def _bound() -> None:
    import resource  # noqa: PLC0415 - not on Windows, where nothing bounds it

    resource.setrlimit(resource.RLIMIT_DATA, (GIGABYTE, GIGABYTE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would contain texts
    # Arrow's other memory pools reserve memory in advance and keep threads.
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    os.environ["OMP_NUM_THREADS"] = "1"


def _unfit(pa: Any, kind: Any) -> str | None:
    """Say why a column of this type cannot be read, or None."""
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_decimal(kind):
        return None if kind.scale == 0 else "holds decimals with a fraction: write it as text"
    fits = (types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_floating)
    if any(fit(kind) for fit in (*fits, types.is_boolean, types.is_null, types.is_timestamp)):
        return None
    return "has a type that is not text (a list, a structure, bytes, …): write it as text"


def _values(pa: Any, column: Any) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz))
        return [None if value is None else value.isoformat() for value in column.to_pylist()]
    if pa.types.is_decimal(column.type):
        return [None if value is None else int(value) for value in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


def _answer(answer: Any) -> None:
    _write({"answer": answer})


def _refuse(why: str) -> None:
    _write({"refused": why})
    sys.exit(1)


def _write(frame: dict[str, Any]) -> None:
    encoded = msgspec.msgpack.encode(frame)
    sys.stdout.buffer.write(len(encoded).to_bytes(4) + encoded)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
