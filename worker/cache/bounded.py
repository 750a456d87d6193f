"""Calls that may hang, made on a thread of their own, and waited for no longer than a deadline.

A socket's timeout bounds each read, not a call of many reads, nor the look-up of a host name, nor the search
for a cluster's nodes one after the other. Whoever must never wait longer asks here.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Bounded:
    """Makes one call after the other, each begun only while somebody still waits for it."""

    def __init__(self, name: str) -> None:
        """`name`: the thread's. It starts with the first call, and ends with the process."""
        self._name = name
        self._thread: threading.Thread | None = None
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()

    def call(self, work: Callable[[], Answer], timeout_s: float) -> Answer:
        """Return what `work` returns, raise what it raises. Used by one thread.

        Raises TimeoutError where it takes longer, or one given up earlier still runs: its end is not awaited.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        future: Future[Answer] = Future()
        self._calls.put((future, work))
        try:
            return future.result(timeout_s)
        finally:
            future.cancel()  # has an effect only where it has not begun

    def _run(self) -> None:
        while True:
            future, work = self._calls.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
                future.set_exception(error)
            del future, work  # or the last call's values live until the next
