"""Golden items: cases whose answer is known, read blind among the others, to see how reviewers do.

A file holds one item a line: `id`, `task`, `text`, `finding`, and `levels` and `severity` where the task has
them. Write them yourselves; a person's real message is no exercise. `mimamori golden` sends them as cases
that imitate real ones (`review.figures.imitation`), so that a reviewer cannot tell which they are.
"""

from pathlib import Path

import msgspec

from review.errors import DeskError
from schemas.vocabulary import Finding


class GoldenItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One item. `severity` is one of `levels`."""

    id: str
    task: str
    text: str
    finding: Finding
    levels: list[str] = []
    severity: str | None = None


def read_golden(path: Path | None) -> dict[str, GoldenItem]:
    """The items of a file by id; none without a file. Raises DeskError naming the line that is wrong."""
    items: dict[str, GoldenItem] = {}
    if path is None:
        return items
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DeskError(f"cannot read the golden items of {path}: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = msgspec.json.decode(line, type=GoldenItem)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise DeskError(
                f"{path}, line {number}: is no golden item: it needs id, task, text and finding, and may "
                "have levels and severity"
            ) from None
        if not item.id or item.id in items:
            raise DeskError(f"{path}, line {number}: `id` must not be empty, nor one of a line above")
        if item.severity is not None and item.severity not in item.levels:
            raise DeskError(f"{path}, line {number}: `severity` must be one of `levels`")
        items[item.id] = item
    return items
