"""CTranslate2 in int8, with the prefix as a static prompt whose state it caches."""

from itertools import groupby
from pathlib import Path

import ctranslate2
from transformers import AutoTokenizer

from bench.peers import Rows
from bench.peers.convert import kept, safetensors_folder
from bench.peers.spec import Spec


def prepare(spec: Spec) -> None:
    """Convert with the library's own converter."""
    source = safetensors_folder(Path(spec.gguf), spec.folder)

    def convert(out: Path) -> None:
        ctranslate2.converters.TransformersConverter(str(source)).convert(str(out), quantization="int8")

    kept(spec.folder / "ctranslate2", convert)


class Peer:
    """Runs batches of rows of one length: with mixed lengths it feeds the longer rows token by token."""

    def __init__(self, spec: Spec) -> None:
        self._generator = ctranslate2.Generator(
            str(spec.folder / "ctranslate2"),
            compute_type="int8",
            inter_threads=1,
            intra_threads=spec.threads,
        )
        tokenizer = AutoTokenizer.from_pretrained(spec.folder / "transformers")
        self._spell = tokenizer.convert_ids_to_tokens
        self._prefix = self._spell(spec.prefix)
        self._labels = spec.labels
        self.runs = f"int8, {spec.threads} threads"

    def read(self, rows: Rows) -> list[float | None]:
        """Score the generated token: +1 for the answer of at_risk, -1 for that of clear, None for another."""
        signs = {self._labels[0]: -1.0, self._labels[1]: 1.0}
        answers: list[float | None] = [None] * len(rows)
        for _, group in groupby(sorted(range(len(rows)), key=lambda i: len(rows[i])), lambda i: len(rows[i])):
            indices = list(group)
            results = self._generator.generate_batch(
                [self._spell(rows[index]) for index in indices],
                static_prompt=self._prefix,
                max_batch_size=16,
                max_length=1,
                include_prompt_in_result=False,
            )
            for index, result in zip(indices, results, strict=True):
                answers[index] = signs.get((result.sequences_ids[0] or [-1])[0])
        return answers
