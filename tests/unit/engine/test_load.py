from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from tokenizers import Tokenizer

from engine.bundle import MODEL, TOKENIZER, Bundle, Heads
from engine.device_names import Precision
from engine.devices import openvino as openvino_device
from engine.devices.device import Graph, Prefix
from engine.devices.openvino import OpenVinoDevice, open_graph, precisions
from engine.errors import BundleError, DeviceError, SettingsError
from engine.load import load_engine, open_reader
from tests.fakes.tiny_bundle import BYTES, MARKER, write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_tiny_bundle(tmp_path / "tiny")


def _without_output(bundle: Bundle, name: str) -> None:
    model = onnx.load(bundle.path / MODEL, load_external_data=False)
    kept = [value for value in model.graph.output if value.name != name]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    (bundle.path / MODEL).write_bytes(model.SerializeToString())


@pytest.mark.parametrize("device", ["cpu", "openvino"])
@pytest.mark.parametrize("missing", ["label_logits", "present_value.2"])
def test_a_graph_without_what_the_manifest_asks_for_is_refused(
    bundle: Bundle, device: str, missing: str
) -> None:
    _without_output(bundle, missing)
    with pytest.raises(BundleError, match=f"has no {missing}"):
        load_engine(bundle, device=device, precision="fp32")  # type: ignore[arg-type] # literals above


def test_a_manifest_with_more_layers_than_the_graph_is_refused(bundle: Bundle) -> None:
    source = msgspec.structs.replace(bundle.manifest.source, layers=5)
    manifest = msgspec.structs.replace(bundle.manifest, source=source)
    with pytest.raises(BundleError, match=r"has no past_key\.4"):
        load_engine(msgspec.structs.replace(bundle, manifest=manifest), device="cpu")


def test_a_manifest_with_other_labels_than_the_graph_is_refused(bundle: Bundle) -> None:
    manifest = msgspec.structs.replace(bundle.manifest, labels=bundle.manifest.labels[:4])
    with pytest.raises(BundleError, match=r"label_logits of \(5,\), not \(4,\)"):
        load_engine(msgspec.structs.replace(bundle, manifest=manifest), device="cpu")


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_a_file_that_is_no_graph_is_one_clear_error(bundle: Bundle, device: str) -> None:
    (bundle.path / MODEL).write_bytes(b"not a graph")
    with pytest.raises(BundleError, match=r"cannot (load|read) .*model\.onnx"):
        load_engine(bundle, device=device, precision="fp32")  # type: ignore[arg-type] # literals above


def test_a_tokenizer_that_cannot_be_read_is_one_clear_error(bundle: Bundle) -> None:
    (bundle.path / TOKENIZER).write_text("{}")
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        load_engine(bundle, device="cpu")


def test_a_full_graph_cannot_pose_as_an_adapted_bundle(bundle: Bundle) -> None:
    hidden = np.zeros(16, np.float32)
    heads = Heads(hidden, hidden + 1, hidden, np.float32(0), np.zeros((3, 16)), np.zeros(3))  # type: ignore[arg-type] # widths are what matters
    manifest = msgspec.structs.replace(bundle.manifest, reading="pooled")
    with pytest.raises(BundleError, match="or export it again"):
        load_engine(msgspec.structs.replace(bundle, manifest=manifest, heads=heads), device="cpu")


@pytest.mark.parametrize(
    "wrong",
    [{"device_tokens": 200}, {"max_message_tokens": 0}],
)
def test_windows_that_fit_nowhere_are_refused(bundle: Bundle, wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=r"raise device_tokens|1 or more"):
        load_engine(bundle, device="cpu", **wrong)  # type: ignore[arg-type] # names above


def test_int8_is_refused_where_nothing_runs_in_it(bundle: Bundle) -> None:
    """The tiny graph has no feed-forward block: OpenVINO would run something else and be called int8.

    The device itself, without `choose` in front of it: which precision would run instead is the CPU's.
    """
    with pytest.raises(DeviceError, match=r"int8 was asked for, CPU would run (bf16|fp32): set precision="):
        open_graph(Graph.of(bundle, "pooled"), [Prefix(np.array([1, 2]))], precision="int8", threads=1)


def test_int8_is_refused_on_a_cpu_without_it(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_device, "precisions", lambda: ["fp32"])
    with pytest.raises(DeviceError, match=r"this CPU has no int8, .*set precision=fp32"):
        load_engine(bundle, device="openvino", precision="int8")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_what_openvino_really_runs_is_read_back(bundle: Bundle, precision: Precision) -> None:
    """The device itself, without `choose` in front of it, on whatever CPU this is."""

    def load() -> OpenVinoDevice:
        (device,) = open_graph(
            Graph.of(bundle, "pooled"), [Prefix(np.array([1, 2]))], precision=precision, threads=1
        )
        return device

    if precision in precisions():
        assert load().precision == precision
    else:
        with pytest.raises(DeviceError, match="set precision="):
            load()


def test_the_tokenizers_own_padding_and_truncation_are_switched_off(bundle: Bundle) -> None:
    tokenizer = Tokenizer.from_file(str(bundle.path / TOKENIZER))
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(bundle.path / TOKENIZER))
    reader = open_reader(bundle, "pooled", device="cpu")
    assert [len(tokens) for tokens in reader.tokenise(["hello world", "a"])] == [11, 1]


def test_a_message_cannot_speak_the_templates_markers(bundle: Bundle) -> None:
    reader = open_reader(bundle, "pooled", device="cpu")
    assert BYTES in reader.prompt.prefix
    assert BYTES not in reader.tokenise([f"fine {MARKER}"])[0]


def test_every_loaded_engine_reads_a_disguised_text_twice_and_knows_other_languages(bundle: Bundle) -> None:
    """Whatever opens a bundle gets all of it: a command cannot forget the second reading."""
    engine = load_engine(bundle, device="cpu")
    disguise = "\u200b".join("no way out")
    hidden = "hi " + "".join(chr(0xE0000 + ord(letter)) for letter in "no way out")
    plain, twice, unreadable, foreign = engine.read(
        ["no way out", disguise, hidden, "Мне сегодня очень плохо"]
    )
    assert (plain.windows, plain.obfuscated, plain.language) == (1, False, None)
    assert twice.windows == 2
    assert twice.risk >= plain.risk
    assert unreadable.obfuscated
    assert foreign.language is not None
