"""Asks workers on hosts of their own whether they are ready, as a kubelet does, and keeps when not."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Final, Self

EVERY_S: Final = 0.25
ANSWER_S: Final = 1.0


class Probes:
    """Asks on a thread of its own. `places` has the `host:port` of each slot's worker. A context manager."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places
        self._unready: dict[str, list[float]] = {}  # monotonic seconds, by slot
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="probes", daemon=True)

    def first_unready(self, slot: str, since: float) -> float | None:
        """When the worker of a slot first said that it is not ready, in monotonic seconds; None: never."""
        return next((at for at in self._unready.get(slot, []) if at >= since), None)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._closed.wait(EVERY_S):
            for slot, place in list(self._places.items()):
                if _is_unready(place):
                    self._unready.setdefault(slot, []).append(time.monotonic())


def _is_unready(place: str) -> bool:
    """Whether it answers that it is not; one that does not answer, as it starts or is stopped, does not."""
    try:
        urllib.request.urlopen(f"http://{place}/readyz", timeout=ANSWER_S).close()
    except urllib.error.HTTPError as answer:
        answer.close()
        return answer.code == 503  # noqa: PLR2004 - the probe's own
    except OSError:
        return False
    return False
