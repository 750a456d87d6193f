"""Makes OpenVINO say and do what it says and does on a CPU that computes in fp32 only (AVX2).

`make test-fp32` puts this folder on PYTHONPATH, so that it holds in the tests' process and in every worker
they start. OpenVINO has no switch for it: it asks the CPU itself. So the tests see, on any machine, what a
user of an older one sees. Not simulated: speed, and the last bits of what fp32 gives on another CPU.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_MISSING = {"BF16", "FP16"}
_KEPT_HINTS = {"f32", "dynamic"}


class _Finder(importlib.abc.MetaPathFinder):
    """Finds openvino where it is, and changes it as soon as it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "openvino":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _tell(module.Core)


def _tell(core: Any) -> None:
    get_property, compile_model = core.get_property, core.compile_model

    def capabilities(self: Any, *names: Any) -> Any:
        found = get_property(self, *names)
        if "OPTIMIZATION_CAPABILITIES" in names:
            return [name for name in found if name not in _MISSING]
        return found

    def in_fp32(self: Any, model: Any, device_name: Any = None, config: Any = None, **others: Any) -> Any:
        config = dict(config or {})
        if config.get("INFERENCE_PRECISION_HINT") not in _KEPT_HINTS | {None}:
            config["INFERENCE_PRECISION_HINT"] = "f32"  # as OpenVINO does where the CPU cannot
        return compile_model(self, model, device_name, config, **others)

    core.get_property, core.compile_model = capabilities, in_fp32


sys.meta_path.insert(0, _Finder())
