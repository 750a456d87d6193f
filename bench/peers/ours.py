"""This repository's engine on device auto, opened and proven as the worker does."""

from pathlib import Path

import msgspec

from bench.peers import Rows
from bench.peers.spec import Spec
from engine.bundle import Bundle
from engine.device_names import Output, PrecisionChoice
from engine.load import open_reader
from engine.proof import prove


class Peer:
    """A reader whose prefix is the task's, with the shots after it."""

    precision: PrecisionChoice = "auto"

    def __init__(self, spec: Spec) -> None:
        opened = bundle = Bundle.load(Path(spec.bundle))
        prompt = msgspec.structs.replace(bundle.manifest.prompt, prefix=spec.prompt)
        manifest = msgspec.structs.replace(bundle.manifest, prompt=prompt)
        bundle = msgspec.structs.replace(bundle, manifest=manifest)
        self._prompted = spec.reading == "prompted"
        output: Output = "label_logits" if self._prompted else "pooled"
        self._reader = open_reader(bundle, output, precision=self.precision, threads=spec.threads)
        if spec.prompt == opened.manifest.prompt.prefix:  # the bundle was proven with this prompt only
            prove(self._reader, bundle, output)
        if self._reader.prompt.prefix != spec.prefix:
            raise ValueError("the prefix as one text gives other tokens than its parts")
        device = self._reader.device
        self._settled = False
        self.runs = f"{device.name} {device.precision}, {device.threads} threads, {manifest.form} attention"

    def read(self, rows: Rows) -> list[float | None]:
        """Return label logits, or None for pooled vectors, which are not an answer yet."""
        values = self._reader.rows(rows)
        if not self._settled:  # as the worker does after its warm-up
            self._reader.device.settle()
            self._settled = True
        if not self._prompted:
            return [None] * len(rows)
        return [float(margin) for margin in values[:, 1] - values[:, 0]]
