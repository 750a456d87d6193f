"""Makes calls that may hang on a separate thread, and waits for them no longer than a deadline.

A socket's timeout limits each read, but not a call with many reads, the look-up of a host name, or the search
for a cluster's nodes one after the other. A caller that must not wait for those uses this.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Bounded:
    """Makes one call after the other, and begins none that nobody waits for any more."""

    def __init__(self, name: str) -> None:
        """`name` is the thread's name. The thread starts with the first call, and ends with the process."""
        self._name = name
        self._thread: threading.Thread | None = None
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()

    def call(self, work: Callable[[], Answer], timeout_s: float) -> Answer:
        """Return what `work` returns, raise what it raises. Used by one thread.

        Raises TimeoutError where it takes longer, or where a call given up earlier still runs. That call goes
        on.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        future: Future[Answer] = Future()
        self._calls.put((future, work))
        try:
            return future.result(timeout_s)
        finally:
            future.cancel()  # this has an effect only where the call has not begun

    def _run(self) -> None:
        while True:
            future, work = self._calls.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again in the caller
                future.set_exception(error)
            del future, work  # otherwise the last call's values would stay in memory until the next
