"""An identity provider that says that a session has ended, and what is not believed of it, over real HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk

from review.access.logout import EVENT, Ended
from review.access.sessions import FILE, SignedIn
from review.settings import load_settings
from tests.fakes.desk_client import PAGE, DeskClient
from tests.fakes.lying_provider import LyingProvider, lying_provider, nonce_of
from tests.fakes.small_desk import small_desk
from tests.unit.review.test_sessions import AOI, Clock, sessions

PATH = "/oidc/back-channel-logout"
# Of a logout token, beside what every token has.
LOGOUT: dict[str, Any] = {
    "events": {EVENT: {}},
    "jti": "1",
    "sid": "s-1",
    "nonce": None,
    "name": None,
    "roles": None,
}


@pytest.fixture
def provider() -> Iterator[LyingProvider]:
    with lying_provider() as running:
        yield running


@pytest.fixture
def address(provider: LyingProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in {
        "ACCESS": "oidc",
        "PUBLIC_URL": "http://127.0.0.1:6066",
        "OIDC_ISSUER": provider.issuer,
        "OIDC_CLIENT_ID": "desk",
        "ID_CLAIM": "email",
    }.items():
        monkeypatch.setenv(f"MIMAMORI_REVIEW_{name}", value)
    with small_desk(load_settings(), tmp_path) as running:
        yield running


def signed_in(address: str, provider: LyingProvider, **claims: Any) -> DeskClient:
    browser = DeskClient(address)
    state, provider.nonce = nonce_of(browser.ask("GET", "/sign-in", headers=PAGE)[1]["location"])
    provider.claims = {"email": "aoi@example.org", **claims}
    assert browser.ask("GET", f"/oidc/callback?code=c&state={state}", headers=PAGE)[0] == 303
    return browser


def say(address: str, provider: LyingProvider, **claims: Any) -> tuple[int, str]:
    """The provider's server sends a logout token. It has no cookie, and no token of a page."""
    return say_token(address, provider.signed(**LOGOUT | claims))


def say_token(address: str, token: str) -> tuple[int, str]:
    status, headers, body = DeskClient(address).post_form(PATH, {"logout_token": token})
    assert headers["cache-control"] == "no-store"
    return status, body


def alive(*browsers: DeskClient) -> list[bool]:
    return [browser.ask("GET", "/")[0] == 200 for browser in browsers]


def test_the_session_that_is_named_ends_and_no_other(address: str, provider: LyingProvider) -> None:
    one, two = (signed_in(address, provider, sid=sid) for sid in ("s-1", "s-2"))
    other = signed_in(address, provider, sub="u-2", sid="s-3")
    assert say(address, provider) == (200, "")
    assert alive(one, two, other) == [False, True, True]
    assert say(address, provider, jti="2", sub=None, sid="s-3") == (200, "")
    assert alive(two, other) == [True, False]


def test_without_a_session_all_of_the_subject_end(address: str, provider: LyingProvider) -> None:
    one, two, unnamed = (signed_in(address, provider, sid=sid) for sid in ("s-1", "s-2", None))
    other = signed_in(address, provider, sub="u-2", sid="s-3")
    assert say(address, provider, sid=None) == (200, "")
    assert alive(one, two, unnamed, other) == [False, False, False, True]


def test_a_session_that_was_never_named_ends_with_any_of_its_subject(
    address: str, provider: LyingProvider
) -> None:
    unnamed, named = signed_in(address, provider), signed_in(address, provider, sid="s-2")
    assert say(address, provider, sid="s-9") == (200, "")
    assert alive(unnamed, named) == [False, True]


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://other.example"}, "claim_iss"),
        ({"aud": "other"}, "claim_aud"),
        ({"iat": None}, "claim_iat"),
        ({"exp": None}, "claim_exp"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"jti": None}, "claim_jti"),
        ({"events": None}, "claim_events"),
        ({"events": {"https://other.example/event": {}}}, "claim_events"),
        ({"events": [EVENT]}, "claim_events"),
        ({"nonce": "n"}, "claim_nonce"),
        ({"sub": None, "sid": None}, "neither_sub_nor_sid"),
        ({"sid": 7}, "claim_sid"),
    ],
)
def test_a_wrong_claim_ends_nothing(
    address: str, provider: LyingProvider, capsys: pytest.CaptureFixture[str], claims: Any, reason: str
) -> None:
    browser = signed_in(address, provider, sid="s-1")
    status, body = say(address, provider, **claims)
    assert status == 400
    assert body == f'{{"error":"invalid_request","error_description":"{reason}"}}'
    assert f"reason={reason}" in capsys.readouterr().out
    assert alive(browser) == [True]


def test_a_wrong_signature_ends_nothing(address: str, provider: LyingProvider) -> None:
    browser = signed_in(address, provider, sid="s-1")
    stranger = jwk.generate_key("EC", "P-256", {"kid": "one"})
    for token in (
        provider.signed("none", **LOGOUT),
        provider.signed(key=stranger, **LOGOUT),
        provider.signed(sid="s-1"),  # an ID token
        "not-a-token",
        "",
    ):
        assert say_token(address, token)[0] == 400
    assert alive(browser) == [True]


def test_a_token_counts_once(address: str, provider: LyingProvider) -> None:
    token = provider.signed(**LOGOUT | {"sid": None})
    assert say_token(address, token)[0] == 200
    browser = signed_in(address, provider)
    status, body = say_token(address, token)
    assert (status, "replayed" in body) == (400, True)
    assert alive(browser) == [True]


def test_while_the_keys_cannot_be_had_the_provider_is_told_to_try_again(
    address: str, provider: LyingProvider
) -> None:
    published, provider.published = provider.published, []
    assert say(address, provider)[0] == 503
    provider.published = published
    assert say(address, provider)[0] == 200


def test_who_tries_tokens_is_limited_and_the_provider_is_not(
    request: pytest.FixtureRequest, provider: LyingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a shift ends, its sessions end together: none of them may stay open for that."""
    monkeypatch.setenv("MIMAMORI_REVIEW_SIGN_INS_PER_MINUTE", "1")
    address = request.getfixturevalue("address")
    assert [say(address, provider, jti=str(number))[0] for number in range(3)] == [200] * 3
    assert say_token(address, "not-a-token")[0] == 400
    assert say_token(address, "not-a-token")[0] == 429


def test_a_file_of_an_earlier_release_keeps_its_sessions(tmp_path: Path) -> None:
    kept = sessions(tmp_path, Clock())
    token = kept.open(SignedIn(AOI, "a.b.c"))
    for column in ("sub", "sid"):
        kept._database.execute(f"ALTER TABLE sessions DROP COLUMN {column}")
    kept.shut()
    assert (tmp_path / FILE).exists()
    kept = sessions(tmp_path, Clock())
    assert kept.find(token) is not None
    assert kept.close_ended(Ended("aoi", None)) == 0
    ends = kept.open(SignedIn(AOI, "a.b.c", Ended("aoi", None)))
    assert kept.close_ended(Ended("aoi", None)) == 1
    assert kept.find(ends) is None
    kept.shut()
