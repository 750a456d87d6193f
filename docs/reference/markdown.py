"""Makes Markdown from values: tables, code and paragraphs."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. Cells are Markdown; pipes and line ends, which would break it, are replaced."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def code(text: object) -> str:
    """Return a value as inline code, or a dash if it is empty."""
    return f"`{text}`" if str(text) else "-"


def paragraphs(docstring: str | None) -> str:
    """Return a docstring as paragraphs, without its indentation in the source."""
    lines = (docstring or "").strip().splitlines()
    return "\n".join([line.strip() for line in lines])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
