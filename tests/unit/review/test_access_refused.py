"""What an identity provider or a proxy may claim without being believed: each lie alone, over real HTTP."""

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk

from review.settings import load_settings
from tests.fakes.desk_client import PAGE, DeskClient
from tests.fakes.lying_provider import LyingProvider, lying_provider, nonce_of, unsigned
from tests.fakes.small_desk import small_desk

OTHER_KEY = jwk.generate_key("EC", "P-256", {"kid": "one"})


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
    }.items():
        monkeypatch.setenv(f"MIMAMORI_REVIEW_{name}", value)
    with small_desk(load_settings(), tmp_path) as running:
        yield running


def come_back(address: str, provider: LyingProvider) -> tuple[int, str]:
    """Sign in, with whatever the provider says today."""
    browser = DeskClient(address)
    status, headers, body = browser.ask("GET", "/sign-in", headers=PAGE)
    if status != 303:
        return status, body
    state, nonce = nonce_of(headers["location"])
    provider.nonce = provider.nonce or nonce
    status, _, body = browser.ask("GET", f"/oidc/callback?code=c&state={state}", headers=PAGE)
    provider.nonce = ""
    signed_in = browser.ask("GET", "/")[0] == 200
    assert signed_in == (status == 303), body
    return status, body


def test_the_truth_is_believed(address: str, provider: LyingProvider) -> None:
    assert come_back(address, provider)[0] == 303
    provider.claims = {"aud": ["desk"]}
    assert come_back(address, provider)[0] == 303
    provider.claims = {"aud": ["desk", "other"], "azp": "desk"}
    assert come_back(address, provider)[0] == 303


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://other.example"}, "claim_iss"),
        ({"iss": None}, "claim_iss"),
        ({"aud": "other"}, "claim_aud"),
        ({"aud": ["other", "another"]}, "claim_aud"),
        ({"aud": None}, "claim_aud"),
        ({"aud": {"desk": 1}}, "claim_aud"),
        ({"aud": ["desk", "other"]}, "azp"),
        ({"azp": "other"}, "azp"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"exp": None}, "claim_exp"),
        ({"exp": "never"}, "claim_exp"),
        ({"exp": True}, "claim_exp"),
        ({"iat": None}, "claim_iat"),
        ({"nbf": 32_503_680_000}, "claim_nbf"),
        ({"sub": None}, "claim_sub"),
        ({"sub": ""}, "claim_sub"),
        ({"sub": ["u-1"]}, "claim_sub"),
        ({"sub": "u" * 257}, "no_id"),
        ({"sub": "u\n1"}, "no_id"),
    ],
)
def test_a_wrong_claim_signs_nobody_in(
    address: str, provider: LyingProvider, capsys: pytest.CaptureFixture[str], claims: Any, reason: str
) -> None:
    provider.claims = claims
    status, body = come_back(address, provider)
    assert (status, "was not accepted" in body) == (403, True)
    assert f"reason={reason}" in capsys.readouterr().out


@pytest.mark.parametrize(("skew_s", "status"), [(20, 303), (-320, 303), (90, 403), (-400, 403)])
def test_clocks_may_differ_a_little(
    address: str, provider: LyingProvider, skew_s: float, status: int
) -> None:
    provider.skew_s = skew_s  # a token lives 300 s, and the leeway is 30 s
    assert come_back(address, provider)[0] == status


def tokens(provider: LyingProvider) -> dict[str, str]:
    """Tokens that are signed wrongly."""
    public = provider.key.as_dict(private=False)
    claims = {"iss": provider.issuer, "aud": "desk", "sub": "u-1", "exp": 32_503_680_000, "iat": 1}
    honest = provider.signed()
    head, content, signature = honest.split(".")
    return {
        "algorithm": provider.signed("none"),
        "algorithm ": unsigned({"alg": "None", "kid": "one"}, claims),
        # The public key taken for an HMAC's secret.
        "algorithm  ": provider.signed("HS256", jwk.import_key(str(public["x"]), "oct", {"kid": "one"})),
        "signature": provider.signed(key=OTHER_KEY),
        "signature ": ".".join([head, content, signature[:-4] + "AAAA"]),
        "unknown_key": provider.signed(key=jwk.generate_key("EC", "P-256", {"kid": "two"})),
        "malformed": "not-a-token",
        "malformed ": "..",
        "malformed  ": "a.b.c.d.e",
    }


@pytest.mark.parametrize("lie", range(9))
def test_a_wrong_signature_signs_nobody_in(
    address: str, provider: LyingProvider, capsys: pytest.CaptureFixture[str], lie: int
) -> None:
    reason, provider.token = list(tokens(provider).items())[lie]
    status, body = come_back(address, provider)
    assert (status, "was not accepted" in body) == (403, True)
    assert f"reason={reason.strip()}\n" in capsys.readouterr().out


def test_a_new_key_is_found_and_made_up_ones_do_not_become_a_flood(
    address: str, provider: LyingProvider
) -> None:
    assert come_back(address, provider)[0] == 303
    new = jwk.generate_key("RSA", 2048, {"kid": "two"})
    provider.published.append(new)
    for _ in range(5):
        provider.token = provider.signed(key=jwk.generate_key("EC", "P-256", {"kid": "made up"}))
        assert come_back(address, provider)[0] == 403
    assert provider.asked_for_keys <= 3


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://login.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
        {"end_session_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://login.example/auth\r\nSet-Cookie: a=b"},
    ],
)
def test_a_provider_that_describes_itself_wrongly_counts_as_down(
    address: str, provider: LyingProvider, metadata: dict[str, object]
) -> None:
    provider.metadata = metadata
    status, body = come_back(address, provider)
    assert (status, "does not answer" in body) == (503, True)


@pytest.mark.parametrize(("status", "answered"), [(500, 503), (400, 403), (401, 403), (302, 403)])
def test_a_token_endpoint_that_fails_is_told_apart_from_one_that_refuses(
    address: str, provider: LyingProvider, status: int, answered: int
) -> None:
    provider.token_status = status
    assert come_back(address, provider)[0] == answered


def test_no_token_is_in_the_log(
    address: str, provider: LyingProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.token = provider.signed(iss="https://other.example")
    come_back(address, provider)
    provider.token = None
    come_back(address, provider)
    said = capsys.readouterr().out
    assert "signed_in" in said
    assert "eyJ" not in said


def test_over_https_cookies_are_secure_and_no_other_host_can_set_them(
    provider: LyingProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "ACCESS": "oidc",
        "PUBLIC_URL": "https://desk.example",
        "OIDC_ISSUER": provider.issuer,
        "OIDC_CLIENT_ID": "desk",
    }.items():
        monkeypatch.setenv(f"MIMAMORI_REVIEW_{name}", value)
    with small_desk(load_settings(), tmp_path) as address:
        here = {"Host": "desk.example"}
        _, headers, _ = DeskClient(address).ask("GET", "/sign-in", headers=PAGE | here)
        begun = headers["set-cookie"]
        assert begun.startswith("__Host-mimamori-sign-in-")
        state, provider.nonce = nonce_of(headers["location"])
        assert "redirect_uri=https%3A%2F%2Fdesk.example%2Foidc%2Fcallback" in headers["location"]
        cookie = {"Cookie": begun.partition(";")[0]}
        status, headers, _ = DeskClient(address).ask(
            "GET", f"/oidc/callback?code=c&state={state}", headers=PAGE | here | cookie
        )
        assert status == 303
        for said in (begun, headers["set-cookie"]):
            assert {"HttpOnly", "Secure", "Path=/", "SameSite=Lax"} <= set(said.split("; "))
            assert "Domain" not in said
        assert headers["strict-transport-security"] == "max-age=31536000"


@pytest.fixture
def behind_a_proxy(
    provider: LyingProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DeskClient]:
    for name, value in {
        "ACCESS": "proxy",
        "PUBLIC_URL": "https://desk.example",
        "PROXY_HEADER": "X-Goog-IAP-JWT-Assertion",
        "PROXY_ISSUER": provider.issuer,
        "PROXY_AUDIENCE": "desk",
        "PROXY_KEYS_URL": f"{provider.issuer}/keys",
        "ROLES_CLAIM": "email",
        "ROLE_REVIEWER": "aoi@example.org, ben@example.org",
    }.items():
        monkeypatch.setenv(f"MIMAMORI_REVIEW_{name}", value)
    with small_desk(load_settings(), tmp_path) as running:
        yield DeskClient(running)


def through(
    desk: DeskClient, token: str, method: str = "GET", path: str = "/", **more: str
) -> tuple[int, str]:
    headers = {"X-Goog-IAP-JWT-Assertion": token, "Host": "desk.example"} | {
        name.replace("_", "-"): value for name, value in more.items()
    }
    status, _, body = desk.ask(method, path, b"" if method == "POST" else None, headers)
    return status, body


def test_a_proxys_token_is_enough_and_nothing_less_is(
    behind_a_proxy: DeskClient, provider: LyingProvider
) -> None:
    desk = behind_a_proxy
    token = provider.signed(email="aoi@example.org")
    assert through(desk, token)[0] == 200
    csrf = through(desk, token)[1].split()[-1]
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert through(desk, token, "POST", "/decide", **form)[0] == 403
    assert through(desk, token, "POST", "/decide", **form, X_CSRF_Token=csrf) == (200, "decided by u-1")
    assert through(desk, provider.signed(email="eve@example.org"))[0] == 403
    assert through(desk, provider.signed(email="aoi@example.org", email_verified=False))[0] == 403
    assert through(desk, provider.signed(email="aoi@example.org", aud="another desk"))[0] == 403
    for unsigned_header in ("X-Forwarded-User", "X-Forwarded-Email", "X-Goog-Authenticated-User-Email"):
        said = {unsigned_header: "aoi@example.org", "Host": "desk.example"}
        assert desk.ask("GET", "/", headers=said)[0] == 401
    for lie in tokens(provider).values():
        assert through(desk, lie)[0] == 403


def test_behind_a_proxy_one_signs_out_where_one_has_signed_in(
    provider: LyingProvider, monkeypatch: pytest.MonkeyPatch, behind_a_proxy: DeskClient
) -> None:
    def signing_out(desk: DeskClient) -> tuple[int, str]:
        token = provider.signed(email="aoi@example.org")
        csrf = through(desk, token)[1].split()[-1]
        form = {"Content_Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
        return through(desk, token, "POST", "/sign-out", **form, X_CSRF_Token=csrf)

    status, page = signing_out(behind_a_proxy)
    assert (status, "Sign out at the proxy" in page) == (404, True)
    monkeypatch.setenv("MIMAMORI_REVIEW_PROXY_SIGN_OUT_URL", "/oauth2/sign_out")
    with small_desk(load_settings()) as address:
        status, page = signing_out(DeskClient(address))
        assert (status, 'content="0; url=/oauth2/sign_out"' in page) == (200, True)


def test_behind_a_proxy_two_tokens_are_none(behind_a_proxy: DeskClient, provider: LyingProvider) -> None:
    host, _, port = behind_a_proxy.address.removeprefix("http://").partition(":")
    asking = HTTPConnection(host, int(port), timeout=10)
    asking.putrequest("GET", "/", skip_host=True)
    asking.putheader("Host", "desk.example")
    for token in (provider.signed(email="ben@example.org"), provider.signed(email="aoi@example.org")):
        asking.putheader("X-Goog-IAP-JWT-Assertion", token)
    asking.endheaders()
    assert asking.getresponse().status == 403
    asking.close()


def test_behind_a_proxy_keys_are_kept_while_they_cannot_be_had(
    behind_a_proxy: DeskClient, provider: LyingProvider
) -> None:
    token, published = provider.signed(email="aoi@example.org"), provider.published
    provider.published = []
    assert through(behind_a_proxy, token)[0] == 503
    provider.published = published
    assert through(behind_a_proxy, token)[0] == 200
    provider.published = []
    assert through(behind_a_proxy, token)[0] == 200


def test_behind_a_proxy_without_a_token_one_is_told_where_to_go(behind_a_proxy: DeskClient) -> None:
    status, headers, _ = behind_a_proxy.ask("GET", "/", headers=PAGE | {"Host": "desk.example"})
    assert (status, headers["location"]) == (303, "/sign-in?next=%2F")
    assert headers["strict-transport-security"].startswith("max-age=")
    status, _, body = behind_a_proxy.ask("GET", "/sign-in", headers=PAGE | {"Host": "desk.example"})
    assert (status, "through the proxy" in body) == (401, True)
