"""The score cache: a text that was read before, by this bundle, is not read again.

    text ──HMAC──► key ──► in-process LRU ──► Redis (one MGET a call, behind a circuit breaker)

What holds:
- Text is in no key and no value, and a value that was forged, cut short, or meant for another key is a miss
  and never a label (see `seal.py`).
- Nothing here raises once it is open. A Redis that is absent, slow, full or wrong costs misses and a count.

What does not: an entry may vanish at any moment, two workers may read the same text at once, and looking up
a host name is not bounded by the timeouts (the breaker's growing cool-down bounds how often it is tried).
Redis Cluster is not supported: the keys of one MGET lie in different slots.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.circuit import Circuit
from worker.errors import SettingsError
from worker.metrics import Metrics
from worker.scores import Scores
from worker.seal import cache_key, is_sound, seal, unseal
from worker.settings import Settings

log = structlog.get_logger()

TIMEOUT_S: Final = 0.05  # per socket operation; a URL's ?socket_timeout= overrides it
SLOW_S: Final = 4 * TIMEOUT_S  # a whole call this slow counts as a failure, though each read was in time

Event = Literal["local", "redis", "miss", "error", "skipped", "opened", "closed"]
Tell = Callable[[Event, int], None]


class ScoreCache(Protocol):
    """Remembers scores by text. Safe from several threads; never raises."""

    def lookup(self, texts: Sequence[str]) -> list[Scores | None]:
        """Scores of each text in the same order, None where unknown."""
        ...

    def store(self, texts: Sequence[str], scores: Sequence[Scores]) -> None:
        """Remember the scores of each text; both sequences have the same length."""
        ...


class NoCache:
    """Remembers nothing."""

    def lookup(self, texts: Sequence[str]) -> list[Scores | None]:
        """All unknown."""
        return [None] * len(texts)

    def store(self, texts: Sequence[str], scores: Sequence[Scores]) -> None:
        """Nothing happens."""


class LocalCache:
    """The most recently used `entries` scores, in this process. Keeps digests, not texts.

    Entries do not age: the key holds the bundle's fingerprint, and its scores do not change.
    """

    def __init__(self, secret: bytes, fingerprint: str, entries: int, tell: Tell) -> None:
        self._secret = secret
        self._fingerprint = fingerprint
        self._entries = entries
        self._tell = tell
        self._lock = threading.Lock()
        self._recent: OrderedDict[bytes, Scores] = OrderedDict()

    def lookup(self, texts: Sequence[str]) -> list[Scores | None]:
        """See ScoreCache."""
        found = self.recall(self.keys(texts))
        missing = found.count(None)
        self._tell("local", len(found) - missing)
        self._tell("miss", missing)
        return found

    def store(self, texts: Sequence[str], scores: Sequence[Scores]) -> None:
        """See ScoreCache."""
        self.remember(dict(zip(self.keys(texts), scores, strict=True)))

    def keys(self, texts: Sequence[str]) -> list[bytes]:
        """The key of each text. One that comes more than once is hashed once."""
        known = {text: cache_key(self._secret, self._fingerprint, text) for text in dict.fromkeys(texts)}
        return [known[text] for text in texts]

    def recall(self, keys: Sequence[bytes]) -> list[Scores | None]:
        """The scores under each key, None where unknown."""
        with self._lock:
            for key in keys:
                if key in self._recent:
                    self._recent.move_to_end(key)
            return [self._recent.get(key) for key in keys]

    def remember(self, scores: dict[bytes, Scores]) -> None:
        """Keep those that are sound, forgetting the least recently used."""
        with self._lock:
            for key, one in scores.items():
                if is_sound(one):
                    self._recent[key] = one
                    self._recent.move_to_end(key)
            while len(self._recent) > self._entries:
                self._recent.popitem(last=False)


class RedisCache:
    """A LocalCache in front, Redis behind, so that workers share what they read."""

    def __init__(
        self,
        local: LocalCache,
        url: str,
        secret: bytes,
        ttl_s: int,
        tell: Tell,
        circuit: Circuit | None = None,
    ) -> None:
        """Connects to nothing yet. Raises SettingsError: `url` is no Redis URL."""
        self._local = local
        self._client = _client(url)
        self._secret = secret
        self._ttl_s = ttl_s
        self._tell = tell
        self._circuit = circuit or Circuit()

    def lookup(self, texts: Sequence[str]) -> list[Scores | None]:
        """See ScoreCache. At most one round trip, and none where the LRU knows all."""
        keys = self._local.keys(texts)
        found = self._local.recall(keys)
        unknown = list(dict.fromkeys(key for key, scores in zip(keys, found, strict=True) if scores is None))
        self._tell("local", len(keys) - found.count(None))
        fetched = self._fetch(unknown) if unknown else {}
        self._local.remember(fetched)
        both = [scores or fetched.get(key) for key, scores in zip(keys, found, strict=True)]
        self._tell("redis", found.count(None) - both.count(None))
        self._tell("miss", both.count(None))
        return both

    def store(self, texts: Sequence[str], scores: Sequence[Scores]) -> None:
        """See ScoreCache. One pipeline, one round trip."""
        sound = {key: one for key, one in zip(self._local.keys(texts), scores, strict=True) if is_sound(one)}
        self._local.remember(sound)
        if not sound:
            return
        pipeline = self._client.pipeline(transaction=False)
        for key, one in sound.items():
            pipeline.set(key, seal(self._secret, key, one), ex=self._ttl_s)
        self._attempt(pipeline.execute)

    def _fetch(self, keys: list[bytes]) -> dict[bytes, Scores]:
        """What Redis knows under these keys; nothing where it does not answer."""
        values = self._attempt(lambda: self._client.mget(keys))
        if not isinstance(values, list) or len(values) != len(keys):
            return {}
        opened = ((key, unseal(self._secret, key, value)) for key, value in zip(keys, values, strict=True))
        return {key: scores for key, scores in opened if scores is not None}

    def _attempt(self, call: Callable[[], object]) -> object:
        """Its answer, None where it failed or was not tried. A failed connection is closed by redis-py."""
        if not self._circuit.allows():
            self._tell("skipped", 1)
            return None
        started = time.monotonic()
        try:
            answer = call()
        except redis.ResponseError as error:  # out of memory, no permission: a prompt answer, a healthy link
            self._tell("error", 1)
            log.debug("cache_refused", kind=type(error).__name__)
            self._healthy()
            return None
        except Exception as error:  # noqa: BLE001 - whatever Redis or its client does, it costs a miss
            self._sick(type(error).__name__)
            return None
        if time.monotonic() - started > SLOW_S:
            self._sick("slow")
        else:
            self._healthy()
        return answer

    def _healthy(self) -> None:
        if self._circuit.succeeded():
            self._tell("closed", 1)
            log.info("cache_circuit_closed")

    def _sick(self, kind: str) -> None:
        self._tell("error", 1)
        if self._circuit.failed():
            self._tell("opened", 1)
            log.warning("cache_circuit_opened", kind=kind)


def open_cache(settings: Settings, fingerprint: str, metrics: Metrics) -> ScoreCache:
    """The cache the settings ask for. Asks nothing of Redis yet. Raises SettingsError: redis_url is no URL.

    `fingerprint` names everything that changes scores but the windows, which are added here.
    """
    if not settings.cache_entries:
        return NoCache()
    windows = f"{settings.window_tokens}/{settings.window_overlap}/{settings.max_windows}"
    url = settings.redis_url.get_secret_value()
    # Without Redis nobody else needs to find our keys.
    secret = settings.cache_secret.get_secret_value().encode() or secrets.token_bytes(32)
    tell = _counting(metrics)
    local = LocalCache(secret, f"{fingerprint}/{windows}", settings.cache_entries, tell)
    return RedisCache(local, url, secret, settings.cache_ttl_s, tell) if url else local


def ping(url: str) -> str:
    """The version of the Redis at `url`. Raises SettingsError saying what is wrong, without the password."""
    client = _client(url)
    try:
        with client:
            version = client.info("server").get("redis_version", "unknown")
    except (redis.RedisError, OSError) as error:
        raise SettingsError(
            f"Redis does not answer ({type(error).__name__}): check MIMAMORI_REDIS_URL, and the server; "
            "the worker runs without it, only slower"
        ) from None
    return str(version)


def _client(url: str) -> redis.Redis:
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(
                NoBackoff(), 0
            ),  # redis.Redis() would retry ten times, from_url() does not: be explicit
            protocol=2,  # no HELLO and CLIENT SETINFO round trips inside the connect's timeouts
            driver_info=None,
        )
    except (ValueError, TypeError):  # TypeError: an option in the URL that redis-py does not know
        raise SettingsError(
            "MIMAMORI_REDIS_URL is no Redis URL: use redis://, rediss:// or unix://"
        ) from None


def _counting(metrics: Metrics) -> Tell:
    def tell(event: Event, count: int) -> None:
        if event in {"local", "redis", "miss"}:
            metrics.count("mimamori_cache_lookups_total", count, result=event)
        elif event == "error":
            metrics.count("mimamori_cache_errors_total", count)

    return tell
