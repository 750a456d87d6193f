"""What a desk takes without a restart: certificates and tokens; and what ends it in order: a password."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import structlog

from mimamori.sandbox.certificates import Authority
from review.errors import DeskError
from review.kafka.access_watch import AccessWatch
from review.kafka.tokens import NoTokenError, Tokens
from review.settings import ReviewSettings
from schemas.refusals import probe
from tests.fakes.tls_server import tls_server
from tests.fakes.token_endpoint import CLIENT_SECRET, TokenEndpoint, token_endpoint

LOGIN: dict[str, Any] = {"security_protocol": "SASL_SSL", "sasl_username": "ana"}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make()


class Watched:
    """A desk's watch, and what it has said and done."""

    def __init__(self, settings: ReviewSettings) -> None:
        self.context = settings.ssl_context()
        self.ended: list[DeskError] = []
        self.expiry: list[float] = []
        self.refused = ""
        self._settings = settings
        self._watch: AccessWatch | None = None

    def look(self) -> None:
        """Begin, and then look."""
        if self._watch is None:
            self._watch = AccessWatch(self._settings, self.context, self._try, self._end, self.expiry.append)
            return
        asyncio.run(self._watch.look())

    async def _try(self) -> None:
        if self.refused:
            raise DeskError(self.refused)

    async def _end(self, fault: DeskError) -> None:
        self.ended.append(fault)


def test_a_renewed_certificate_is_shown_on_the_next_connection(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "ca").write_bytes(authority.pem)
    Authority.make("somebody else").issue("desk").write(tmp_path / "crt", tmp_path / "key")
    with tls_server(tmp_path, authority.issue("broker", hosts=["127.0.0.1"]), authority) as address:
        watched = Watched(
            ReviewSettings(
                bootstrap=address,
                security_protocol="SSL",
                ssl_ca=tmp_path / "ca",
                ssl_certificate=tmp_path / "crt",
                ssl_key=tmp_path / "key",
            )
        )
        watched.look()
        assert probe(address, watched.context) == (address, "certificate_refused")
        (tmp_path / "crt").write_text("half")
        watched.look()  # it is told, and taken later
        authority.issue("desk").write(tmp_path / "crt", tmp_path / "key")
        watched.look()
        assert probe(address, watched.context) is None
    assert (len(watched.expiry), watched.ended) == (2, [])


def test_a_new_password_ends_the_desk_once_kafka_takes_it(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("one")
    (tmp_path / "ca").write_bytes(Authority.make().pem)
    watched = Watched(
        ReviewSettings(**LOGIN, ssl_ca=tmp_path / "ca", sasl_password_file=tmp_path / "password")
    )
    watched.look()
    (tmp_path / "password").write_text("two")
    watched.refused = "Kafka does not know the user ana with this password"
    with structlog.testing.capture_logs() as logs:
        watched.look()
        watched.look()
    assert [(line["event"], line["error"]) for line in logs] == [
        ("kafka_secret_not_renewed", watched.refused)
    ]
    assert watched.ended == []
    watched.refused = ""
    watched.look()
    assert [str(fault).partition(" was ")[0] for fault in watched.ended] == [
        "the password in MIMAMORI_REVIEW_SASL_PASSWORD_FILE"
    ]


def settings_for(endpoint: TokenEndpoint, secret: Path) -> ReviewSettings:
    return ReviewSettings(
        **LOGIN,
        sasl_mechanism="OAUTHBEARER",
        sasl_token_url=endpoint.url,
        sasl_token_scope="kafka",
        sasl_password_file=secret,
    )


def test_a_token_is_asked_for_once_in_its_life_with_the_secret_as_it_is_now(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("old")
    with token_endpoint(lambda client: f"token of {client}") as endpoint:
        tokens = Tokens(settings_for(endpoint, tmp_path / "secret"))
        with pytest.raises(NoTokenError, match="MIMAMORI_REVIEW_SASL_TOKEN_URL: its answer is HTTP 401"):
            asyncio.run(tokens.token())
        (tmp_path / "secret").write_text(CLIENT_SECRET)
        assert [asyncio.run(tokens.token()) for _ in range(3)] == ["token of ana"] * 3
        assert endpoint.asked[1:] == [{"grant_type": "client_credentials", "scope": "kafka"}]
    with pytest.raises(NoTokenError, match=r"SASL_TOKEN_URL: no answer \(ClientConnector"):
        asyncio.run(Tokens(settings_for(endpoint, tmp_path / "secret")).token())


def test_a_token_in_a_file_is_read_at_each_connection(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first")
    tokens = Tokens(
        ReviewSettings(
            security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", sasl_token_file=tmp_path / "token"
        )
    )
    assert asyncio.run(tokens.token()) == "first"
    (tmp_path / "token").write_text("second")
    assert asyncio.run(tokens.token()) == "second"
    (tmp_path / "token").unlink()
    with pytest.raises(NoTokenError, match="MIMAMORI_REVIEW_SASL_TOKEN_FILE: there is no file"):
        asyncio.run(tokens.token())
