"""Pictures that commands draw with matplotlib: asked for before the work, and written after it."""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from engine.errors import MissingExtraError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

_FORMATS: Final = (".svg", ".png", ".pdf")


def require_plot(path: Path) -> None:
    """Raise SettingsError or MissingExtraError where nothing could be drawn to `path`."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError("--plot", "matplotlib", "plot")
    if path.suffix.lower() not in _FORMATS or not path.parent.is_dir():
        raise SettingsError(f"--plot {path}: give a {' or '.join(_FORMATS)} file in a folder that is there")


def save(figure: Any, path: Path) -> None:
    """Write a picture whole or not at all. Raises SettingsError: it cannot be written."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix.lower().removeprefix("."))
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(drawn.getvalue())
        draft.replace(path)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}; all else was done") from None
    finally:
        draft.unlink(missing_ok=True)
