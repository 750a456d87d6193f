"""A signature holds for one topic, key and value, by a key that is trusted, and for nothing else."""

from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from schemas.signature import HEADER, TrustedKeys, key_name, sign, signed_bytes

DESK = Ed25519PrivateKey.generate()
OTHER = Ed25519PrivateKey.generate()
TRUSTED = TrustedKeys.of([DESK.public_key()])
RECORD = ("mimamori.review-decisions", b"case:messages:0:7", b'{"finding":"at_risk"}')

Headers = Sequence[tuple[str, str | bytes | None]]
records = st.tuples(st.text(max_size=6).filter(str.isascii), st.binary(max_size=6), st.binary(max_size=6))


def pem_of(*keys: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    return b"".join(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in keys
    )


def test_what_the_desk_signed_is_without_fault() -> None:
    name, value = sign(DESK, *RECORD)
    assert name == HEADER
    assert value.startswith(key_name(DESK.public_key()).encode() + b":")
    assert TRUSTED.fault(*RECORD, [("ce_id", b"x"), (name, value), ("é", None)]) is None
    assert TRUSTED.fault(*RECORD, ((name, value.decode()),)) is None


@given(one=records, other=records)
def test_no_two_records_have_the_same_bytes(
    one: tuple[str, bytes, bytes], other: tuple[str, bytes, bytes]
) -> None:
    assert (signed_bytes(*one) == signed_bytes(*other)) == (one == other)
    assert (TRUSTED.fault(*other, [sign(DESK, *one)]) is None) == (one == other)


def test_a_signature_of_a_bundle_is_none_of_a_record() -> None:
    assert not signed_bytes("", b"", b"").startswith(b"mimamori bundle")


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        (None, "unsigned"),
        ([], "unsigned"),
        ([(HEADER, None)], "unsigned"),
        ([(HEADER, b"")], "unsigned"),
        ([(HEADER, b"\xff" * 500_000)], "unsigned"),
        ([(HEADER, "\ud800")], "unsigned"),
        ([(HEADER.upper(), sign(DESK, *RECORD)[1])], "unsigned"),
        ([sign(DESK, *RECORD), sign(DESK, *RECORD)], "unsigned"),
        ([(HEADER, sign(DESK, *RECORD)[1] + b"\n")], "unsigned"),
        ([sign(OTHER, *RECORD)], "unknown_key"),
        ([sign(DESK, RECORD[0], RECORD[1], b"{}")], "wrong"),
        ([sign(DESK, "mimamori.case-events", *RECORD[1:])], "wrong"),
        (
            [(HEADER, key_name(DESK.public_key()).encode() + sign(OTHER, *RECORD)[1][16:])],
            "wrong",
        ),
    ],
)
def test_a_fault_has_a_name(headers: Headers | None, fault: str) -> None:
    assert TRUSTED.fault(*RECORD, headers) == fault


def test_a_record_without_key_or_value_is_unsigned() -> None:
    topic, key, value = RECORD
    assert TRUSTED.fault(topic, None, value, [sign(DESK, topic, b"", value)]) == "unsigned"
    assert TRUSTED.fault(topic, key, None, [sign(DESK, topic, key, b"")]) == "unsigned"


@given(
    headers=st.lists(
        st.tuples(st.sampled_from([HEADER, "ce_id", ""]), st.none() | st.binary() | st.text()), max_size=4
    )
)
def test_no_header_that_a_producer_can_send_raises(headers: Headers) -> None:
    assert TRUSTED.fault(*RECORD, headers) is not None


def test_several_keys_are_read_from_one_file() -> None:
    both = TrustedKeys.read(b"# last year's\n" + pem_of(OTHER) + b"\n# this year's\n" + pem_of(DESK))
    assert both.fault(*RECORD, [sign(DESK, *RECORD)]) is None
    assert both.fault(*RECORD, [sign(OTHER, *RECORD)]) is None


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"\xff\x00",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        pem_of(X25519PrivateKey.generate()),
    ],
)
def test_a_file_without_an_ed25519_key_is_refused(pem: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        TrustedKeys.read(pem)
