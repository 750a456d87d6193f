"""Writes the page and its JSON twin, both whole or neither."""

import os
import tempfile
from pathlib import Path

import msgspec

from engine.errors import SettingsError
from export.building.staging import umask
from export.evaluating.page.render import render
from export.evaluating.report import Report


def require_room(path: Path) -> None:
    """Raise SettingsError where `write_report` could not write: ask before anything is measured."""
    if path.suffix.lower() not in {".html", ".htm"}:
        raise SettingsError(f"--report {path}: give a name that ends in .html; the JSON is written beside it")
    for out in (path, twin(path)):
        if out.exists():
            raise SettingsError(f"{out} exists already: remove it, or give another --report")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise SettingsError(f"cannot write into {path.parent}: {error.strerror}") from None


def write_report(report: Report, path: Path) -> None:
    """Write the page to `path` and its JSON beside it.

    Raises SettingsError: one of them exists already or cannot be written; neither is there then.
    """
    require_room(path)
    pages = {twin(path): as_json(report), path: render(report).encode()}
    staged: dict[Path, Path] = {}
    done: list[Path] = []
    try:
        for out, content in pages.items():
            descriptor, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
            staged[out] = Path(name)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for out, draft in staged.items():
            draft.chmod(0o666 & ~umask())  # mkstemp lets only its owner in
            draft.rename(out)
            done.append(out)
    except OSError as error:
        for out in done:
            out.unlink(missing_ok=True)
        raise SettingsError(f"cannot write {path}: {error.strerror}; nothing was written") from None
    finally:
        for draft in staged.values():
            draft.unlink(missing_ok=True)


def twin(path: Path) -> Path:
    """Where the JSON of a page stands."""
    return path.with_suffix(".json")


def as_json(report: Report) -> bytes:
    """The report's JSON, as `--json` prints it."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
