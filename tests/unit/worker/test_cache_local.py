from collections import Counter

import pytest

from engine.errors import SettingsError
from engine.scores import Scores
from mimamori.soak.canned_engine import CannedEngine
from worker.cache.score_cache import LocalCache, NoCache, RedisCache, ScoreCache, open_cache
from worker.settings import Settings
from worker.telemetry.metrics import Metrics

SCORES = Scores(risk=0.5, severity=None, windows=1, truncated=False)


def test_the_least_recently_used_goes_first() -> None:
    cache = LocalCache(b"s", "b", 2, lambda *_: None)
    cache.store(["a", "b"], [SCORES, SCORES])
    cache.lookup(["a"])
    cache.store(["c"], [SCORES])
    assert cache.lookup(["a", "b", "c"]) == [SCORES, None, SCORES]


def test_hits_and_misses_are_told() -> None:
    told: Counter[str] = Counter()

    def tell(event: str, count: int) -> None:
        told[event] += count

    cache = LocalCache(b"s", "b", 2, tell)
    cache.store(["a"], [SCORES])
    cache.lookup(["a", "a", "b"])
    assert told == {"local": 2, "miss": 1}


def open_with(**settings: object) -> ScoreCache:
    return open_cache(Settings(**settings), CannedEngine().identity, Metrics())  # type: ignore[arg-type] # pydantic checks them


def test_the_settings_choose_the_cache() -> None:
    assert isinstance(open_with(cache_entries=0), NoCache)
    assert isinstance(open_with(), LocalCache)
    secret = "x" * 16
    assert isinstance(open_with(redis_url="redis://127.0.0.1:1", cache_secret=secret), RedisCache)
    with pytest.raises(SettingsError, match="MIMAMORI_REDIS_URL") as caught:
        open_with(redis_url="http://user:hunter2@127.0.0.1", cache_secret=secret)
    assert "hunter2" not in str(caught.value)


def test_lookups_and_errors_reach_the_metrics() -> None:
    metrics = Metrics()
    settings = Settings(redis_url="redis://127.0.0.1:1", cache_secret="x" * 16)
    cache = open_cache(settings, CannedEngine().identity, metrics)
    cache.store(["a"], [SCORES])
    cache.lookup(["a", "b"])

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert value("mimamori_cache_lookups_total", result="local") == 1
    assert value("mimamori_cache_lookups_total", result="miss") == 1
    assert value("mimamori_cache_errors_total") == 2
