"""Only what bundle.json lists is opened, as it was hashed; and only a bundle that is allowed may run."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from engine.bundle import MANIFEST, TOKENIZER, WEIGHTS, Bundle, read_manifest, write_manifest
from engine.bundle.signature import SIGNATURE, Trust, make_keys, sign, verify
from engine.errors import BundleError, SettingsError
from engine.load import load_engine
from tests.fakes.hostile_files import manifest_with, model_reading
from tests.fakes.tiny_bundle import write_tiny_bundle
from tests.fakes.worker_app import settings
from worker.startup import start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "bundle").path


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    make_keys(tmp_path / "key.pem", tmp_path / "pub.pem", None)
    return tmp_path / "key.pem", tmp_path / "pub.pem"


def fingerprint(path: Path) -> str:
    return read_manifest(path)[1]


# What is opened is what is listed


def test_weights_that_the_manifest_does_not_list_are_refused(path: Path) -> None:
    files = {name: digest for name, digest in read_manifest(path)[0].files.items() if name != WEIGHTS}
    manifest_with(path, files=files)
    with pytest.raises(BundleError, match=WEIGHTS):
        Bundle.load(path)
    # Nor where nothing that is not listed lies in the folder.
    (path / WEIGHTS).rename(path.parent / "weights")
    manifest_with(path, files=files)
    (path / WEIGHTS).unlink()
    with pytest.raises(BundleError, match=rf"reads the file '{WEIGHTS}', which bundle\.json does not list"):
        Bundle.load(path)


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../other/model.onnx.data", "..", "", "sub/model.onnx.data"]
)
def test_a_graph_that_reads_another_file_is_refused(location: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not list"):
        Bundle.load(model_reading(tmp_path / "bundle", location))


def test_weights_shorter_than_the_graph_needs_are_refused(path: Path) -> None:
    os.truncate(path / WEIGHTS, 4096)
    write_manifest(path, read_manifest(path)[0])
    with pytest.raises(BundleError, match="shorter than the graph needs"):
        Bundle.load(path)


@pytest.mark.parametrize("name", ["../weights", "/etc/passwd", "a/b", ".hidden", "", MANIFEST, SIGNATURE])
def test_a_manifest_that_lists_no_file_of_its_folder_is_refused(name: str, tmp_path: Path) -> None:
    path = manifest_with(tmp_path / "bundle", files={name: "0" * 64})
    with pytest.raises(BundleError, match="no file of a bundle"):
        Bundle.load(path)


def test_links_are_refused_even_to_the_same_bytes(path: Path) -> None:
    (path / TOKENIZER).rename(path.parent / "elsewhere.json")
    (path / TOKENIZER).symlink_to(path.parent / "elsewhere.json")
    with pytest.raises(BundleError, match=r"tokenizer\.json is not a plain file"):
        Bundle.load(path)


def test_a_folder_that_is_a_link_is_a_bundle(path: Path) -> None:
    (path.parent / "current").symlink_to(path)
    assert Bundle.load(path.parent / "current").fingerprint == fingerprint(path)


def test_a_file_that_is_not_listed_is_refused(path: Path) -> None:
    (path / "heads.npz").write_bytes(b"whatever")
    with pytest.raises(BundleError, match=r"holds heads\.npz, which its bundle\.json does not list"):
        Bundle.load(path)


def test_what_file_systems_leave_in_a_folder_is_not_minded(path: Path) -> None:
    (path / "lost+found").mkdir()
    (path / ".snapshot").mkdir()
    (path / ".nfs0001").write_bytes(b"")
    Bundle.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_bytes(file.read_bytes()),  # in place, to the same bytes
        lambda file: (file.rename(file.with_name(".old")), file.with_name(".old").rename(file)),
        lambda file: Path(shutil.copy(file, file.with_name(".new"))).replace(file),
        lambda file: file.unlink(),
    ],
)
def test_a_file_that_changes_before_the_worker_is_ready_is_noticed(
    change: Callable[[Path], object], path: Path
) -> None:
    bundle = Bundle.load(path)
    load_engine(bundle, device="cpu")
    change(path / WEIGHTS)
    with pytest.raises(BundleError, match=WEIGHTS):
        bundle.require_same()


def test_the_engine_asks_when_everything_is_open(path: Path) -> None:
    bundle = Bundle.load(path)
    (path / WEIGHTS).write_bytes((path / WEIGHTS).read_bytes())
    with pytest.raises(BundleError, match="was changed while it was opened"):
        load_engine(bundle, device="cpu")


# What may run


@pytest.mark.parametrize("digits", [32, 40, 64])
def test_a_pinned_bundle_runs_and_no_other(digits: int, path: Path) -> None:
    pinned = fingerprint(path)[:digits]
    Bundle.load(path, trust=settings(bundle_fingerprint=pinned).trust)
    other = "0" * digits
    with pytest.raises(BundleError) as refusal:
        Bundle.load(path, trust=settings(bundle_fingerprint=other).trust)
    for said in (fingerprint(path), other, "MIMAMORI_BUNDLE_FINGERPRINT"):
        assert said in str(refusal.value)


@pytest.mark.parametrize("pin", ["a" * 31, "a" * 65, "g" * 32, " ", "a" * 32 + "\n"])
def test_a_pin_that_pins_little_or_nothing_is_no_setting(pin: str) -> None:
    with pytest.raises(ValueError, match="bundle_fingerprint"):
        settings(bundle_fingerprint=pin)


def test_the_worker_asks_before_it_reads_anything_of_the_bundle(path: Path) -> None:
    (path / MANIFEST).write_text("no bundle at all")
    with pytest.raises(BundleError, match="MIMAMORI_BUNDLE_FINGERPRINT"):
        start(settings(bundle=path, bundle_fingerprint="0" * 32))


def test_a_signed_bundle_is_verified(path: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    before = fingerprint(path)
    with pytest.raises(BundleError, match="is not signed"):
        Bundle.load(path, trust=Trust(public_key=public))
    name = sign(path, before, private)
    assert Bundle.load(path, trust=Trust(public_key=public)).fingerprint == before
    assert verify(path, before, public) == name


def test_a_bundle_signed_by_another_is_refused(path: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, _ = keys
    signer = sign(path, fingerprint(path), private)
    trusted = make_keys(tmp_path / "other.pem", tmp_path / "other.pub.pem", None)
    with pytest.raises(BundleError) as refusal:
        Bundle.load(path, trust=Trust(public_key=tmp_path / "other.pub.pem"))
    assert signer in str(refusal.value)
    assert trusted in str(refusal.value)
    # One of several is enough, so that keys can be changed.
    both = tmp_path / "both.pem"
    both.write_bytes((tmp_path / "other.pub.pem").read_bytes() + keys[1].read_bytes())
    Bundle.load(path, trust=Trust(public_key=both))


def test_a_signature_is_of_one_bundle(path: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = keys
    sign(path, fingerprint(path), private)
    other = write_tiny_bundle(tmp_path / "other", seed=1).path
    (other / SIGNATURE).write_bytes((path / SIGNATURE).read_bytes())
    with pytest.raises(BundleError, match="altered after it was signed, or the signature belongs to another"):
        Bundle.load(other, trust=Trust(public_key=public))


def test_a_bundle_written_anew_is_unsigned(path: Path, keys: tuple[Path, Path]) -> None:
    before = fingerprint(path)
    sign(path, before, keys[0])
    assert write_manifest(path, read_manifest(path)[0]) == before  # the signature is no part of it
    assert not (path / SIGNATURE).exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[" * 100_000, b'{"algorithm":"none","key":"0000000000000000","value":""}', b"\xff"],
)
def test_a_signature_that_is_none_is_refused(content: bytes, path: Path, keys: tuple[Path, Path]) -> None:
    (path / SIGNATURE).write_bytes(content)
    with pytest.raises(BundleError, match="sign the bundle again"):
        Bundle.load(path, trust=Trust(public_key=keys[1]))


@pytest.mark.parametrize(
    "content", [b"", b"no key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_a_public_key_that_is_none_trusts_nobody(
    content: bytes, path: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    sign(path, fingerprint(path), keys[0])
    (tmp_path / "none.pem").write_bytes(content)
    with pytest.raises(SettingsError, match=r"public key|not ed25519"):
        Bundle.load(path, trust=Trust(public_key=tmp_path / "none.pem"))
    with pytest.raises(SettingsError, match="not the private one"):
        Bundle.load(path, trust=Trust(public_key=keys[0]))


# Keys


def test_a_private_key_is_for_its_owner_alone(path: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    assert private.stat().st_mode & 0o777 == 0o600
    private.chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        sign(path, fingerprint(path), private)
    with pytest.raises(BundleError, match="choose another file"):
        make_keys(private, public, None)


def test_a_passphrase_guards_a_key_wherever_it_lies(path: Path, tmp_path: Path) -> None:
    private, public = tmp_path / "guarded.pem", tmp_path / "guarded.pub.pem"
    make_keys(private, public, b"correct horse")
    private.chmod(0o644)
    for wrong in (None, b"", b"battery staple"):
        with pytest.raises(SettingsError, match="passphrase"):
            sign(path, fingerprint(path), private, wrong)
    assert not (path / SIGNATURE).exists()
    sign(path, fingerprint(path), private, b"correct horse")
    verify(path, fingerprint(path), public)


def test_openssl_makes_and_reads_the_same_keys(path: Path, tmp_path: Path) -> None:
    private, public = tmp_path / "openssl.pem", tmp_path / "openssl.pub.pem"
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    for command in (
        ("genpkey", "-algorithm", "ed25519", "-out", private),
        ("pkey", "-in", private, "-pubout", "-out", public),
    ):
        subprocess.run([openssl, *command], check=True, capture_output=True)
    private.chmod(0o600)
    sign(path, fingerprint(path), private)
    assert isinstance(load_pem_public_key(public.read_bytes()), Ed25519PublicKey)
    Bundle.load(path, trust=Trust(public_key=public))
