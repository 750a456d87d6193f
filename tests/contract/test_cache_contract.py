"""What every score cache promises, on each of them: none, in process, and a real Redis behind."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import pytest

from engine.identity import Cascade, ScoreIdentity, Windowing
from engine.odds import Odds
from engine.scores import Scores
from mimamori.sandbox.redis_server import RedisServer
from mimamori.soak.canned_engine import CannedEngine
from worker.cache.redis_client import RedisClient
from worker.cache.score_cache import LocalCache, NoCache, RedisCache, ScoreCache

SECRET = b"a secret of sixteen or more"


@dataclass(frozen=True)
class Kind:
    """A kind of cache: how to open one, and whether it remembers."""

    opened: Callable[[bytes, str], ScoreCache]
    remembers: bool


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), 0, temporary=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["none", "local", "redis", "redis without an LRU"])
def kind(request: pytest.FixtureRequest, redis: RedisServer) -> Kind:
    def local(secret: bytes, fingerprint: str, entries: int = 100) -> LocalCache:
        return LocalCache(secret, fingerprint, entries, lambda *_: None)

    def shared(secret: bytes, fingerprint: str, entries: int = 100) -> RedisCache:
        front = local(secret, fingerprint, entries)
        return RedisCache(front, RedisClient(redis.url), secret, 60, lambda *_: None)

    return {
        "none": Kind(lambda *_: NoCache(), remembers=False),
        "local": Kind(local, remembers=True),
        "redis": Kind(shared, remembers=True),
        "redis without an LRU": Kind(lambda s, f: shared(s, f, 0), remembers=True),
    }[request.param]


def _differing() -> list[ScoreIdentity]:
    """Identities that differ in one field each, how much of a message is read among them."""
    one = CannedEngine().identity
    changes: dict[str, object] = {
        "model": "another",
        "precision": "bf16",
        "windowing": Windowing(24, 12, 32, sentences=True),
        "floor": 0.2,
        "normalisation": one.normalisation + 1,
        "max_message_tokens": one.max_message_tokens // 2,
        "odds": Odds(1.5, 0.2),
        "cascade": Cascade(1, 2, 0.1),
    }
    assert changes.keys() == set(ScoreIdentity.__struct_fields__)
    return [one, *(msgspec.structs.replace(one, **{name: value}) for name, value in changes.items())]


@pytest.fixture
def cache(kind: Kind, request: pytest.FixtureRequest) -> ScoreCache:
    return kind.opened(SECRET, request.node.name)


def scores(risk: float, severity: tuple[float, ...] | None = None) -> Scores:
    return Scores(risk=risk, severity=severity, windows=1, truncated=False)


def test_one_answer_per_text_in_the_texts_order(cache: ScoreCache, kind: Kind) -> None:
    stored = {f"text {number}": scores(number / 10) for number in range(10)}
    cache.store(list(stored), list(stored.values()))
    asked = ["text 3", "unknown", "text 9", "text 3", "", "text 0"]
    expected = [stored.get(text) if kind.remembers else None for text in asked]
    assert cache.lookup(asked) == expected
    assert cache.lookup([]) == []


def test_scores_of_one_identity_are_never_those_of_another(
    kind: Kind, request: pytest.FixtureRequest
) -> None:
    """On one Redis: workers of another bundle, precision or limit on a message's length share nothing."""
    secret = SECRET + request.node.name.encode()  # the Redis is the other kinds' as well
    caches = [kind.opened(secret, identity.digest) for identity in _differing()]
    for number, cache in enumerate(caches):
        assert cache.lookup(["t"]) == [None]
        cache.store(["t"], [scores(number / 10)])
    for number, cache in enumerate(caches):
        assert cache.lookup(["t"]) == ([scores(number / 10)] if kind.remembers else [None])


def test_the_last_stored_counts(cache: ScoreCache, kind: Kind) -> None:
    cache.store(["t"], [scores(0.8)])
    graded = scores(0.8, (0.1, 0.9))
    cache.store(["t"], [graded])
    cache.store([], [])
    assert cache.lookup(["t"]) == [graded if kind.remembers else None]


def test_any_text_can_be_asked(cache: ScoreCache, kind: Kind) -> None:
    texts = ["", " ", "\ud800", "日本語", "a\0b", "x" * 1_000_000]
    kept = [scores(0.1 * number) for number in range(len(texts))]
    cache.store(texts, kept)
    assert cache.lookup(texts) == (kept if kind.remembers else [None] * len(texts))


def test_impossible_scores_are_not_kept(cache: ScoreCache) -> None:
    bad = [scores(float("nan")), scores(1.5), scores(0.5, (float("inf"),))]
    cache.store(["a", "b", "c"], bad)
    assert cache.lookup(["a", "b", "c"]) == [None] * 3


def test_another_bundle_or_another_secret_knows_nothing(
    kind: Kind, cache: ScoreCache, request: pytest.FixtureRequest
) -> None:
    cache.store(["t"], [scores(0.5)])
    assert kind.opened(SECRET, "another bundle").lookup(["t"]) == [None]
    assert kind.opened(b"another secret", request.node.name).lookup(["t"]) == [None]


def test_several_threads_never_get_each_others_scores(cache: ScoreCache) -> None:
    wrong: list[str] = []

    def use(first: int) -> None:
        for number in range(first, first + 40):
            text = f"{first}/{number}"
            cache.store([text], [scores(number / 1000)])
            (found,) = cache.lookup([text])
            if found not in (None, scores(number / 1000)):
                wrong.append(text)

    threads = [threading.Thread(target=use, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
