"""Signing and pinning as a user does it: keys, a signature, and commands that ask for both."""

from pathlib import Path

import pytest

from tests.fakes.tiny_bundle import write_tiny_bundle
from tests.integration.test_cli_errors import assert_refused, mimamori


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signed")
    (folder / "examples.jsonl").write_text('{"text": "a good day", "at_risk": false}\n')
    (folder / "passphrase").write_text("correct horse\n")
    return folder


def test_only_a_signed_bundle_runs(folder: Path) -> None:
    bundle = write_tiny_bundle(folder / "bundle")
    path, key, public = str(bundle.path), str(folder / "key.pem"), str(folder / "key.pub.pem")
    guarded = ("--key", key, "--passphrase-file", str(folder / "passphrase"))
    examples = ("--examples", str(folder / "examples.jsonl"))
    made = mimamori("bundle", "keygen", *guarded)
    assert made.returncode == 0, made.stderr
    for command in (["run", "--bundle", path], ["evaluate", path, *examples]):
        assert_refused(mimamori(*command, BUNDLE_PUBLIC_KEY=public), "is not signed", "bundle sign")
    signed = mimamori("bundle", "sign", path, *guarded)
    assert bundle.fingerprint in signed.stdout, signed.stderr
    verified = mimamori("bundle", "verify", path, "--public-key", public)
    assert "signed by" in verified.stdout, verified.stderr
    assert "not checked" not in verified.stdout
    pinned = mimamori("bundle", "verify", path, "--fingerprint", bundle.fingerprint[:32])
    assert pinned.returncode == 0, pinned.stderr
    other = mimamori("bundle", "verify", path, "--fingerprint", "0" * 64)
    assert_refused(other, bundle.fingerprint, "alone is allowed")
    short = mimamori("bundle", "verify", path, "--fingerprint", bundle.fingerprint[:31])
    assert_refused(short, "32 to 64 hex digits")
    said = mimamori("doctor", BUNDLE=path, BUNDLE_PUBLIC_KEY=public, DEVICE="cpu", BOOTSTRAP="127.0.0.1:1")
    assert f"signed by a key of {public}" in said.stdout


def test_only_a_pinned_bundle_runs(folder: Path) -> None:
    bundle = write_tiny_bundle(folder / "bundle")
    refused = mimamori("run", BUNDLE=str(bundle.path), BUNDLE_FINGERPRINT="0" * 64)
    assert_refused(refused, bundle.fingerprint, "0" * 64, "MIMAMORI_BUNDLE_FINGERPRINT")
    evaluate = ("evaluate", str(bundle.path), "--examples", str(folder / "examples.jsonl"), "--device", "cpu")
    pinned = mimamori(*evaluate, BUNDLE_FINGERPRINT=bundle.fingerprint[:32])
    assert pinned.returncode == 0, pinned.stderr
    short = mimamori("run", BUNDLE_FINGERPRINT=bundle.fingerprint[:31])
    assert_refused(short, "MIMAMORI_BUNDLE_FINGERPRINT", "32 to 64 hex digits")
