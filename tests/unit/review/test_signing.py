"""The desk's keys: made on loopback alone, read from files, changed without a gap, not readable by others."""

from pathlib import Path

import pytest

from engine.bundle.signature import make_keys
from review.errors import DeskError
from review.kafka.signing import OWN_KEY, OWN_PUBLIC_KEY, open_signing
from review.settings import ReviewSettings
from schemas.signature import TrustedKeys

EVERYWHERE = {
    "host": "0.0.0.0",  # noqa: S104 - that is the point
    "access": "oidc",
    "public_url": "https://desk.example.org",
    "oidc_issuer": "https://login.example.org",
    "oidc_client_id": "desk",
}
RECORD = ("mimamori.case-events", b"case:messages:0:7", b'{"action":"claimed"}')


def settings(folder: Path, **given: object) -> ReviewSettings:
    return ReviewSettings.model_validate({"folder": folder / "desk", **given})


def test_on_loopback_a_key_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    first = open_signing(settings(tmp_path))
    key = tmp_path / "desk" / OWN_KEY
    assert key.stat().st_mode & 0o777 == 0o600
    again = open_signing(settings(tmp_path))
    assert again.key_id == first.key_id
    assert again.fault(*RECORD, [first.sign(*RECORD)]) is None


def test_the_public_key_lies_beside_it_for_whoever_verifies(tmp_path: Path) -> None:
    signing = open_signing(settings(tmp_path))
    trusted = TrustedKeys.read((tmp_path / "desk" / OWN_PUBLIC_KEY).read_bytes())
    assert list(trusted.keys) == [signing.key_id]
    assert trusted.fault(*RECORD, [signing.sign(*RECORD)]) is None


def test_beyond_loopback_a_key_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(
        DeskError, match=r"0\.0\.0\.0 and has no key .* keygen .* MIMAMORI_REVIEW_SIGNING_KEY"
    ):
        open_signing(settings(tmp_path, **EVERYWHERE))
    assert not (tmp_path / "desk" / OWN_KEY).exists()


def test_a_key_of_keygen_is_used_as_it_is(tmp_path: Path) -> None:
    name = make_keys(tmp_path / "a.pem", tmp_path / "a.pub.pem", None)
    signing = open_signing(settings(tmp_path, **EVERYWHERE, signing_key=tmp_path / "a.pem"))
    assert signing.key_id == name


def test_after_a_change_of_keys_what_the_former_signed_still_counts(tmp_path: Path) -> None:
    make_keys(tmp_path / "old.pem", tmp_path / "old.pub.pem", None)
    make_keys(tmp_path / "new.pem", tmp_path / "new.pub.pem", None)
    old = open_signing(settings(tmp_path, signing_key=tmp_path / "old.pem"))
    header = old.sign(*RECORD)
    new = open_signing(settings(tmp_path, signing_key=tmp_path / "new.pem"))
    assert new.fault(*RECORD, [header]) == "unknown_key"
    both = open_signing(
        settings(tmp_path, signing_key=tmp_path / "new.pem", trusted_keys=tmp_path / "old.pub.pem")
    )
    assert both.key_id == new.key_id
    assert both.fault(*RECORD, [header]) is None
    assert both.fault(*RECORD, [new.sign(*RECORD)]) is None


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    make_keys(tmp_path / "a.pem", tmp_path / "a.pub.pem", None)
    (tmp_path / "a.pem").chmod(0o640)  # as Kubernetes mounts a secret for the pod's group
    open_signing(settings(tmp_path, signing_key=tmp_path / "a.pem"))
    (tmp_path / "a.pem").chmod(0o644)
    with pytest.raises(DeskError, match=r"others may read the signing key .*a\.pem: chmod 600"):
        open_signing(settings(tmp_path, signing_key=tmp_path / "a.pem"))


def test_what_is_no_key_is_named_and_not_quoted(tmp_path: Path) -> None:
    make_keys(tmp_path / "hidden.pem", tmp_path / "hidden.pub.pem", b"a passphrase")
    (tmp_path / "text.pem").write_text("hunter2")
    (tmp_path / "text.pem").chmod(0o600)
    for given, says in (
        ({"signing_key": tmp_path / "hidden.pem"}, "has a passphrase, which the desk cannot ask for"),
        ({"signing_key": tmp_path / "text.pem"}, "is not an Ed25519 private key in PEM"),
        ({"signing_key": tmp_path / "none.pem"}, "cannot read the key .*none.pem: No such file"),
        ({"trusted_keys": tmp_path / "text.pem"}, "MIMAMORI_REVIEW_TRUSTED_KEYS: .*no public key in PEM"),
    ):
        with pytest.raises(DeskError, match=says) as caught:
            open_signing(settings(tmp_path, **given))
        assert "hunter2" not in str(caught.value)


def test_a_desk_that_is_published_on_loopback_alone_makes_its_own(tmp_path: Path) -> None:
    """As in docker-compose.yml."""
    given = {"host": EVERYWHERE["host"], "allow_insecure": "local_access"}
    open_signing(settings(tmp_path, **given))
    assert (tmp_path / "desk" / OWN_KEY).exists()


def test_a_command_makes_no_key_that_no_desk_would_believe(tmp_path: Path) -> None:
    with pytest.raises(DeskError, match=r"no desk's signing key at .*MIMAMORI_REVIEW_FOLDER"):
        open_signing(settings(tmp_path), may_make_key=False)
    assert list(tmp_path.iterdir()) == []
    made = open_signing(settings(tmp_path))
    assert open_signing(settings(tmp_path), may_make_key=False).key_id == made.key_id
