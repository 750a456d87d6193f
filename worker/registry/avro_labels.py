"""Labels as framed Avro, written and read. As avro.py, it needs fastavro, an optional extra."""

import io
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import fastavro
import msgspec

import schemas
from schemas.avro import NAMESPACE, avro_schema
from schemas.events import Label, Severity
from schemas.kinds import KIND_OF
from worker.errors import RecordError
from worker.registry.avro import Exact, parsed_of, usable
from worker.registry.framing import LENGTH

_KEPT: Final = (datetime,)  # types that fastavro takes as they are
_SEVERITY: Final = f"{NAMESPACE}.{Severity.__name__}"
_SAYS_NOTHING: Final = {"doc", "__fastavro_parsed__"}


def avro_label_writer(schema: dict[str, Any], frame: bytes) -> Callable[[Label], bytes]:
    """Make a function that writes a label behind `frame`. It raises InvalidUtf8, as `schemas.encode` does."""
    parsed = fastavro.parse_schema(schema)

    def write(label: Label) -> bytes:
        stream = io.BytesIO()
        stream.write(frame)
        try:
            values = msgspec.to_builtins(label, builtin_types=_KEPT)
            if values["severity"] is not None:  # named, as fastavro would try each branch of the union else
                values["severity"] = _SEVERITY, values["severity"]
            fastavro.schemaless_writer(stream, parsed, values)
            return stream.getvalue()
        except UnicodeEncodeError:
            refusal = schemas.InvalidUtf8("a field of the Label holds a lone surrogate")
        raise refusal

    return write


def avro_label_reader(documents: Sequence[bytes]) -> Callable[[bytes], Label]:
    """Make a function that reads framed labels of a writer's schema, by Avro's rules: ours is the reader's.

    The last document is the schema, which names the others. The function raises RecordError. Raises
    UnusableSchemaError.
    """
    with usable():
        writer, _ = parsed_of(documents)
        reader = fastavro.parse_schema(avro_schema(KIND_OF[Label]))

    def read(value: bytes) -> Label:
        stream = Exact(value)
        stream.seek(LENGTH)
        fault: RecordError
        try:
            values: Any = fastavro.schemaless_reader(stream, writer, reader)
            if stream.tell() == len(value):
                return schemas.convert(Label, values)
            fault = RecordError("unreadable_record", "bytes follow its last field: it is of another schema")
        except schemas.CodecError as error:
            fault = RecordError(error.reason, error.detail)
        except Exception:  # noqa: BLE001 - fastavro documents no errors; the bytes are not what the schema says
            fault = RecordError("unreadable_record", "its bytes are no label in Avro of its schema")
        # Raised outside of every `except`: the original error holds the input, and would be attached.
        raise fault

    return read


def is_same_avro(document: bytes, schema: dict[str, Any]) -> bool:
    """Whether a registry's document is this schema, but for what it says in words. False: it is no schema."""
    try:
        theirs = fastavro.parse_schema(msgspec.json.decode(document))
        return bool(_bare(theirs) == _bare(fastavro.parse_schema(schema)))
    except Exception:  # noqa: BLE001 - as above: whatever is wrong with it, it is not ours
        return False


def _bare(node: Any) -> Any:
    if isinstance(node, list):
        return [_bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        name: each if name == "default" else _bare(each)
        for name, each in node.items()
        if name not in _SAYS_NOTHING
    }
