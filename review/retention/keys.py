"""Finds the keys that seal the desk's table: in a setting, in a file, or made in the desk's folder."""

import os
from pathlib import Path
from typing import Final

import structlog

from review.errors import DeskError
from review.retention.cipher import Cipher, Key
from review.settings_retention import RetentionSettings

log = structlog.get_logger()

KEY_FILE: Final = "table.key"
_LARGEST: Final = 64 << 10  # bytes of a file of keys
_MAKE: Final = "make one with `openssl rand -base64 32`"


def load_cipher(settings: RetentionSettings, folder: Path, *, may_make_key: bool) -> Cipher:
    """Read the keys that the settings name. Without any, use the key in `folder`, or make one there.

    A key is made only with `may_make_key`, which is for a desk that only this machine reaches: its key lies
    beside what it seals, and is lost with it.

    Raises DeskError: no key is given where one must be, or one cannot be read. Says which; never what it is.
    """
    if settings.table_keys is not None:
        keys = settings.table_keys.get_secret_value().replace(",", " ").split()
        return _cipher(keys, "MIMAMORI_REVIEW_TABLE_KEYS")
    if settings.table_keys_file is not None:
        return _cipher(_read(settings.table_keys_file).split(), str(settings.table_keys_file))
    own = folder / KEY_FILE
    if not may_make_key:
        raise DeskError(
            "the desk can be reached from other machines, so its table needs a key of yours: "
            f"{_MAKE}, and set MIMAMORI_REVIEW_TABLE_KEYS or MIMAMORI_REVIEW_TABLE_KEYS_FILE"
        )
    if not own.exists():
        _make(own)
    return _cipher(_read(own).split(), str(own))


def _cipher(texts: list[str], where: str) -> Cipher:
    keys: list[Key] = []
    for number, text in enumerate(texts, start=1):
        try:
            keys.append(Key.read(text))
        except ValueError as error:
            raise DeskError(f"{where}, key {number}: {error}; {_MAKE}") from None
    if not keys:
        raise DeskError(f"{where} holds no key: {_MAKE}")
    return Cipher(keys)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o007:
                raise DeskError(f"everybody on this machine may read the keys in {path}: chmod 600")
            return file.read(_LARGEST).decode("ascii")
    except OSError as error:
        raise DeskError(f"cannot read the keys in {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DeskError(f"{path} holds no keys: {_MAKE}") from None


def _make(path: Path) -> None:
    """Write a new key so that it is there whole or not at all, even if the power fails now."""
    partial = path.with_suffix(".partial")
    key = Key.make()
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key.text + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise DeskError(f"cannot write the table's key {path}: {error.strerror}") from None
    log.info(
        "table_key_made", key=key.name, file=str(path), hint="without it, the table cannot be read again"
    )
