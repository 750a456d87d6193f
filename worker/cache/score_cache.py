"""The score cache: a text that was read before in the same way is not read again.

    text ──HMAC──► key ──► in-process LRU ──► Redis (one MGET per call, a deadline, a circuit breaker)

What is guaranteed:
- Neither keys nor values hold text. A value that was forged, cut short, or written for another key is a miss
  and never a label (see `seal` in `key.py`).
- Nothing here raises once the cache is open. A Redis that is absent, slow, full or wrong causes misses, which
  are counted.

What is not guaranteed: an entry may vanish at any moment, and two workers may read the same text at once.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeVar

import structlog

from engine.identity import ScoreIdentity
from engine.scores import Scores
from worker.cache.circuit import Circuit
from worker.cache.key import cache_key, is_sound, seal, unseal
from worker.cache.redis_client import RedisClient, RefusedError
from worker.settings import Settings
from worker.telemetry.labels import CacheResult
from worker.telemetry.metrics import Metrics

log = structlog.get_logger()

Answer = TypeVar("Answer")
Event = Literal[CacheResult, "error", "skipped", "opened", "closed"]
Tell = Callable[[Event, int], None]


class ScoreCache(Protocol):
    """Stores scores by text. Thread-safe; never raises."""

    def lookup(self, texts: Sequence[str]) -> list[Scores | None]:
        """The scores of each text, in the same order; None where unknown."""
        ...

    def store(self, texts: Sequence[str], scores: Sequence[Scores]) -> None:
        """Store the scores of each text; both sequences have the same length."""
        ...


class NoCache:
    """A cache that stores nothing."""

    def lookup(self, texts: Sequence[str]) -> list[Scores | None]:
        """None for every text."""
        return [None] * len(texts)

    def store(self, texts: Sequence[str], scores: Sequence[Scores]) -> None:
        """Does nothing."""


class LocalCache:
    """Keeps the most recently used `entries` scores in this process, by digests and not by texts.

    Entries do not expire: the key names what scored them, and the scores of one identity do not change.
    """

    def __init__(self, secret: bytes, scored_by: str, entries: int, tell: Tell) -> None:
        """`scored_by` is the digest of the scores' identity."""
        self._secret = secret
        self._scored_by = scored_by
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
        """The key of each text. A repeated text is hashed once."""
        known = {text: cache_key(self._secret, self._scored_by, text) for text in dict.fromkeys(texts)}
        return [known[text] for text in texts]

    def recall(self, keys: Sequence[bytes]) -> list[Scores | None]:
        """The scores under each key, None where unknown."""
        with self._lock:
            for key in keys:
                if key in self._recent:
                    self._recent.move_to_end(key)
            return [self._recent.get(key) for key in keys]

    def remember(self, scores: dict[bytes, Scores]) -> None:
        """Store the valid scores, and drop the least recently used."""
        with self._lock:
            for key, one in scores.items():
                if is_sound(one):
                    self._recent[key] = one
                    self._recent.move_to_end(key)
            while len(self._recent) > self._entries:
                self._recent.popitem(last=False)


class RedisCache:
    """A LocalCache in front of Redis, through which workers share their scores."""

    def __init__(
        self,
        local: LocalCache,
        client: RedisClient,
        secret: bytes,
        ttl_s: int,
        tell: Tell,
        circuit: Circuit | None = None,
    ) -> None:
        self._local = local
        self._client = client
        self._secret = secret
        self._ttl_s = ttl_s
        self._tell = tell
        self._circuit = circuit or Circuit()

    def lookup(self, texts: Sequence[str]) -> list[Scores | None]:
        """See ScoreCache. Needs at most one round trip, and none where the LRU has every text."""
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
        """See ScoreCache. Needs one round trip, with a pipeline."""
        sound = {key: one for key, one in zip(self._local.keys(texts), scores, strict=True) if is_sound(one)}
        self._local.remember(sound)
        if not sound:
            return
        sealed = {key: seal(self._secret, key, one) for key, one in sound.items()}
        self._attempt(lambda: self._client.set(sealed, self._ttl_s))

    def _fetch(self, keys: list[bytes]) -> dict[bytes, Scores]:
        """The scores that Redis has under these keys; none where it does not answer."""
        values = self._attempt(lambda: self._client.get(keys))
        if values is None or len(values) != len(keys):
            return {}
        opened = ((key, unseal(self._secret, key, value)) for key, value in zip(keys, values, strict=True))
        return {key: scores for key, scores in opened if scores is not None}

    def _attempt(self, call: Callable[[], Answer]) -> Answer | None:
        """Redis' answer; None where the call failed or was not made."""
        if not self._circuit.allows():
            self._tell("skipped", 1)
            return None
        try:
            answer = call()
        except RefusedError as error:
            self._tell("error", 1)
            log.debug("cache_refused", kind=str(error))
            answer = None
        except Exception as error:  # noqa: BLE001 - any failure of Redis or its client is a miss
            self._sick(type(error).__name__)
            return None
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


def open_cache(settings: Settings, scored_by: ScoreIdentity, metrics: Metrics) -> ScoreCache:
    """Make the cache that the settings ask for, for the scores of one identity.

    It does not connect to Redis yet. Raises SettingsError: redis_url is no URL.
    """
    if not settings.cache_entries:
        return NoCache()
    url = settings.redis_url.get_secret_value()
    # Without Redis, no other process needs to compute the same keys.
    secret = settings.cache_secret.get_secret_value().encode() or secrets.token_bytes(32)
    tell = _counting(metrics)
    local = LocalCache(secret, scored_by.digest, settings.cache_entries, tell)
    if not url:
        return local
    return RedisCache(local, RedisClient(url, settings.redis_ca), secret, settings.cache_ttl_s, tell)


def _counting(metrics: Metrics) -> Tell:
    def tell(event: Event, count: int) -> None:
        match event:
            case "local" | "redis" | "miss":
                metrics.count("mimamori_cache_lookups_total", count, result=event)
            case "error":
                metrics.count("mimamori_cache_errors_total", count)
            case "skipped" | "opened" | "closed":  # the log has them
                pass

    return tell
