"""The schemas of events as a schema registry gets them: those of the day of their version.

They never change within a version, not by a word of their descriptions. So whoever looks one up in a registry
finds what an earlier release of the same version has registered.
"""

from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from schemas.kinds import Kind

FrameFormat = Literal["avro", "json"]  # what may follow the frame of a schema registry

_HISTORY: Final = Path(__file__).parent / "history"
_SUFFIX: Final = {"avro": "avsc", "json": "schema.json"}


def frozen_schema(kind: Kind, form: FrameFormat) -> dict[str, Any]:
    """The schema of the version of today, of one kind of `schemas.avro.FRAMED`."""
    file = _HISTORY / f"v{kind.version}" / f"{kind.name}.{_SUFFIX[form]}"
    found: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    return found
