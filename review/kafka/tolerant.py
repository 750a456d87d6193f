"""Makes aiokafka read record batches with header names that are not UTF-8.

aiokafka raises UnicodeDecodeError on such a name each time it reads the batch, so the desk would stop there
for ever. Anyone with the right to write to the topics could cause this. The desk looks for one name in
ASCII only, so it is enough to replace what cannot be decoded.
"""

from typing import Any

from aiokafka.consumer import fetcher  # type: ignore[import-untyped]  # ships no types
from aiokafka.record.default_records import (  # type: ignore[import-untyped]  # same
    DefaultRecordBatch,
    _DefaultRecordBatchPy,
)
from aiokafka.record.memory_records import _MemoryRecordsPy  # type: ignore[import-untyped]  # same


class _Readable(bytearray):
    """Bytes whose slices can always be decoded."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Readable(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        del errors
        return super().decode(encoding, "replace")


class TolerantBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # untyped
    """aiokafka's own batch in pure Python, over such bytes."""

    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, _Readable):
            self._buffer = _Readable(self._buffer)


class TolerantRecords(_MemoryRecordsPy):  # type: ignore[misc]  # untyped
    """The batches of a fetch: aiokafka's fast ones, or a tolerant one where that fails."""

    def next_batch(self, *args: Any) -> Any:
        """See aiokafka's MemoryRecords."""
        content = self._next_slice
        batch = super().next_batch(*args)
        if not isinstance(batch, DefaultRecordBatch):
            return batch
        try:
            for _ in batch:
                pass
        except UnicodeDecodeError:
            return TolerantBatch(content)
        except Exception:  # noqa: BLE001, S110 - aiokafka's fetcher decides about a corrupt batch
            pass
        return DefaultRecordBatch(content)


def install() -> None:
    """Make every consumer of this process read in this way."""
    fetcher.MemoryRecords = TolerantRecords
