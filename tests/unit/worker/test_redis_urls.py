"""Which URLs are a Redis, and which are refused at start, without their password."""

from pathlib import Path

import pytest

from engine.errors import SettingsError
from worker.cache.redis_client import RedisClient
from worker.settings_source import load_settings

SECRET = "hunter2-hunter2-hunter2"  # noqa: S105 - stands for one


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://user:p%40ss@localhost:6380/3?socket_timeout=0.2",
        "rediss://user:pw@[::1]:6380/0",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://a:26379,b,[::1]:26380/service",
        "rediss+sentinel://user:pw@a,b/service/2?sentinel_username=s&sentinel_password=t",
        "redis+cluster://user:pw@a:7000,b:7001",
        "rediss+cluster://a/0?ssl_check_hostname=false",
    ],
)
def test_a_url_of_each_form_is_taken_and_nobody_is_asked_yet(url: str) -> None:
    RedisClient(url)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{SECRET}@host",
        f"redis://user:{SECRET}@host:port/0",
        f"redis://user:{SECRET}@host?sockt_timeout=1",
        f"redis://user:{SECRET}@a:1,b:2/0",
        f"redis+sentinel://user:{SECRET}@a:1,b:2",
        f"redis+sentinel://user:{SECRET}@a:1/service/db",
        f"redis+sentinel://user:{SECRET}@a:1/service?sockt_timeout=1",
        f"redis+cluster://user:{SECRET}@a:1/3",
        f"redis+cluster://user:{SECRET}@a:1,/0",
        f"redis+cluster://user:{SECRET}@a:1?sockt_timeout=1",
        f"redis+ring://user:{SECRET}@a:1",
        f"unix+cluster://user:{SECRET}@a:1",
    ],
)
def test_anything_else_is_refused_in_one_line_without_the_password(url: str) -> None:
    with pytest.raises(SettingsError, match="MIMAMORI_REDIS_URL is no Redis URL") as refusal:
        RedisClient(url)
    assert SECRET not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_authority_needs_tls_and_its_file(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    redis = {"redis_url": "redis://localhost", "cache_secret": SECRET}
    with pytest.raises(SettingsError, match="MIMAMORI_REDIS_CA: Path does not point to a file"):
        load_settings(**redis, redis_ca=ca)
    ca.write_text("")
    with pytest.raises(SettingsError, match="MIMAMORI_REDIS_CA needs a MIMAMORI_REDIS_URL with TLS"):
        load_settings(**redis, redis_ca=ca)
    assert load_settings(**redis | {"redis_url": "rediss+cluster://a"}, redis_ca=ca).redis_ca == ca
