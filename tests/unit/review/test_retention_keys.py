"""Where the table's keys come from, and who else may read what the desk keeps."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from review.errors import DeskError
from review.retention.cipher import Key
from review.retention.folder import make_private
from review.retention.keys import KEY_FILE, load_cipher
from review.settings import ReviewSettings, load_settings


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def _settings(**given: object) -> ReviewSettings:
    return ReviewSettings.model_validate(given)


def test_a_desk_on_loopback_makes_a_key_once_that_only_it_can_read(tmp_path: Path) -> None:
    sealed = load_cipher(_settings(), tmp_path, may_make_key=True).seal(b"text", b"case:1")
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert load_cipher(_settings(), tmp_path, may_make_key=True).open(sealed, b"case:1") == b"text"
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_desk_that_others_reach_needs_a_key_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(DeskError, match=r"openssl rand -base64 32.*MIMAMORI_REVIEW_TABLE_KEYS"):
        load_cipher(_settings(), tmp_path, may_make_key=False)
    assert list(tmp_path.iterdir()) == []


def test_on_a_full_disk_there_is_no_half_a_key(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))  # a file may have 8 bytes, as on a full disk
    try:
        with pytest.raises(DeskError, match=r"cannot write the table's key .*table\.key: File too large"):
            load_cipher(_settings(), tmp_path, may_make_key=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / KEY_FILE).exists()
    load_cipher(_settings(), tmp_path, may_make_key=True)


def test_keys_come_from_the_setting_or_a_file_and_the_first_seals(tmp_path: Path) -> None:
    first, second = Key.make(), Key.make()
    file = tmp_path / "keys"
    file.write_text(f"{first.text}\n{second.text}\n")
    file.chmod(0o440)
    for given in ({"table_keys": f"{first.text}, {second.text}"}, {"table_keys_file": file}):
        assert load_cipher(_settings(**given), tmp_path, may_make_key=False).keys == (first, second)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("hunter2hunter2", "MIMAMORI_REVIEW_TABLE_KEYS, key 1: a key"),
        (f"{Key(bytes(32)).text},c2hvcnQ=", "key 2: a key has 5 bytes"),
        (" , ", "MIMAMORI_REVIEW_TABLE_KEYS holds no key"),
    ],
)
def test_a_wrong_key_is_named_by_its_number_and_never_quoted(keys: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DeskError, match=says) as caught:
        load_cipher(_settings(table_keys=keys), tmp_path, may_make_key=True)
    assert "hunter2" not in str(caught.value) + repr(_settings(table_keys=keys))


def test_a_file_of_keys_that_is_missing_foreign_or_open_to_all_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    settings = _settings(table_keys_file=file)
    with pytest.raises(DeskError, match=r"cannot read the keys in .*keys: No such file"):
        load_cipher(settings, tmp_path, may_make_key=True)
    file.write_bytes(b"\xff\xfe")
    file.chmod(0o600)
    with pytest.raises(DeskError, match="holds no keys"):
        load_cipher(settings, tmp_path, may_make_key=True)
    file.chmod(0o604)
    with pytest.raises(DeskError, match=r"everybody on this machine may read the keys in .*: chmod 600"):
        load_cipher(settings, tmp_path, may_make_key=True)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"TABLE_KEYS": "a", "TABLE_KEYS_FILE": "b"}, "not both"),
        ({"RETENTION_AFTER_DECISION_HOURS": "2160"}, "must be shorter than keep_markers_days"),
        ({"RETENTION_AFTER_DECISION_HOURS": "-1"}, "MIMAMORI_REVIEW_RETENTION_AFTER_DECISION_HOURS"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(
    given: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"MIMAMORI_REVIEW_{name}", value)
    with pytest.raises(DeskError, match=says):
        load_settings()


def test_the_folder_and_all_it_holds_are_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "old" / "desk"
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "cases.sst").write_bytes(b"x")
    (folder / "elsewhere").symlink_to(tmp_path)
    make_private(folder)
    (folder / "made later").write_bytes(b"x")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "tables").stat().st_mode & 0o777 == 0o700
    assert (folder / "tables" / "cases.sst").stat().st_mode & 0o777 == 0o600
    assert (folder / "made later").stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o700  # pytest's own


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DeskError, match=r"cannot keep the table in .*: Not a directory"):
        make_private(tmp_path / "file" / "desk")
