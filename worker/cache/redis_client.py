"""The client for Redis: one server, Sentinels or a cluster. Only this module imports redis.

    redis://user:password@host:port/db                      one server
    unix://path                                             … on this machine
    redis+sentinel://host:port,host:port/service/db         the master that Sentinels name
    redis+cluster://host:port,host:port                     a cluster: keys lie on many nodes

`rediss` in place of `redis` uses TLS. User and password are for the servers that hold the keys; those for
Sentinels are given as `?sentinel_username=…&sentinel_password=…`. Other options are redis-py's, such as
`?socket_timeout=0.1`. Every call has a deadline (see `bounded.py`) and is not repeated: a failure is only a
cache miss, which is cheaper than a second wait.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from engine.errors import SettingsError
from worker.cache.bounded import Bounded

TIMEOUT_S: Final = 0.05  # per socket operation; a URL's ?socket_timeout= overrides it
CALL_TIMEOUTS: Final = 4  # the deadline of a whole call, in socket timeouts

_ONCE: Final = Retry(NoBackoff(), 0)  # no retries; redis-py's own default is up to ten
_BARE: Final = {
    "socket_timeout": TIMEOUT_S,
    "socket_connect_timeout": TIMEOUT_S,
    "protocol": 2,  # saves the round trips HELLO and CLIENT SETINFO, which count against the connect timeout
    "driver_info": None,
}
_OF_ONE_HOST: Final = {"host", "port", "connection_class"}

_Client = redis.Redis | RedisCluster
Answer = TypeVar("Answer")


class RefusedError(Exception):
    """Redis answered with an error (out of memory, no permission), so the connection is healthy."""


class RedisClient:
    """Gets and sets many keys at once. It connects at first use; one thread at a time may use each method.

    Methods raise RefusedError, TimeoutError at their deadline, and whatever else redis-py or a socket raises.
    """

    def __init__(self, url: str, ca: Path | None = None) -> None:
        """`ca`: a PEM file of the authorities that `rediss` trusts, in place of the system's.

        Raises SettingsError: `url` is none of the forms above.
        """
        try:
            self._open, timeout_s = _opener(url, {} if ca is None else {"ssl_ca_certs": str(ca)})
        except (ValueError, TypeError):  # TypeError: an option that redis-py does not know
            raise SettingsError(
                "MIMAMORI_REDIS_URL is no Redis URL: use redis://host:port/db, unix://path, "
                "redis+sentinel://host:port,…/service/db or redis+cluster://host:port,…; rediss for TLS"
            ) from None
        self._deadline_s = CALL_TIMEOUTS * timeout_s
        self._client: _Client | None = None
        self._gets, self._sets = Bounded("cache-get"), Bounded("cache-set")

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where there is none. Takes one round trip (per node of a cluster)."""
        return self._gets.call(lambda: self._ask(lambda client: _get(client, keys)), self._deadline_s)

    def set(self, values: Mapping[bytes, bytes], ttl_s: int) -> None:
        """Store each value for `ttl_s` seconds, with one pipeline."""
        self._sets.call(lambda: self._ask(lambda client: _set(client, values, ttl_s)), self._deadline_s)

    def version(self) -> str:
        """The version of the server, or of one of them."""
        return self._gets.call(lambda: self._ask(_version), 10 * self._deadline_s)

    def _ask(self, question: Callable[[_Client], Answer]) -> Answer:
        client = self._client = self._client or self._open()
        try:
            return question(client)
        except redis.ResponseError as error:
            raise RefusedError(type(error).__name__) from None
        except Exception:
            # A cluster's nodes, as the client knows them, may all be gone: make a new client from the URL.
            if isinstance(client, RedisCluster):
                self._client = None
            raise


def ping(url: str, ca: Path | None = None) -> str:
    """The version of the Redis at `url`. Raises SettingsError naming the fault, without the password."""
    try:
        return RedisClient(url, ca).version()
    except SettingsError:
        raise
    except Exception as error:  # noqa: BLE001 - whichever of redis-py, socket or TLS it was, Redis did not answer
        raise SettingsError(
            f"Redis does not answer ({error if isinstance(error, RefusedError) else type(error).__name__}): "
            "check MIMAMORI_REDIS_URL, and the server; the worker runs without it, only slower"
        ) from None


def _get(client: _Client, keys: Sequence[bytes]) -> list[bytes | None]:
    values = client.mget_nonatomic(keys) if isinstance(client, RedisCluster) else client.mget(keys)
    return cast("list[bytes | None]", values)  # its types also cover decode_responses


def _set(client: _Client, values: Mapping[bytes, bytes], ttl_s: int) -> None:
    pipeline = client.pipeline(transaction=False)
    for key, value in values.items():
        pipeline.set(key, value, ex=ttl_s)
    pipeline.execute()


def _version(client: _Client) -> str:
    if isinstance(client, RedisCluster):
        told = client.info("server", target_nodes=client.get_random_node())
    else:
        told = client.info()
        if told.get("cluster_enabled"):
            raise SettingsError("MIMAMORI_REDIS_URL names a node of a cluster: use redis+cluster://")
    return str(told.get("redis_version", "unknown"))


def _opener(url: str, options: dict[str, Any]) -> tuple[Callable[[], _Client], float]:
    """A function that makes the client, and its socket timeout. Raises ValueError, TypeError: a wrong URL."""
    scheme, _, rest = url.partition("://")
    netloc = re.split("[/?#]", rest, maxsplit=1)[0]
    # The hosts are taken out first: some Pythons (3.11.2) refuse a list of hosts with an IPv6 address in it.
    parts = urlsplit(f"{scheme}://hosts{rest.removeprefix(netloc)}")
    base, plus, form = parts.scheme.partition("+")
    if plus and (base not in {"redis", "rediss"} or form not in {"sentinel", "cluster"}):
        raise ValueError(parts.scheme)
    query = dict(parse_qsl(parts.query))
    of_sentinels = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    users, at, hosts = netloc.rpartition("@")
    service, _, db = parts.path.strip("/").partition("/") if form == "sentinel" else ("", "", parts.path)
    # redis-py parses a URL of one host, and converts the options in its query to their types.
    single = url
    if form:
        first = f"{users}{at}{hosts.split(',')[0]}"
        single = urlunsplit((base, first, str(int(db.strip("/") or 0)), urlencode(query), ""))
    shared: dict[str, Any] = {**_BARE, **options, **parse_url(single)}
    pool = redis.ConnectionPool.from_url(single, **shared, retry=_ONCE)
    pool.make_connection()  # makes no connection, but refuses unknown options
    timeout_s = float(shared["socket_timeout"])
    if not form:
        return lambda: redis.Redis(connection_pool=pool), timeout_s
    secure = {"ssl": base == "rediss"}
    shared = {name: value for name, value in shared.items() if name not in _OF_ONE_HOST} | secure
    addresses = [_address(host) for host in hosts.split(",")]
    if form == "sentinel":
        return _sentinel(addresses, service, shared, of_sentinels), timeout_s
    return _cluster(addresses, shared), timeout_s


def _address(host: str) -> tuple[str, int | None]:
    one = urlsplit(f"//{host}")
    if not one.hostname:
        raise ValueError(host)
    return unquote(one.hostname), one.port


def _sentinel(
    addresses: Sequence[tuple[str, int | None]],
    service: str,
    options: dict[str, Any],
    of_sentinels: dict[str, str | None],
) -> Callable[[], _Client]:
    if not service:
        raise ValueError("no service")
    nodes = [(host, port or 26379) for host, port in addresses]
    without_db = {name: value for name, value in options.items() if name != "db"}
    sentinel = Sentinel(nodes, sentinel_kwargs={**without_db, **of_sentinels, "retry": _ONCE})
    return lambda: sentinel.master_for(unquote(service), **options, retry=_ONCE)


def _cluster(addresses: Sequence[tuple[str, int | None]], options: dict[str, Any]) -> Callable[[], _Client]:
    if options.pop("db", 0):
        raise ValueError("a cluster has one database")
    nodes = [(host, port or 6379) for host, port in addresses]
    # Made at first use, since it asks the nodes for the other nodes.
    return lambda: RedisCluster(
        startup_nodes=[ClusterNode(*node) for node in nodes],
        require_full_coverage=False,
        retry=_ONCE,
        **options,
    )
