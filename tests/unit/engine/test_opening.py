"""Bundles with one graph are opened as one: once in memory, and each scores as if it were alone."""

from unittest import mock

import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs

from engine.bundle import Bundle, Prompt
from engine.contract import Engine
from engine.device_names import DeviceName
from engine.devices import onnxruntime, openvino
from engine.devices.choice import Choice
from engine.devices.device import Prefix
from engine.devices.opening import Wanted
from engine.load import load_engine, load_engines
from tests.fakes.tiny_bundle import MARKER, PROMPT, write_tiny_bundle

TEXTS = ["a quiet evening", "no", "I have not slept for days, and nobody calls any more " * 3]
OTHER = Prompt(f"Read the message twice, and slowly.{MARKER}\n", PROMPT.risk_suffix, PROMPT.severity_suffix)
DEVICES: list[DeviceName] = ["cpu", "openvino"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Two bundles of one graph with other prefixes, and one of another graph."""
    folder = tmp_path_factory.mktemp("tiny")
    return [
        write_tiny_bundle(folder / "one"),
        write_tiny_bundle(folder / "other", prompt=OTHER),
        write_tiny_bundle(folder / "grown", seed=1),
    ]


def load(bundles: list[Bundle], device: DeviceName) -> list[Engine]:
    nowhere = [None] * len(bundles)
    return load_engines(bundles, device=device, precision="fp32", highlights_from=nowhere)


@pytest.mark.parametrize("device", DEVICES)
def test_each_scores_as_if_it_were_alone_in_whatever_turns(bundles: list[Bundle], device: DeviceName) -> None:
    alone = [load_engine(bundle, device=device, precision="fp32") for bundle in bundles]
    shared = load(bundles, device)
    for _ in range(2):
        for texts in (TEXTS, TEXTS[1:2], TEXTS[::-1]):
            assert [engine.read(texts) for engine in shared] == [engine.read(texts) for engine in alone]
    first, second, third = (engine.read(TEXTS) for engine in shared)
    assert first != second != third


@pytest.mark.parametrize("device", DEVICES)
def test_a_graph_is_opened_once_for_all_bundles_that_have_it(
    bundles: list[Bundle], device: DeviceName
) -> None:
    library, name = (openvino, "_compile") if device == "openvino" else (onnxruntime, "_open")
    with (
        mock.patch.object(library, name, side_effect=getattr(library, name)) as opened,
        capture_logs() as log,
    ):
        load(bundles, device)
    graphs = [line["for_bundles"] for line in log if line["event"] == "graph_opened"]
    one, other, grown = (bundle.fingerprint[:12] for bundle in bundles)
    assert graphs == [[one, other], [grown]]
    # OpenVINO compiles another graph for the prefixes, which it lets go.
    assert opened.call_count == len(graphs) * (2 if device == "openvino" else 1)


def test_a_file_that_is_read_otherwise_is_another_graph(bundles: list[Bundle]) -> None:
    """Its checksum alone is not enough: output, depth, device and precision count as well."""
    bundle, prefix = bundles[0], Prefix(np.array([1, 2]))
    cpu, deeper = Choice("cpu", "fp32"), msgspec.structs.replace(bundle.manifest, layer=2)
    wanted = [
        Wanted(bundle, "pooled", cpu, prefix),
        Wanted(bundle, "label_logits", cpu, prefix),
        Wanted(bundle, "pooled", Choice("openvino", "fp32"), prefix),
        Wanted(bundle, "pooled", Choice("openvino", "bf16"), prefix),
        Wanted(msgspec.structs.replace(bundle, manifest=deeper), "pooled", cpu, prefix),
    ]
    assert len({each.shared_by for each in wanted}) == len(wanted)
    assert wanted[0].shared_by == Wanted(bundles[1], "pooled", cpu, Prefix(np.array([3]))).shared_by
