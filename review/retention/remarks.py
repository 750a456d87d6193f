"""Seals what people type about a case, notes and reasons, under a key of that case alone.

The log of case events keeps its records for a year, and nobody can take a part out of one. So it holds
remarks sealed, and the key is in the desk's table beside the case. It goes when the case's words go: from
then on, nobody can read the remarks, whoever has the log and the keys of the table.
"""

import binascii
from base64 import b64decode, b64encode
from typing import TypeVar

from msgspec.structs import replace

from review.cases.remains import Decided
from review.cases.state import CaseState
from review.retention.cipher import Cipher, Key, SealError

E = TypeVar("E", CaseState, CaseState | Decided)


def with_key(entry: E) -> E:
    """The entry, with a key for what people type about its case where it has none."""
    if isinstance(entry, CaseState) and entry.remarks_key is None:
        return replace(entry, remarks_key=Key.make().text)
    return entry


def seal_remark(remark: str, key: str, case_id: str) -> str:
    """What the log may hold of a remark, in base64."""
    return b64encode(Cipher([Key.read(key)]).seal(remark.encode(), case_id.encode())).decode()


def open_remark(sealed: str | None, key: str | None, case_id: str) -> str | None:
    """The remark; None where there is none, or its key is gone."""
    if sealed is None or key is None:
        return None
    try:
        return Cipher([Key.read(key)]).open(b64decode(sealed, validate=True), case_id.encode()).decode()
    except (SealError, binascii.Error):
        return None
