"""Runs rows of tokens on a device: packs and pads them, and returns the output in the original order."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from tokenizers import Encoding, Tokenizer

from engine.bundle import TOKENIZER, Prompt
from engine.devices.device import Device, Floats, Ids
from engine.errors import BundleError, DeviceError
from engine.identity import MAX_MESSAGE_TOKENS, Windowing
from engine.reading.cutting import Cutter
from engine.reading.packing import pack


class PromptTokens(NamedTuple):
    """The prompt's parts: the prefix comes before each row, and a stage's suffix after each of its rows."""

    prefix: list[int]
    risk_suffix: list[int]
    severity_suffix: list[int]

    @property
    def blank(self) -> int:
        """The token that runs where there is nothing to read."""
        return self.prefix[-1] if self.prefix else 0


class Reader:
    """A tokenizer and a device that has the prefix bound or gets it in each row. Not thread-safe.

    `lead` is what goes before each row: the prefix where it is not bound.
    """

    def __init__(
        self, device: Device, tokenizer: Tokenizer, prompt: PromptTokens, device_tokens: int, *, bound: bool
    ) -> None:
        """`device_tokens` bounds rows x padded length of a run, including a prefix in each row."""
        self.device = device
        self.prompt = prompt
        self.bound = bound
        self.lead: list[int] = [] if bound else prompt.prefix
        # A message that spells out the template's markers must not be able to end its own turn.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.device_tokens = device_tokens

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each message, without special tokens; none where there is nothing to read."""
        return [encoding.ids for encoding in self._encode(self._tokenizer.encode_batch_fast, texts)]

    def places(self, text: str) -> list[tuple[int, int]]:
        """From and to which code point of `text` each of its tokens stands."""
        (encoding,) = self._encode(self._tokenizer.encode_batch, [text])
        return list(encoding.offsets)

    def _encode(self, encode: Callable[..., list[Encoding]], texts: Sequence[str]) -> list[Encoding]:
        try:
            return encode(list(texts), add_special_tokens=False)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # a panic in Rust is no Exception
                raise
            raise DeviceError("the tokenizer's pattern takes too long on a text: use another model") from None

    def on(self, device: Device) -> Self:
        """A reader of the same texts on another device, which has the same prefix."""
        return type(self)(device, self._tokenizer, self.prompt, self.device_tokens, bound=self.bound)

    def cutter(self, windowing: Windowing, most: int = MAX_MESSAGE_TOKENS) -> Cutter:
        """Make the object that cuts messages into rows for this reader. Every caller cuts with it."""
        return Cutter(self.tokenise, windowing, most, self.prompt.blank)

    def rows(
        self,
        rows: Sequence[Sequence[int]],
        progress: Callable[[int], None] | None = None,
        note: Callable[[Sequence[int], Floats], None] | None = None,
    ) -> Floats:
        """Return the device's output for each row of tokens, in order: [N, …]. No row may be empty.

        After each run, `progress` gets the number of its rows, and `note` their indices and output: only
        then does the device still have the states of the run's tokens.
        """
        lengths = [len(self.lead) + len(row) for row in rows]
        answers: Floats | None = None
        for group in pack(lengths, self.device_tokens, self.device.run_cost):
            output = self.together([rows[index] for index in group])
            if answers is None:
                answers = np.empty((len(rows), *output.shape[1:]), np.float32)
            answers[group] = output
            if note is not None:
                note(group, output)
            if progress is not None:
                progress(len(group))
        return np.empty((0, 0), np.float32) if answers is None else answers

    def together(self, rows: Sequence[Sequence[int]]) -> Floats:
        """Return the output for rows that run as one batch, padded to the longest, whatever its size."""
        if self.lead:
            rows = [[*self.lead, *row] for row in rows]
        return answering(rows, self.device.run(*padded(rows)))


def padded(rows: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
    """Return rows as ids [B, L], padded on the right, and their lengths [B]."""
    lengths = np.array([len(row) for row in rows], np.int64)
    # Any id serves as padding, because attention is causal or masks what is beyond `lengths`.
    ids = np.zeros((len(rows), int(lengths.max())), np.int64)
    for line, row in zip(ids, rows, strict=True):
        line[: len(row)] = row
    return ids, lengths


def answering(rows: Sequence[object], output: Floats) -> Floats:
    """Return `output`. Raises BundleError: it does not have a line for each of the rows."""
    if len(output) != len(rows):
        raise BundleError(f"the graph answered {len(rows)} rows with {len(output)}: export it again")
    return output


def load_tokenizer(bundle: Path) -> Tokenizer:
    """Read tokenizer.json, with its own truncation and padding off: both are done here."""
    try:
        tokenizer = Tokenizer.from_file(str(bundle / TOKENIZER))
    except Exception as error:  # noqa: BLE001 - tokenizers raises Exception itself
        raise BundleError(f"cannot read {bundle / TOKENIZER}: {error}; export or build it again") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenise_prompt(tokenizer: Tokenizer, prompt: Prompt) -> PromptTokens:
    """The prompt's strings as tokens, each separately; the chat template's markers become special tokens."""
    tokenizer.encode_special_tokens = False
    texts = (prompt.prefix, prompt.risk_suffix, prompt.severity_suffix)
    return PromptTokens(*(tokenizer.encode(text, add_special_tokens=False).ids for text in texts))
