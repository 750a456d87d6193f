"""Makes what every engine reads: the same messages after the same prefix, as the same tokens.

Real messages are joined until they have the length that the published figures used: 40 to 60 tokens with the
suffix. Shots are the task's shipped examples, put into the prompt as `mimamori export --shots` does.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from bench.peers.spec import Spec
from engine.bundle import Bundle, Prompt
from engine.reading.reader import load_tokenizer, tokenise_prompt
from engine.task import SHIPPED, Task
from export.examples import LabelledExample

SHORTEST, LONGEST = 40, 60  # tokens of a row: message and suffix


class Workload:
    """The messages and prefixes of one bundle, as tokens."""

    def __init__(self, bundle: Bundle, texts: Sequence[str], count: int, rounds: int) -> None:
        """For each round, `count` messages are made of `texts`. The same arguments give the same messages."""
        self.manifest = bundle.manifest
        self._tokenizer = load_tokenizer(bundle.path)
        prompt = tokenise_prompt(self._tokenizer, bundle.manifest.prompt)
        self.suffix = prompt.risk_suffix
        # One more round, to warm up with.
        self.messages = join(self._tokenizer, texts, count, rounds + 1, len(self.suffix))

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each message without the suffix, which is the same in every round."""
        return [len(message) for message in self.messages[0]]

    @property
    def rows(self) -> list[list[list[int]]]:
        """The tokens of each message and suffix, by round."""
        return [[[*message, *self.suffix] for message in messages] for messages in self.messages]

    @property
    def labels(self) -> tuple[int, int]:
        """The tokens of the answers clear and at_risk."""
        by_name = {label.name: label.token_id for label in self.manifest.labels if label.stage == "risk"}
        return by_name["clear"], by_name["at_risk"]

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of whole messages, in which markers of the chat template are plain text."""
        self._tokenizer.encode_special_tokens = True
        return [
            encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ]

    def tokens(self, text: str) -> list[int]:
        """Tokens of a part of the prompt, in which markers of the chat template are special tokens."""
        self._tokenizer.encode_special_tokens = False
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def spec(self, bundle: Bundle, gguf: Path, work: Path, threads: int) -> Spec:
        """A prompted engine's job. Its prompt, shots included, is that of `bundle`."""
        text = bundle.manifest.prompt.prefix
        prefix = self.tokens(text)
        risk = self.manifest.task.risk
        return Spec(
            bundle=str(bundle.path),
            gguf=str(gguf),
            work=str(work),
            prompt=text,
            prefix=prefix,
            rounds=self.rows,
            labels=self.labels,
            answers=(risk.clear, risk.at_risk),
            threads=threads,
        )


def with_shots(prompt: Prompt, task: Task, examples: Sequence[LabelledExample]) -> str:
    """The prefix, followed by each example as an answered turn.

    Raises ValueError: the template's turns do not end with `<|im_end|>` (only such models are measured).
    """
    end = "<|im_end|>\n"
    head, found, opening = prompt.prefix.rpartition(end)
    if examples and not found:
        raise ValueError("shots are written for templates with <|im_end|> only")
    answers = {True: task.risk.at_risk, False: task.risk.clear}
    turns = (
        opening + _plain(example.text) + prompt.risk_suffix + answers[example.at_risk] + end
        for example in examples
    )
    return head + found + "".join(turns) + opening


def join(
    tokenizer: Tokenizer, texts: Sequence[str], count: int, rounds: int, suffix: int
) -> list[list[list[int]]]:
    """For each round, `count` messages of SHORTEST..LONGEST tokens with the suffix, joined from texts.

    Every round has the same lengths but other words, since an engine with a prefix cache would only look up a
    row that it has read before.
    """
    chance = random.Random(0)
    tokenizer.encode_special_tokens = True  # a message must not contain the template's markers
    pieces = [tokenizer.encode(text.strip() + " ", add_special_tokens=False).ids for text in texts]
    lengths = [chance.randint(SHORTEST, LONGEST) - suffix for _ in range(count)]
    waiting: list[list[int]] = []
    made = []
    for _ in range(rounds):
        messages = []
        for wanted in lengths:
            message: list[int] = []
            while len(message) < wanted:
                if not waiting:
                    waiting = chance.sample(pieces, len(pieces))
                message += waiting.pop()
            messages.append(message[:wanted])
        made.append(messages)
    return made


def read_texts(path: Path | None) -> list[str]:
    """The texts of a JSONL file, or, without one, of our own examples and demo conversations."""
    paths = [path] if path else sorted(SHIPPED.glob("*.jsonl"))
    lines = [line for file in paths for line in file.read_text().splitlines() if line.strip()]
    texts = [str(json.loads(line)["text"]) for line in lines]
    if not any(texts):
        raise ValueError(f"{path} holds no text")
    return [text for text in texts if text.strip()]


def pooled_spec(spec: Spec, bundle: Bundle, messages: list[list[list[int]]]) -> Spec:
    """The job of the pooled reading: the same messages without the suffix, after the instruction alone."""
    prompt = bundle.manifest.prompt
    prefix = tokenise_prompt(load_tokenizer(bundle.path), prompt).prefix
    return replace(
        spec,
        bundle=str(bundle.path),
        prompt=prompt.prefix,
        prefix=prefix,
        rounds=messages,
        reading="pooled",
    )


def _plain(text: str) -> str:
    """A shot must not be able to end its own turn."""
    return text.strip().replace("<|", "< |")
