"""Looks after a worker's access to Kafka while it runs: what is renewed, and what Kafka has against it.

    a password             clients log in with the new one from now on
    a token in a file      librdkafka asks for it whenever the last one is about to end
    PEM files, passphrase, librdkafka reads them once: the worker finishes its batches and ends, to be started
    a client's secret      again. Workers do so one after the other, each at a moment that it draws

A file that is missing, or is not what it should be, is told, and what was read before stays in use.
"""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import structlog

from schemas.refusals import line_of, probe
from schemas.tls_files import FileFault
from worker.kafka.client import renew_password
from worker.kafka.refusals import PREFIX, REFUSALS
from worker.settings import Settings
from worker.telemetry.logs import where
from worker.telemetry.metrics import Metrics

log = structlog.get_logger()

LOOK_EVERY_S: Final = 5.0
SOON: Final = timedelta(days=7)
# How long before the old certificate ends a worker has ended, whatever it drew.
IN_TIME_S: Final = 60.0
# What Kafka must not answer to renewed files: it does not know their authority, or they do not know its own.
REFUSED: Final = frozenset({"certificate_refused", "unknown_authority"})


class AccessWatch:
    """Looks every few seconds, in a thread of its own, as a context manager; `look` is one look.

    Args:
        settings: Which files there are. They are read now.
        metrics: When the certificate ends, and how often Kafka has refused this worker.
        end: Begins the worker's drain.
        clock: Seconds since 1970.
        draw: A number from 0 to 1.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        end: Callable[[], None],
        *,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._end = end
        self._clock = clock
        self._draw = draw
        self._password = settings.sasl_secret() if self._takes_passwords else None
        self._read_once = self._digest()
        self._ends = settings.tls_files().ends_at() if settings.has_tls else None
        self._end_at: float | None = None
        self._said: dict[str, str] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="access-watch", daemon=True)
        self.renewed = False  # whether this is why the worker ends

    def look(self) -> None:
        """Look once."""
        for reason, count in REFUSALS.taken().items():
            self._metrics.count("mimamori_kafka_refusals_total", count, reason=reason)
        try:
            self._look_at_password()
            self._look_at_files()
            self._said.pop("fault", None)
        except FileFault as fault:
            self._say(
                "fault",
                fault.line(PREFIX),
                "kafka_secret_not_renewed",
                hint="the one read before is still in use",
            )
        self._look_at_clock()

    def __enter__(self) -> Self:
        if self._ends is not None:
            self._metrics.gauge("mimamori_kafka_certificate_expiry_timestamp_seconds", self._ends.timestamp())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    @property
    def _takes_passwords(self) -> bool:
        return self._settings.has_sasl and self._settings.sasl_mechanism != "OAUTHBEARER"

    def _digest(self) -> tuple[bytes, str]:
        """Changes with what librdkafka reads once."""
        settings = self._settings
        files = settings.tls_files().digest() if settings.has_tls else b""
        return files, (settings.sasl_secret() or "") if settings.sasl_token_url else ""

    def _look_at_password(self) -> None:
        if not self._takes_passwords:
            return
        password = self._settings.sasl_secret()
        if password is not None and password != self._password:
            clients = renew_password(self._settings.sasl_username or "", password)
            self._password = password  # after it has been taken: else no later look would try again
            log.info("kafka_password_renewed", clients=clients)

    def _look_at_files(self) -> None:
        if self._end_at is not None or (found := self._digest()) == self._read_once:
            return
        if self._settings.has_tls:
            files = self._settings.tls_files()
            files.check(datetime.fromtimestamp(self._clock(), UTC))
            # A certificate that Kafka does not take must not end every worker while the old one still does.
            refused = probe(self._settings.bootstrap, files.context())
            if refused is not None and refused[1] in self._not_to_hear():
                raise FileFault("ssl_certificate", line_of(refused[1], PREFIX, refused[0]))
        within = self._settings.renew_within_s
        if self._ends is not None:
            within = max(0.0, min(within, self._ends.timestamp() - IN_TIME_S - self._clock()))
        wait = within * self._draw()
        self._read_once, self._end_at = found, self._clock() + wait
        log.warning("kafka_certificate_renewed", ends_in_s=round(wait), hint="to be started again with it")

    def _not_to_hear(self) -> frozenset[str]:
        """`REFUSED`, but for what this worker's clients were told not to check."""
        unchecked = "unverified_broker" in self._settings.allow_insecure
        return REFUSED - ({"unknown_authority"} if unchecked else frozenset())

    def _look_at_clock(self) -> None:
        now = self._clock()
        if self._end_at is not None and now >= self._end_at and not self.renewed:
            self.renewed = True
            self._end()
        if self._ends is not None and self._end_at is None:
            left = self._ends - datetime.fromtimestamp(now, UTC)
            if left <= timedelta(0):
                self._say(
                    "clock",
                    "expired",
                    "kafka_certificate_expired",
                    hint="renew it: nobody lets this worker in",
                )
            elif left <= SOON:
                self._say(
                    "clock",
                    "soon",
                    "kafka_certificate_ends_soon",
                    ends=self._ends.isoformat(),
                    hint="renew it",
                )

    def _say(self, about: str, what: str, event: str, **more: str) -> None:
        """Log an error once, until it is another one."""
        if self._said.get(about) != what:
            self._said[about] = what
            log.error(event, error=what, **more)

    def _keep_looking(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look must be taken
                self._say("ours", type(error).__name__, "access_watch_failed", at=where(error))
