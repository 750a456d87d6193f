"""The schemas that are known. Others are asked for beside the polling thread, which waits for no registry.

What can happen, and what follows:

    the registry has the schema          its messages are read; schemas never change, so it is not asked again
    it says that it has none             dead letters, once it has said so again after DOUBT_FOR_S, since not
                                         each node of a registry knows a new schema at once; asked again
                                         after UNKNOWN_FOR_S, as it may come
    an id that no registry can have      dead letters; nothing is asked
    the schema cannot be used            dead letters, with the reason
    no answer that can be used           the records wait, and it is asked again until there is one

One schema is asked for at a time, at most every PAUSE_S, and at most MOST are kept: a producer that invents
an id for each message slows its topic down as a model would, and costs neither memory nor the registry. So
the doubt is granted to one id each DOUBT_EVERY_S, and of any other the first "there is none" is believed.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar

import structlog

from schemas.events import Event, Message
from worker.errors import RecordError, RegistryError
from worker.registry.client import Registered
from worker.registry.framing import LARGEST_ID, schema_id_of
from worker.registry.writers import reader_of, refusing
from worker.telemetry.metrics import Metrics

MOST: Final = 256  # schemas; a topic has one, or a few
PAUSE_S: Final = 0.01  # between two questions
UNKNOWN_FOR_S: Final = 30.0
DOUBT_FOR_S: Final = 3.0  # between the first "there is none" and the one that is believed
DOUBT_PAUSE_S: Final = 0.5  # between two questions about the id in doubt
DOUBT_EVERY_S: Final = 30.0  # from the beginning of one doubt to that of the next
BACKOFF_S: Final = (0.25, 10.0)  # the first and the longest wait after a question without an answer

E = TypeVar("E", bound=Event)

log = structlog.get_logger()


class Registry(Protocol):
    """What is asked of a registry."""

    def schema(self, schema_id: int) -> Registered | None:
        """The schema; None where it has none with this id. Raises RegistryError."""


# Makes, of a schema and its id, what reads the values that were written with it; that raises RecordError.
ReaderOf = Callable[[int, Registered], Callable[[bytes], E]]


class _Question(Generic[E]):
    """A question that a thread of its own asks. `found` may be read once `done` is set."""

    def __init__(self, registry: Registry, schema_id: int, reader_of: ReaderOf[E]) -> None:
        self.schema_id = schema_id
        self.done = threading.Event()
        self.found: Callable[[bytes], E] | RegistryError | None = None
        threading.Thread(target=self._ask, args=(registry, reader_of), name="registry", daemon=True).start()

    def _ask(self, registry: Registry, reader_of: ReaderOf[E]) -> None:
        try:
            registered = registry.schema(self.schema_id)
            self.found = None if registered is None else reader_of(self.schema_id, registered)
        except RegistryError as error:
            self.found = error
        except Exception as error:  # noqa: BLE001 - a fault of ours must not lose a message either
            self.found = RegistryError(f"asking for a schema failed: {type(error).__name__}")
        finally:
            self.done.set()


class SchemasOf(Generic[E]):
    """Reads framed events of one kind, as `reader_of` says for each schema. Used by one thread."""

    def __init__(
        self,
        registry: Registry,
        metrics: Metrics,
        reader_of: ReaderOf[E],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._reader_of = reader_of
        self._clock = clock
        self.trouble: RegistryError | None = None  # the last question's, where it had no answer
        self._known: OrderedDict[int, tuple[Callable[[bytes], E], float]] = OrderedDict()  # until when
        self._doubted: tuple[int, float] | None = None  # an id, and when it was first said to be unknown
        self._no_doubt_before = 0.0
        self._question: _Question[E] | None = None
        self._not_before = 0.0
        self._failures = 0

    def ready(self, values: Iterable[bytes | None]) -> int:
        """How many of the first values can be read now. For the next one, its schema is asked for."""
        self._take_answer()
        ready = 0
        for value in values:
            schema_id = schema_id_of(value)
            if schema_id is not None and 0 <= schema_id <= LARGEST_ID and not self._knows(schema_id):
                self._ask(schema_id)
                break
            ready += 1
        return ready

    def wait(self, at_most_s: float) -> None:
        """Wait until an answer has come, or the next question may be asked; `at_most_s` at most."""
        if self._question is not None:
            self._question.done.wait(at_most_s)
        else:
            time.sleep(max(0.0, min(at_most_s, self._not_before - self._clock())))

    def read(self, value: bytes) -> E:
        """Read a framed value that `ready` counted. Raises RecordError."""
        schema_id = schema_id_of(value)
        if schema_id is None or schema_id < 0:
            raise RecordError(
                "unreadable_record", "ends within the frame that a schema registry's values have"
            )
        if schema_id > LARGEST_ID:
            refusing(schema_id, "is not there")(value)
        return self._known[schema_id][0](value)

    def _knows(self, schema_id: int) -> bool:
        found = self._known.get(schema_id)
        if found is None or found[1] <= self._clock():
            return False
        self._known.move_to_end(schema_id)
        return True

    def _ask(self, schema_id: int) -> None:
        if self._question is None and self._clock() >= self._not_before:
            self._question = _Question(self._registry, schema_id, self._reader_of)

    def _take_answer(self) -> None:
        question = self._question
        if question is None or not question.done.is_set():
            return
        self._question, found = None, question.found
        if isinstance(found, RegistryError):
            self._failed(found)
            return
        if self._failures:
            log.info("schema_registry_answers", after_failures=self._failures)
        self._failures, self._not_before, self.trouble = 0, self._clock() + PAUSE_S, None
        self._metrics.count("mimamori_schema_requests_total", outcome="unknown" if found is None else "found")
        if found is None and self._doubts(question.schema_id):
            self._not_before = self._clock() + DOUBT_PAUSE_S
            return
        until = float("inf")
        if found is None:
            found, until = refusing(question.schema_id, "is not there"), self._clock() + UNKNOWN_FOR_S
        self._known[question.schema_id] = found, until
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    def _doubts(self, schema_id: int) -> bool:
        """Whether "there is none" is not believed yet. What was believed once is believed again at once."""
        now = self._clock()
        if self._doubted is not None and self._doubted[0] == schema_id:
            return now < self._doubted[1] + DOUBT_FOR_S
        if schema_id in self._known or now < self._no_doubt_before:
            return False
        self._doubted, self._no_doubt_before = (schema_id, now), now + DOUBT_EVERY_S
        return True

    def _failed(self, error: RegistryError) -> None:
        self.trouble = error
        first, longest = BACKOFF_S
        self._failures += 1
        self._not_before = self._clock() + min(longest, first * 2 ** min(self._failures - 1, 16))
        self._metrics.count("mimamori_schema_requests_total", outcome="failed")
        log.warning("schema_registry_away", error=str(error), failures=self._failures, records="wait")


class KnownSchemas(SchemasOf[Message]):
    """Reads framed messages: in a worker, used by the thread that polls."""

    def __init__(
        self, registry: Registry, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(registry, metrics, reader_of, clock)
