"""Asks an endpoint many questions, as many at once as its limits allow, and none twice."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.task import RiskStage
from export.baselines.endpoint.address import Address, Key
from export.baselines.endpoint.answer import Reply, risk_of
from export.baselines.endpoint.cost import Bill, Prices, tokens_of
from export.baselines.endpoint.line import Line, NoReplyError, Patience, RefusedRequestError, opened
from export.baselines.endpoint.pace import Limits, Pace
from export.baselines.endpoint.question import Dialect, Question
from export.errors import EndpointError

Count = Callable[[int], None]

# So many texts in a row without a reply: then it is the endpoint, not the texts.
_SILENT: Final = 3
# An object around the answer, written over several lines as llama.cpp does, takes 22 tokens with it.
_JSON_TOKENS: Final = 48
_ABOUT_THE_TEXT: Final = {
    "content_filter",
    "content_policy_violation",
    "context_length_exceeded",
    "string_above_max_length",
}


class Asking(msgspec.Struct, frozen=True):
    """How an endpoint is asked.

    `answer_tokens` is the longest answer, thoughts of a reasoning model included. `logprobs` asks for graded
    risks; `structured` has the server allow nothing but the two answers. Both are given up where they are
    refused.
    """

    answer_tokens: int = 16
    logprobs: bool = True
    structured: bool = False
    limits: Limits = Limits()
    patience: Patience = Patience()
    prices: Prices = Prices()

    @property
    def room(self) -> int:
        """The tokens that a reply may have."""
        return self.answer_tokens + (_JSON_TOKENS if self.structured else 0)


class Endpoint:
    """A model at an address. The same question is never paid twice."""

    def __init__(
        self,
        address: Address,
        model: str,
        risk: RiskStage,
        key: Key | None = None,
        asking: Asking = Asking(),  # noqa: B008 - immutable
        tell: Callable[[str], None] = lambda _: None,
        seed: int = 0,
    ) -> None:
        """`tell` gets a line before anything is sent, with the estimated cost, and remarks on what came back.

        `address` exists only where its host was agreed to (`address_of`).
        """
        self.name = f"{model} at {address.place}"
        self.bill = Bill(asking.prices)
        self.messages_per_second: float | None = None
        self.answered_by: set[str] = set()
        self._address, self._model, self._risk_stage, self._key = address, model, risk, key
        self._asking, self._tell = asking, tell
        self._dialect = Dialect(
            risk, asking.room, logprobs=asking.logprobs, structured=asking.structured, seed=seed
        )
        self._known: dict[bytes, float] = {}
        self._announced: dict[bytes, int] = {}
        self._silent = 0

    def announce(self, questions: Iterable[Question]) -> None:
        """Tell how much is to be sent and what it may cost: of these questions, those that are new.

        Raises EndpointError: it may cost more than the limit.
        """
        sizes = {
            name: tokens_of(each)
            for each in questions
            if (name := _name(each)) not in self._known and name not in self._announced
        }
        if sizes:
            waiting = [size for name, size in self._announced.items() if name not in self._known]
            tokens = self._asking.room
            self._tell(self.bill.announce(self.name, list(sizes.values()), waiting, tokens))
            self._announced |= sizes

    def risks(self, questions: Sequence[Question], count: Count) -> NDArray[np.float64]:
        """The risk [N] of each question, NaN where there is no answer. Works inside an event loop, too.

        Raises EndpointError: the endpoint cannot be used, or would cost more than the limit.
        """
        self.announce(questions)
        names = [_name(each) for each in questions]
        new = {name: each for name, each in zip(names, questions, strict=True) if name not in self._known}
        count(len(questions) - len(new))
        if new:
            began = time.perf_counter()
            _run(self._ask_all(new, max(map(tokens_of, new.values())), count))
            self.messages_per_second = len(new) / max(time.perf_counter() - began, 1e-9)
        return np.array([self._known[name] for name in names], np.float64)

    async def _ask_all(self, new: dict[bytes, Question], largest: int, count: Count) -> None:
        asking = self._asking
        largest += asking.room
        pace, waiting = Pace(asking.limits, largest), iter(new.items())
        async with opened(self._address, self._key, pace, asking.patience, asking.limits.at_once) as line:
            # One at a time, until a reply shows that the endpoint can be asked, and with what parameters.
            while not self.bill.requests and (first := next(waiting, None)) is not None:
                await self._ask_some(line, iter([first]), count)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(asking.limits.at_once):
                        group.create_task(self._ask_some(line, waiting, count))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None

    async def _ask_some(self, line: Line, waiting: Iterator[tuple[bytes, Question]], count: Count) -> None:
        for name, asked in waiting:
            self._known[name] = await self._risk(line, asked)
            count(1)

    async def _risk(self, line: Line, asked: Question) -> float:
        estimate = tokens_of(asked)
        while True:
            body = self._dialect.body(self._model, asked)
            try:
                reply = await line.ask(body, estimate + self._asking.room)
            except RefusedRequestError as error:
                if error.code in _ABOUT_THE_TEXT or error.status == 413:  # noqa: PLR2004 - too large
                    return math.nan
                if self.bill.requests or not self._dialect.without(error.parameter):
                    return self._unanswered(str(error))
            except NoReplyError as error:
                return self._unanswered(str(error))
            else:
                self._silent = 0
                self.bill.add(reply.usage, estimate, self._asking.room)
                self._note_model(reply)
                return risk_of(reply, self._risk_stage)

    def _unanswered(self, what: str) -> float:
        """NaN for one text. Raises EndpointError: there has been no reply for several texts, or ever."""
        self._silent += 1
        if self._silent >= _SILENT or not self.bill.requests:
            row = f", for {self._silent} texts in a row" if self._silent > 1 else ""
            raise EndpointError(f"{self._address.place} {what}{row}: nothing more was sent")
        return math.nan

    def _note_model(self, reply: Reply) -> None:
        named = "".join(c for c in (reply.model or "")[:100] if c.isprintable())
        if named and named not in self.answered_by:
            self.answered_by.add(named)
            if not named.startswith(self._model):
                self._tell(f"{self._address.place} was asked for {self._model}, and {named} answered")


def _name(question: Question) -> bytes:
    return sha256(msgspec.json.encode(question)).digest()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` in an event loop: in another thread where this one has a loop already, as a notebook's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()
