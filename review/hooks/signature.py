"""Signs a webhook as Standard Webhooks does, so that receivers can use any of its libraries.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: HMAC-SHA256 over
`id.timestamp.body`, in Base64, behind `v1,`. The timestamp lets a receiver refuse what is sent again later.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

from review.errors import DeskError

PREFIX: Final = "whsec_"
_FEWEST: Final = 24  # bytes, by the standard


def secret_bytes(secret: str) -> bytes:
    """The bytes of a secret, which is `whsec_` and 24 to 64 bytes in Base64. Raises DeskError."""
    try:
        found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) < _FEWEST:
        raise DeskError(
            "webhook_secret must be whsec_ and at least 24 random bytes in Base64, such as the output of: "
            "echo whsec_$(head -c 32 /dev/urandom | base64)"
        )
    return found


def signed_headers(secret: bytes, notice_id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers that go with `body`. `at` is in Unix seconds."""
    digest = hmac.new(secret, f"{notice_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": str(at),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        "content-type": "application/json",
    }
