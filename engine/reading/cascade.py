"""The cascade: a shallow reading clears what its bound allows, and the rest is read on from where it stopped.

    texts ──► rows ──► shallow depth ──► risk of every window below `stop`? ──yes──► the shallow scores
                                                     │ no
                                             hidden states wait ──► batches by tokens ──► full depth

A message goes on as a whole. It stops only if it was read to its end and all its windows are below `stop`;
not-a-number is not, and goes on. What goes on has the score that the full depth gives it, as if it were read
there at once. The rows that go on are packed anew, since they are few and of any length; so their hidden
states wait until there are enough for full runs, or no more messages.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from engine.bundle import Heads
from engine.devices.device import Floats, States
from engine.devices.stacked import StackedDevice
from engine.errors import BundleError
from engine.identity import ScoreIdentity
from engine.odds import restated
from engine.reading.cutting import Span, Tokens
from engine.reading.engines import PooledEngine, apply_heads, floats, highest
from engine.reading.highlights import Highlighter
from engine.reading.packing import pack
from engine.reading.reader import Reader, answering, padded
from engine.scores import Scores

_RUNS: Final = 4  # of the device's size: so many tokens are read, or wait, at a time; bounds the memory


class _Row(NamedTuple):
    """A window whose message goes on, with what the shallow depth left of it: [tokens, hidden]."""

    tokens: Tokens
    states: States


class _Waiting(NamedTuple):
    """A message that goes on, its place among the texts, and its windows."""

    place: int
    truncated: bool
    rows: list[_Row]


class CascadeEngine(PooledEngine):
    """Reads as the module's docstring says. `heads` are those of the full depth."""

    def __init__(
        self,
        identity: ScoreIdentity,
        heads: Heads,
        shallow: Heads,
        reader: Reader,
        device: StackedDevice,
        highlighter: Highlighter | None = None,
    ) -> None:
        """`device` is the one of `reader`. Only what goes on has highlights.

        Raises BundleError: the identity is not that of a cascade.
        """
        if identity.cascade is None:
            raise BundleError("a cascade's scores have no identity without its depths: adapt it again")
        super().__init__(identity, heads, reader, highlighter, identity.cascade.full)
        self._cascade = identity.cascade
        self._shallow = shallow
        self._stacked = device
        self._held = _RUNS * reader.device_tokens

    def read(self, texts: Sequence[str]) -> list[Scores]:
        """See Engine.read."""
        rows = self._cutter.cut(texts)
        scores: dict[int, Scores] = {}
        waiting: list[_Waiting] = []
        for first, last in self._portions(rows.tokens, rows.spans):
            waiting += self._shallowly(rows.tokens, rows.spans, range(first, last), scores)
            if sum(len(row.tokens) for message in waiting for row in message.rows) >= self._held:
                self._deeply(texts, waiting, scores)
                waiting = []
        self._deeply(texts, waiting, scores)
        return [scores[place] for place in range(len(rows.spans))]

    def describe(self) -> str:
        """See Engine.describe."""
        return f"{super().describe()}, {self._cascade}"

    def _portions(self, rows: Sequence[Tokens], spans: Sequence[Span]) -> Iterator[tuple[int, int]]:
        """Cut the messages into runs of neighbours [first, last) with about as many tokens as may be held."""
        first = tokens = 0
        for place, span in enumerate(spans):
            tokens += sum(map(len, rows[span.start : span.stop]))
            if tokens >= self._held:
                yield first, place + 1
                first, tokens = place + 1, 0
        if first < len(spans):
            yield first, len(spans)

    def _shallowly(
        self, rows: Sequence[Tokens], spans: Sequence[Span], places: range, scores: dict[int, Scores]
    ) -> list[_Waiting]:
        """Read the messages at `places` at the shallow depth: score those that stop, return the others."""
        start, stop = spans[places.start].start, spans[places.stop - 1].stop
        vectors, states = self._begin(rows[start:stop])
        risks, severities = apply_heads(self._shallow, vectors)
        told = restated(risks, self._odds)  # where messages stop is said of risks as the heads give them
        here = [Span(spans[p].start - start, spans[p].stop - start, spans[p].truncated) for p in places]
        waiting = []
        for place, (span, row) in zip(places, highest(here, risks), strict=True):
            windows = range(span.start, span.stop)
            if risks[row] < self._cascade.stop and not span.truncated:  # the highest; not-a-number goes on
                scores[place] = Scores(
                    float(told[row]),
                    floats(severities[row]),
                    len(windows),
                    span.truncated,
                    depth=self._cascade.depth,
                )
            else:
                left = [_Row(rows[start + w], states[w].copy()) for w in windows]
                waiting.append(_Waiting(place, span.truncated, left))
        return waiting

    def _begin(self, rows: Sequence[Tokens]) -> tuple[Floats, list[States]]:
        """The shallow vectors of rows, in order, and each row's hidden states: views of those of its run."""
        vectors: Floats | None = None
        states: list[States] = [np.empty(0)] * len(rows)
        for group in self._groups(rows):
            output, left = self._stacked.begin(*padded([rows[index] for index in group]))
            if vectors is None:
                vectors = np.empty((len(rows), *output.shape[1:]), np.float32)
            vectors[group] = answering(group, output)
            for line, index in enumerate(group):
                states[index] = left[line, : len(rows[index])]
        return np.empty((0, 0), np.float32) if vectors is None else vectors, states

    def _deeply(self, texts: Sequence[str], waiting: Sequence[_Waiting], scores: dict[int, Scores]) -> None:
        """Read messages on to the full depth and score them."""
        rows = [row for message in waiting for row in message.rows]
        spans: list[Span] = []
        for message in waiting:
            start = spans[-1].stop if spans else 0
            spans.append(Span(start, start + len(message.rows), message.truncated))
        if not rows:
            return
        tokens = [row.tokens for row in rows]
        watch = None if self._highlighter is None else self._highlighter.watch(tokens)
        vectors: Floats | None = None
        for group in self._groups(tokens):
            ids, lengths = padded([tokens[index] for index in group])
            left = rows[group[0]].states
            states = np.zeros((*ids.shape, left.shape[-1]), left.dtype)
            for line, index in zip(states, group, strict=True):
                line[: len(rows[index].states)] = rows[index].states
            output = answering(group, self._stacked.resume(states, ids, lengths))
            if vectors is None:
                vectors = np.empty((len(rows), *output.shape[1:]), np.float32)
            vectors[group] = output
            if watch is not None:
                watch.note(group, self._scored(output)[0])
        if vectors is not None:
            places = [each.place for each in waiting]
            read = self._scores([texts[place] for place in places], vectors, spans, watch)
            scores |= zip(places, read, strict=True)

    def _groups(self, rows: Sequence[Tokens]) -> list[list[int]]:
        return pack(list(map(len, rows)), self._reader.device_tokens, self._stacked.run_cost)
