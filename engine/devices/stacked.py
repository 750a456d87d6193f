"""Two graphs of a cascade as one device: the second goes on from the hidden states that the first gives."""

from collections.abc import Sequence

from engine.device_names import DeviceName, Precision
from engine.devices.device import Device, Floats, Ids, Part, States


class StackedDevice:
    """A Device that reads to the full depth at once, and in two steps for who decides in between."""

    def __init__(self, first: Part, second: Part) -> None:
        """Both run on one device in one precision, with the same prefix bound."""
        self.name: DeviceName = first.name
        self.precision: Precision = first.precision
        self.threads = first.threads
        self.run_cost = first.run_cost
        self.keeps_tokens = second.keeps_tokens
        self._first = first
        self._second = second

    @property
    def shallow(self) -> Device:
        """The first graph alone."""
        return self._first

    def run(self, input_ids: Ids, lengths: Ids) -> Floats:
        """See Device.run: the output at the full depth."""
        _, states = self._first.begin(input_ids, lengths)
        return self._second.resume(states, input_ids, lengths)

    def begin(self, input_ids: Ids, lengths: Ids) -> tuple[Floats, States]:
        """The output at the shallow depth, and the hidden states to go on from."""
        return self._first.begin(input_ids, lengths)

    def resume(self, states: States, input_ids: Ids, lengths: Ids) -> Floats:
        """The output at the full depth, of rows whose hidden states are those of `begin`."""
        return self._second.resume(states, input_ids, lengths)

    def tokens(self, rows: Sequence[int]) -> Floats:
        """See Device.tokens: of the last run, or of the last rows that went on."""
        return self._second.tokens(rows)

    def settle(self) -> None:
        """See Device.settle."""
        self._first.settle()
        self._second.settle()
