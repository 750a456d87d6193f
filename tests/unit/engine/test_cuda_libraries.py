"""CUDA's libraries are loaded from pip's packages before a session on a GPU is opened."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.devices import onnxruntime, plain
from engine.errors import DeviceError
from tests.fakes.tiny_bundle import write_tiny_bundle


class Gpu:
    """ONNX Runtime as the extra `gpu` installs it, where nothing of CUDA is to be had: it takes the CPU."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.done: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        self.done.append("libraries")
        print("Failed to load /packages/nvidia/libcudnn.so.9: wrong ELF class")  # noqa: T201 - as the library does
        print("Failed to load libcublas.so.13: no such file")  # noqa: T201
        print("Please follow https://onnxruntime.ai/docs/install/#cuda-and-cudnn")  # noqa: T201

    def InferenceSession(self, *given: Any, providers: list[Any]) -> Any:  # noqa: N802 - the library's name
        self.done.append("session")
        assert providers
        return self._real.InferenceSession(*given, providers=["CPUExecutionProvider"])


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    found = Gpu(onnxruntime.ort)  # type: ignore[attr-defined]  # which the device imports where it is installed
    for module in (onnxruntime, plain):
        monkeypatch.setattr(module, "ort", found)
    return found


def _a_bundle_s(model: Path, device: Any) -> None:
    onnxruntime._open(cast("Any", SimpleNamespace(model=model)), device, 1, None)


def _any(model: Path, device: Any) -> None:
    plain.open_plain(model, ["label_logits"], device=device)


@pytest.mark.parametrize("opened", [_a_bundle_s, _any])
def test_they_are_loaded_first_and_an_error_names_those_that_are_not_there(
    opened: Callable[[Path, str], None], gpu: Gpu, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_tiny_bundle(tmp_path / "bundle").path / "model.onnx"
    gpu.done.clear()  # of writing it
    opened(model, "cpu")
    assert gpu.done == ["session"]
    with pytest.raises(
        DeviceError, match=r"device cuda was asked for.* \(not found: libcublas.so.13, libcudnn.so.9\)"
    ):
        opened(model, "cuda")
    assert gpu.done == ["session", "libraries", "session"]
    assert capsys.readouterr().out == ""
