"""`mimamori bundle keygen|sign`: makes keys and signs bundles (docs/how-to/sign-a-bundle.md, decision 10)."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from engine.bundle import Bundle
from engine.bundle.signature import SIGNATURE, encrypted, make_keys, sign
from engine.errors import SettingsError

Folder = Annotated[Path, typer.Argument(help="The bundle's folder.", show_default=False)]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="A file whose first line is the key's passphrase [default: a prompt asks for it]"),
]


def keygen_command(
    key: Annotated[Path, typer.Option(help="The private key's file; it must not exist yet.")],
    public_key: Annotated[
        Path | None, typer.Option(help="The public key's file [default: KEY with .pub.pem for its suffix]")
    ] = None,
    passphrase_file: PassphraseFile = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Protect the private key by its file's permissions alone.")
    ] = False,
) -> None:
    """Make an ed25519 key pair for signing bundles, as PEM files that openssl can read."""
    public = public_key or key.with_suffix(".pub.pem")
    passphrase = None if no_passphrase else _passphrase(passphrase_file, confirm=True)
    name = make_keys(key, public, passphrase)
    Console().print(f"key {name}: {key} signs, keep it away from workers; {public} verifies", soft_wrap=True)


def sign_command(
    bundle: Folder,
    key: Annotated[Path, typer.Option(help="The private key's file: ed25519, PEM.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Check every file of a bundle and sign it. The signature is written beside bundle.json."""
    loaded = Bundle.load(bundle)
    passphrase = _passphrase(passphrase_file, confirm=False) if encrypted(key) else None
    name = sign(bundle, loaded.fingerprint, key, passphrase)
    Console().print(f"{bundle / SIGNATURE}: {loaded.fingerprint} signed by {name}", soft_wrap=True)


def _passphrase(file: Path | None, *, confirm: bool) -> bytes:
    if file is not None:
        try:
            given = file.read_text().split("\n")[0]
        except (OSError, UnicodeDecodeError):
            raise SettingsError(f"cannot read a passphrase from {file}") from None
    elif sys.stdin.isatty():
        given = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm)
    else:
        raise SettingsError("the private key needs a passphrase: give --passphrase-file FILE")
    if not given:
        raise SettingsError("the passphrase is empty: give one, or make a key with --no-passphrase")
    return str(given).encode()
