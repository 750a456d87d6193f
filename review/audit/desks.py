"""Whose signatures an auditor believes: those of the desks whose public keys the settings name."""

from review.errors import DeskError
from review.kafka.signing import OWN_PUBLIC_KEY
from review.settings import ReviewSettings
from schemas.signature import TrustedKeys


def keys_of_desks(settings: ReviewSettings) -> TrustedKeys:
    """The public keys in MIMAMORI_REVIEW_TRUSTED_KEYS, and the one that a desk has made in its folder here.

    No private key is needed to read the log. Without any key, no record counts as signed.

    Raises DeskError: a file cannot be read, or holds no such keys.
    """
    keys = TrustedKeys({})
    for path in (settings.folder / OWN_PUBLIC_KEY, settings.trusted_keys):
        if path is None or (path != settings.trusted_keys and not path.exists()):
            continue
        try:
            keys = TrustedKeys(keys.keys | TrustedKeys.read(path.read_bytes()).keys)
        except OSError as error:
            raise DeskError(f"cannot read the public keys {path}: {error.strerror}") from None
        except ValueError as error:
            raise DeskError(f"{path} is not a PEM file of Ed25519 public keys ({error})") from None
    return keys
