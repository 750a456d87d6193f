"""Reads framed events for a command, which has nothing else to do while the registry is asked."""

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from schemas.events import Event, Message
from worker.registry.client import RegistryClient
from worker.registry.known import KnownSchemas, SchemasOf
from worker.registry.writers import require_avro
from worker.settings import Settings
from worker.telemetry.metrics import Metrics

E = TypeVar("E", bound=Event)

LONGEST_S: Final = 30.0  # without an answer, before a command gives up
_AT_ONCE_S: Final = 0.5


class Awaited(Generic[E]):
    """Waits for each schema that is not known yet. Used by one thread."""

    def __init__(self, known: SchemasOf[E], longest_s: float = LONGEST_S) -> None:
        self._known = known
        self._longest_s = longest_s

    def read(self, value: bytes) -> E:
        """Read a framed value. Raises RecordError: it cannot be read, as a worker would say.

        RegistryError: the registry refuses the command, or has not answered in time.
        """
        if not self._known.ready((value,)):
            self._await(value)
        return self._known.read(value)

    def _await(self, value: bytes) -> None:
        deadline = time.monotonic() + self._longest_s
        while not self._known.ready((value,)):
            trouble = self._known.trouble
            if trouble is not None and (trouble.refused or time.monotonic() >= deadline):
                raise trouble
            self._known.wait(_AT_ONCE_S)


def message_reader(settings: Settings) -> Callable[[bytes], Message] | None:
    """What reads framed messages for a command, as workers of these settings do; None without a registry.

    It raises what `Awaited.read` does. Raises MissingExtraError.
    """
    if not settings.schema_registry_url:
        return None
    require_avro()
    return Awaited(KnownSchemas(RegistryClient(settings), Metrics())).read
