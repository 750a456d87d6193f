"""The five bytes in front of a framed value: a zero, and the id of the writer's schema, high byte first.

Plain JSON never begins with a zero byte, so that both may be on one topic.
"""

from typing import Final

LENGTH: Final = 5
LARGEST_ID: Final = (1 << 31) - 1  # the protocol's ids are signed: a registry has no word for a larger one
_ZERO: Final = 0


def schema_id_of(value: bytes | None) -> int | None:
    """The id of the schema that a value was written with; None where it is not framed.

    A value that ends within its frame has the id -1, which no registry gives. Nor does one give an id above
    LARGEST_ID, which four bytes may hold all the same.
    """
    if not value or value[0] != _ZERO:
        return None
    if len(value) < LENGTH:
        return -1
    return int.from_bytes(value[1:LENGTH], "big")


def framed(schema_id: int, payload: bytes) -> bytes:
    """A payload behind its frame."""
    return bytes([_ZERO]) + schema_id.to_bytes(LENGTH - 1, "big") + payload
