"""Makes a way of reading messages in framed Avro of a writer's schema. It needs fastavro, an optional extra.

What a message does not need is skipped, and never built, where it could be larger than its bytes.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import fastavro
import msgspec

import schemas
from schemas.events import Message
from worker.errors import RecordError
from worker.registry.avro_schema import (
    MOST_NODES,
    Schema,
    UnusableSchemaError,
    Wanted,
    cleaned,
    is_plain,
    require_bounded,
    wanted,
)
from worker.registry.framing import LENGTH

# What fastavro calls the named types that a parsed schema carries: it parses no schema again that has them.
_NAMED_TYPES: Final = "__named_schemas"


class Exact(io.BytesIO):
    """Ends where its bytes do: fastavro skips 2 ** 62 numbers that are not there, and notices nothing."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As of io.BytesIO. Raises EOFError: there is less."""
        found = super().read(size)
        if size is not None and len(found) < size:
            raise EOFError
        return found


def avro_reader(documents: Sequence[bytes]) -> Callable[[bytes], Message]:
    """Make a function that reads framed values. The last document is the schema, which names the others.

    The function raises RecordError. Raises UnusableSchemaError.
    """
    with usable():
        parsed, named = parsed_of(documents)
        return _reader(parsed, list(wanted(parsed, named)))


@contextmanager
def usable() -> Iterator[None]:
    """Raise UnusableSchemaError in place of whatever else goes wrong with a schema within."""
    try:
        yield
    except UnusableSchemaError:
        raise
    except Exception:  # noqa: BLE001 - fastavro documents no errors, and theirs would quote the schema
        raise UnusableSchemaError("is no valid Avro schema") from None


def parsed_of(documents: Sequence[bytes]) -> tuple[Schema, dict[str, Any]]:
    """The last document, parsed, with which work is bounded by a record's bytes; and all named types.

    Raises UnusableSchemaError, and what fastavro raises of a schema that is none.
    """
    named: dict[str, Any] = {}
    budget = iter(range(MOST_NODES))
    parsed: Schema = None
    for document in documents:
        parsed = fastavro.parse_schema(cleaned(msgspec.json.decode(document), budget), named)
    require_bounded(parsed, named)
    return {**parsed, _NAMED_TYPES: named}, named


def _reader(parsed: Schema, found: list[Wanted]) -> Callable[[bytes], Message]:
    names = [(each.theirs, each.ours) for each in found]
    needed = {each.theirs for each in found}
    skips = any(not is_plain(field["type"]) for field in parsed["fields"] if field["name"] not in needed)
    reader = _only(parsed["name"], found) if skips else None

    def read(value: bytes) -> Message:
        stream = Exact(value) if skips else io.BytesIO(value)
        stream.seek(LENGTH)
        fault: RecordError
        try:
            values: Any = fastavro.schemaless_reader(stream, parsed, reader)
            if stream.tell() == len(value):
                return schemas.convert(Message, {ours: values[theirs] for theirs, ours in names})
            fault = RecordError("unreadable_record", "bytes follow its last field: it is of another schema")
        except schemas.CodecError as error:
            fault = RecordError(error.reason, error.detail)
        except UnicodeDecodeError:
            fault = RecordError("invalid_utf8", "a string of the Avro record is not UTF-8")
        except OverflowError:
            fault = RecordError("schema_mismatch", "$.sent_at: out of range")
        except Exception:  # noqa: BLE001 - fastavro documents no errors; the bytes are not what the schema says
            fault = RecordError("unreadable_record", "its bytes are no Avro record of its schema")
        # Raised outside of every `except`: the original error holds the input, and would be attached.
        raise fault

    return read


def _only(name: str, found: list[Wanted]) -> Schema:
    """The reader's schema with which everything else is skipped."""
    fields = [{"name": each.theirs, "type": each.type} for each in found]
    parsed: Schema = fastavro.parse_schema({"type": "record", "name": name, "fields": fields})
    return parsed
