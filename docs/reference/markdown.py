"""Markdown from values: tables and what must be escaped in them."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. Cells are Markdown; a pipe or a line end in one would break it, so both are replaced."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def code(text: object) -> str:
    """As code, or a dash where there is nothing to show."""
    return f"`{text}`" if str(text) else "-"


def paragraphs(docstring: str | None) -> str:
    """A docstring as paragraphs, without the indent it has in the source."""
    lines = (docstring or "").strip().splitlines()
    return "\n".join([line.strip() for line in lines])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
