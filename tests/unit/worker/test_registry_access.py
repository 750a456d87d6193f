"""The settings of a schema registry: what is sent to it, and what a start refuses."""

import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engine.errors import MissingExtraError
from schemas.avro import avro_schema
from schemas.kinds import KINDS
from tests.fakes.framed_messages import registry_settings
from tests.fakes.schema_registry import FakeRegistry
from tests.fakes.worker_app import settings
from worker.errors import RegistryError
from worker.registry.client import RegistryClient
from worker.settings import Settings
from worker.startup import greet_registry

SECRET = "correct-horse-battery"  # noqa: S105 - to be looked for


def login(allow_insecure: str = "", **given: str) -> Settings:
    access = {f"schema_registry_{name}": value for name, value in given.items()}
    return settings(None, allow_insecure=allow_insecure, **access)


def test_credentials_are_sent_and_a_renewed_token_is_read_again(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    registry.credentials = "Basic YW5hOmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ=="
    password, token = tmp_path / "password", tmp_path / "token"
    password.write_text(SECRET + "\n")
    user = {"schema_registry_user": "ana"}
    for secret in ({"schema_registry_password": SECRET}, {"schema_registry_password_file": password}):
        assert RegistryClient(registry_settings(registry, **user, **secret)).schema(number)
    token.write_text("first")
    client = RegistryClient(registry_settings(registry, schema_registry_token_file=token))
    with pytest.raises(RegistryError, match="answers 401: MIMAMORI_SCHEMA_REGISTRY_USER") as failure:
        client.schema(number)
    assert failure.value.refused
    registry.credentials = "Bearer second"
    token.write_text("second\n")
    assert client.schema(number)


RENEWED = [  # with a byte order mark, beyond latin-1, and what would be two headers
    "\ufeff" + SECRET,
    SECRET + "\u2026",
    SECRET + "\rX-Other: 1",
    SECRET + "\u00e9",
    SECRET + "\0",
]


@pytest.mark.parametrize("renewed", RENEWED)
@pytest.mark.parametrize("kind", ["token_file", "password_file"])
def test_a_renewed_secret_that_no_header_can_hold_is_the_files_fault_and_records_wait(
    registry: FakeRegistry, tmp_path: Path, kind: str, renewed: str
) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    path = tmp_path / "secret"
    path.write_text(SECRET)
    user = {"schema_registry_user": "ana"} if kind == "password_file" else {}
    given = registry_settings(registry, **user, **{f"schema_registry_{kind}": path})
    client = RegistryClient(given)
    assert client.schema(number)
    path.write_bytes(renewed.encode())
    asks: list[Callable[[], object]] = [
        lambda: client.schema(number),
        client.formats,
        partial(greet_registry, given),
    ]
    for ask in asks:
        with pytest.raises(RegistryError, match=f"MIMAMORI_SCHEMA_REGISTRY_{kind.upper()}: ") as failure:
            ask()
        assert "printable ASCII" in str(failure.value)
        assert SECRET not in "".join(traceback.format_exception(failure.value))
    with pytest.raises(ValueError, match="printable ASCII") as refusal:
        login(url="https://registry:8081", **{kind: str(path)}, **({"user": "ana"} if user else {}))
    assert SECRET not in str(refusal.value.errors()[0]["msg"])  # type: ignore[attr-defined] # pydantic's
    path.write_text(SECRET)
    assert client.schema(number)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "registry:8081"}, "URL must be a registry's address"),
        ({"url": "http://r:port"}, "URL must be a registry's address"),
        ({"url": "http://ana:pw@r:1"}, "URL must hold no credentials"),
        ({"url": "", "user": "ana"}, "needs a MIMAMORI_SCHEMA_REGISTRY_URL"),
        ({"user": "ana"}, "USER goes with"),
        ({"password": SECRET}, "USER goes with"),
        ({"user": "ana", "password": SECRET, "password_file": "none"}, "are both set"),
        ({"user": "ana", "password_file": "none"}, "SCHEMA_REGISTRY_PASSWORD_FILE: there is no file none"),
        ({"token_file": "none"}, "SCHEMA_REGISTRY_TOKEN_FILE: there is no file none"),
        ({"token_file": "t", "user": "ana", "password": SECRET}, "needs no user and no password"),
        ({"url": "http://far:1"}, "could say how messages are read. Use https; or, .* plaintext_registry in"),
        ({"url": "http://far:1", "user": "ana", "password": SECRET}, ", and take the credentials. Use https"),
        ({"url": "http://far:1", "ca": "ca.pem"}, "is for an https"),
        ({"ca": "none.pem"}, "SCHEMA_REGISTRY_CA: there is no file none.pem"),
    ],
)
def test_settings_that_contradict_one_another_or_leak_are_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        login(**{"url": "https://registry:8081", **given})
    assert SECRET not in str(refusal.value.errors()[0]["msg"])  # type: ignore[attr-defined] # pydantic's


def test_plain_text_is_allowed_by_name_and_on_this_machine() -> None:
    ana = {"user": "ana", "password": SECRET}
    login(url="http://127.0.0.1:8081", **ana)
    login("plaintext_registry", url="http://far:8081", **ana)
    login(url="http://[::1]:8081")
    login("plaintext_registry", url="http://far:8081")


def test_a_start_stops_at_a_registry_that_refuses_and_waits_for_one_that_is_away(
    registry: FakeRegistry,
) -> None:
    registry.credentials = "Bearer other"
    with pytest.raises(RegistryError, match="answers 401"):
        greet_registry(registry_settings(registry))
    registry.credentials = None
    greet_registry(registry_settings(registry))
    with capture_logs() as logs:
        greet_registry(settings(schema_registry_url="http://127.0.0.1:9"))
    assert logs[0]["event"] == "schema_registry_away"
    assert logs[0]["error"] == "the schema registry http://127.0.0.1:9 cannot be reached (Connection refused)"


def test_a_start_without_the_extra_says_which_one(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastavro", None)
    monkeypatch.delitem(sys.modules, "worker.registry.avro")
    with pytest.raises(
        MissingExtraError, match=r"needs fastavro: in a clone of Mimamori, pip install '.\[registry\]'"
    ):
        greet_registry(registry_settings(registry))
    greet_registry(settings())  # without a registry nothing is needed
